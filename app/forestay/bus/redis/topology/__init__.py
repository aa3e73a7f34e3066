"""Finds out which Redis nodes there are and which one is responsible."""
