"""Connects to Redis nodes, sends commands, and receives messages."""
