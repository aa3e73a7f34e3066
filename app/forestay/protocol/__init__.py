"""WHAT IS SAID: the wire, pure; no loop, clock, socket or random numbers."""
