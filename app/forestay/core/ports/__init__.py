"""What the core needs from outside: interfaces, and the values that pass through them."""
