"""Serves the HTTP API for backends, and checks their keys."""
