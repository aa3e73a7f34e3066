"""Verifies and mints JSON Web Tokens."""
