"""Strokewise: process-driven image generation, in rounds of plan, sketch, inspect and refine."""

__version__ = "0.1.0"

__all__ = ["__version__"]
