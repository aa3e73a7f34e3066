"""Discovers the Redis nodes, and which one has which partition."""
