"""WHERE CLIENTS AND BACKENDS ARRIVE: tokens, handshakes, sockets and the HTTP API."""
