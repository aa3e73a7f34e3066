"""Builds the site of the documentation from the pages of this tree."""
