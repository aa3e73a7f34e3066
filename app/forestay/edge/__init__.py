"""WHERE STRANGERS ARRIVE: tokens, upgrades, sockets and the HTTP API."""
