"""Decisions that need no input or output: rights, policies of rooms, rates, and the states of a pod."""
