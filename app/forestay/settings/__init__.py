"""The settings: names, types, defaults and descriptions, read once from the environment."""
