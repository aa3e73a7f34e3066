"""Where a message came from."""

from typing import final


@final
class Source:
    """Made for every message that a client publishes, so it is no tuple: those are not compiled."""

    __slots__ = ("by_client", "connection", "since")

    def __init__(self, since: float, connection: str | None = None, *, by_client: bool = True) -> None:
        self.since = since
        """When it came, by `Runtime.perf`."""
        self.connection = connection
        """The id of the sender's connection; None where it came in an HTTP request."""
        self.by_client = by_client
        """Whether a client sent it, and not a backend."""
