"""Talks to the API of the cluster."""
