"""A deploy to watch: two gateways on one Redis behind a small balancer, and a page that counts messages."""
