"""Evaluation: what pictures are worth by others' benchmarks, scored by those benchmarks' own rules."""
