"""The pages, and what is written into them from the code."""
