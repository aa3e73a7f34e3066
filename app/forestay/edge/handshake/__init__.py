"""Decides who may connect, and upgrades the request to a WebSocket."""
