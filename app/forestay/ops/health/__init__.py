"""Answers the probes: whether this pod is alive, started and ready."""
