"""What operators look at on this pod: what has happened a moment ago, and how much goes on."""
