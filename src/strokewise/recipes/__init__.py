"""Recipes: complete training configurations; ``registry`` knows them by name."""
