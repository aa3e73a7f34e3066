"""Sends signed requests to the application: it is told what happens, and asked what may happen."""
