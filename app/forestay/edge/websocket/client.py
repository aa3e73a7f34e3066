"""The port of whatever takes the messages of one client, and the way of an event to it."""

from collections.abc import Awaitable
from typing import Protocol

from forestay.protocol.codes import Ending
from forestay.protocol.websocket.reading import Event, Kind


class Client(Protocol):
    """What takes the messages of one client. Once the client has ended, they are ignored."""

    @property
    def name(self) -> str:
        """How the log calls this client. It is no secret."""

    @property
    def ended(self) -> bool:
        """Whether nothing more is taken from this client."""

    def text(self, data: bytes) -> Awaitable[None] | None:
        """Take a text message, in UTF-8. Returns what must be awaited before the next message is taken."""

    def binary(self, data: bytes) -> Awaitable[None] | None:
        """Take a binary message. Returns what must be awaited before the next message is taken."""

    def ping(self, data: bytes) -> None:
        """Take a ping frame, and answer it."""

    def pong(self) -> None:
        """Take a pong frame."""

    def end(self, ending: Ending) -> None:
        """End the client: write what is pending for it, and close its socket. Only the first call has an effect.

        It has closed the connection, it broke a rule, or there is a bug.
        """

    def lost(self, ending: Ending) -> None:
        """The WebSocket is gone. Called once, at last."""


def hand_on(event: Event, client: Client) -> Awaitable[None] | None:
    """Hand `event`, which is no close frame, to `client`. Returns what must be awaited before the next event."""
    kind, data, _ = event
    if kind is Kind.TEXT:
        return client.text(data)
    if kind is Kind.BINARY:
        return client.binary(data)
    if kind is Kind.PING:
        client.ping(data)
    else:
        client.pong()
    return None
