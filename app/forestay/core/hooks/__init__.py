"""Asks the application about what clients do, in whatever form it has its hooks."""
