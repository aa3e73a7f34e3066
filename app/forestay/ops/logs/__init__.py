"""Writes log lines."""
