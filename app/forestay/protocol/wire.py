"""The Wire: encodes replies and messages for one kind of connection.

A wire turns replies and room messages into finished bytes. All connections of one kind share one wire object, so a
message is encoded once for all members of a room that have the same wire.
"""

from typing import Protocol

from forestay.protocol.codes import Ending
from forestay.protocol.message import Message
from forestay.protocol.replies import Reply


class Wire(Protocol):
    """Encodes for one kind of connection. Nothing here blocks or raises."""

    @property
    def name(self) -> str:
        """The name of this kind, from a closed set; it is the label of a metric."""

    def message(self, message: Message, *, traced: bool) -> bytes:
        """A message for the members of its room. `traced`: the receivers may see the message's `traceparent`."""

    def reply(self, reply: Reply) -> bytes:
        """A reply for one client."""

    def ping(self) -> bytes:
        """A ping, which the client must answer."""

    def pong(self, data: bytes) -> bytes:
        """The answer to a ping of the client that carried `data`."""

    def close(self, ending: Ending) -> bytes:
        """The last bytes of a connection: they say why it ends."""
