"""Datasets: shards and rendered records as packed training samples. Knows no optimizer and no recipe."""
