"""Inference: contexts that grow, the generator that writes and paints in them."""
