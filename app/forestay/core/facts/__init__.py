"""Facts about every message: where it came from, whether its trace is kept, and the numbers that it is added to."""
