"""Moves connections to other pods: in a drain, and to balance load."""
