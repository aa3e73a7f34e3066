"""Asks the application over HTTP about what clients do, and tells it: one signed request for each question."""
