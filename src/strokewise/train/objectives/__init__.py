"""Objectives: what turns a packed batch into a loss."""
