"""The crowd of the benches: on this machine, with a token of its own."""

import time

import jwt

from forestay.terminal.crowd import Crowd, Gate

SECRET = "bench-secret-of-at-least-32-bytes"


def token(user: str) -> str:
    """A token of `user` that is valid for an hour."""
    return jwt.encode({"sub": user, "exp": int(time.time()) + 3600}, SECRET, algorithm="HS256")


def gate(port: int) -> Gate:
    return Gate("127.0.0.1", port, token("bench"))


def crowd_at(port: int) -> Crowd:
    """A crowd without clients so far, for the server at `port`."""
    return Crowd(gate(port))
