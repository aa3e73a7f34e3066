"""Keeps rooms: who is in them, what they missed, and what is published to them."""
