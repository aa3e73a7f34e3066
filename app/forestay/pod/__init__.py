"""Starts and ends one process: builds its parts, connects them, and drains."""
