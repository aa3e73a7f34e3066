"""Connections to Redis nodes: made, watched, pipelined, and repaired."""
