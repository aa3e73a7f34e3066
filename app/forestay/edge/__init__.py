"""Takes in clients and backends: tokens, handshakes, sockets and the HTTP API."""
