"""The benches behind our numbers: each starts the servers one after the other and prints a table."""
