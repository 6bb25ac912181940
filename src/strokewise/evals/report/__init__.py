"""Reports: tables, chart and pages of scored runs."""
