"""Strategies: ways to spend computation on a prompt, at stated costs."""
