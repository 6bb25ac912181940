"""Building and reading the training data: subsets, painters, judges, records."""
