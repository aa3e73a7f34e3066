"""What a caller may have to handle: refused, unknown, unauthorized, disconnected."""


class ForestayError(Exception):
    """The parent of everything that this package raises on purpose."""


class RefusedError(ForestayError):
    """The gateway said no, or the message was never sent; nothing of it has happened."""

    def __init__(self, code: str, message: str, retry_after: float | None = None, reason: str | None = None) -> None:
        super().__init__(f"{reason or code}: {message}")
        self.code = code
        """An error code of the protocol, such as `forbidden`; `unavailable` where there was no connection in time."""
        self.message = message
        self.retry_after = retry_after
        """Seconds after which the same may succeed, where the gateway can tell."""
        self.reason = reason
        """The application's own code, with `refused_by_application`."""


class TooLargeError(RefusedError):
    """The message is larger than the gateway takes. It was not sent: the gateway would have closed the connection."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__("too_large", f"the message has {size:,} bytes, and the gateway takes at most {limit:,}")
        self.size = size
        """Bytes of the whole message, as it would have been written."""
        self.limit = limit


class UnsendableError(RefusedError, ValueError, TypeError):
    """The arguments cannot be put into a message. It was not sent.

    It is a ValueError and a TypeError too, for callers that expect those of a wrong argument.
    """


class UnknownOutcomeError(ForestayError):
    """It was sent and not answered: the message may or may not have been published, the call carried out."""

    def __init__(self, key: str | None) -> None:
        super().__init__("sent, but not answered" + ("" if key is None else f"; the key {key!r} makes a retry safe"))
        self.key = key
        """Publish the same with this key, and it is published once. None in a room without history, and of a call."""


class UnauthorizedError(ForestayError):
    """Raise it in `get_token` when there will be no token: the client stops asking."""


class AddressError(ForestayError, ValueError):
    """The URL is not one of a gateway. The message does not repeat it, because a URL may have a token in it."""

    code = "bad_url"


class DisconnectedError(ForestayError):
    """There is no connection, and why. It is raised where the client does not come back by itself."""

    def __init__(self, code: int | str | None = None, reason: str = "", detail: str = "") -> None:
        words = " ".join(filter(None, ["disconnected", str(code or ""), reason if reason != code else ""]))
        super().__init__(f"{words}: {detail}" if detail else words)
        self.code = code
        """The close code, or the HTTP status of a refused handshake, or `bad_token` where `get_token` gave none that
        can be used; None after `disconnect()`."""
        self.reason = reason
        self.detail = detail
        """A sentence for people: what is wrong, where anybody knows."""
