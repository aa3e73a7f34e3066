"""Delivers messages to the members of rooms on this pod."""
