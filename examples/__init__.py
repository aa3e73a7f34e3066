"""Applications to begin with. Each folder is one of them."""
