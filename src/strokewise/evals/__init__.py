"""Evaluation: prompts painted with a strategy, scored by the rules of published benchmarks and by probes."""
