"""Handles one client from its welcome to its end, and the requests of clients and backends."""
