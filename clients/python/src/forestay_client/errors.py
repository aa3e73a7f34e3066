"""What a caller may have to handle: refused, unknown, unauthorized, disconnected."""


class ForestayError(Exception):
    """The parent of everything that this package raises on purpose."""


class RefusedError(ForestayError):
    """The gateway said no, or the message was never sent; nothing of it has happened."""

    def __init__(self, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        """An error code of the protocol, such as `forbidden`; `unavailable` where there was no connection in time."""
        self.message = message
        self.retry_after = retry_after
        """Seconds after which the same may succeed, where the gateway can tell."""


class UnknownOutcomeError(ForestayError):
    """The message was sent and not answered: it may or may not have been published."""

    def __init__(self, key: str | None) -> None:
        super().__init__("sent, but not answered" + ("" if key is None else f"; the key {key!r} makes a retry safe"))
        self.key = key
        """Publish the same with this key, and it is published once. None where the room has no history."""


class UnauthorizedError(ForestayError):
    """Raise it in `get_token` when there will be no token: the client stops asking."""


class DisconnectedError(ForestayError):
    """The client is disconnected, and does not come back by itself."""

    def __init__(self, code: int | None = None, reason: str = "") -> None:
        super().__init__(" ".join(filter(None, ["disconnected", str(code or ""), reason])))
        self.code = code
        """The close code, or the HTTP status of a refused handshake; None after `disconnect()`."""
        self.reason = reason
