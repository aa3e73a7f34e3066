"""What our numbers come from: each bench starts the servers one after the other and prints a table."""
