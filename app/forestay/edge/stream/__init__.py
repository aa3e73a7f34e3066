"""Serves event streams, and plain HTTP for clients."""
