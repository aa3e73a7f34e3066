"""Serves pages to browsers."""
