"""Keeps the pods in step: heartbeats, control messages, limits of users, and revocations."""
