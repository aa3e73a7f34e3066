"""Counts what happens and renders it for Prometheus."""
