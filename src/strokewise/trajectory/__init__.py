"""Trajectories: values, grammar, events, files and pages of a painting in steps. Needs no torch."""
