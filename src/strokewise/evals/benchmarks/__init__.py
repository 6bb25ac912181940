"""Benchmarks: each scores the pictures of a run by its own rules."""
