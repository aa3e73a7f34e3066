"""Tries what a pod needs before it serves: `forestay doctor`, and the warnings of `forestay check`."""
