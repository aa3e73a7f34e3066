"""Carries WebSocket connections: their frames, their messages, and one way to close."""
