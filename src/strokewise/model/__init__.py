"""The unified network: configuration, modules, cache and checkpoints. Knows no prompts."""
