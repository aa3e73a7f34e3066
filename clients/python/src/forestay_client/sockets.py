"""What carries a connection: text both ways, whether a WebSocket or an event stream is underneath."""

from typing import Protocol

from forestay_client.endings import Ending


class Closed(Exception):
    """Nothing more comes, and why."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.reason)
        self.ending = ending


class Socket(Protocol):
    @property
    def open(self) -> bool:
        """Whether anything can be written."""

    @property
    def binary(self) -> bool:
        """Whether it takes bytes."""

    async def recv(self) -> str | bytes:
        """The next message. Raises Closed."""

    async def send(self, message: str | bytes) -> None:
        """Write a message; done when there is room for the next one. Raises Closed."""

    async def close(self) -> None:
        """Close it with 1000. What was on its way here can still be received."""

    def abort(self) -> None:
        """End it at once."""
