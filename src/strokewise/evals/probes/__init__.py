"""Probes of a model's single abilities: strokes, messages, and prompts of growing complexity."""
