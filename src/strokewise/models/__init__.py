"""Models behind the backbone protocol; one folder for each architecture."""
