"""The Wire: encodes replies and messages for one kind of connection.

A wire turns replies and room messages into finished bytes. All connections of one kind share one wire object, so a
message is encoded once for all members of a room that have the same wire.
"""

from enum import Enum
from typing import Final, Protocol

from forestay.protocol.codes import Ending
from forestay.protocol.message import Message
from forestay.protocol.replies import Reply

NAMES: Final = ("v1", "sse", "socketio")
"""The names of all wires. Each is a label of a metric."""


class Liveness(Enum):
    """How the gateway learns that a client is there, and what keeps its connection open while nothing is said."""

    ANSWERED = "the client must answer each ping"
    KEPT_OPEN = "a ping is written now and then, and no answer is expected"
    BY_TRANSPORT = "the transport sees to it, for all its connections together"


class Wire(Protocol):
    """Encodes for one kind of connection. Nothing here blocks or raises."""

    @property
    def name(self) -> str:
        """The name of this kind, one of NAMES."""

    @property
    def liveness(self) -> Liveness:
        """How the gateway learns that a client of this kind is there."""

    @property
    def relocates(self) -> bool:
        """Whether these clients understand `Reconnect`. The others are closed when it is their turn to move."""

    @property
    def tailed(self) -> bool:
        """Whether each write of room messages ends with `Transport.tail`."""

    @property
    def plain(self) -> "Wire":
        """The same wire without compression; itself where it has none.

        It encodes the messages that one client gets alone, and those of rooms that are not compressed.
        """

    def message(self, message: Message, *, traced: bool) -> bytes:
        """A message for the members of its room. `traced`: the receivers may see the message's `traceparent`.

        Empty where this wire does not have such messages: its members get nothing.
        """

    def reply(self, reply: Reply) -> bytes:
        """A reply for one client. Empty where this wire does not have it: nothing is written."""

    def ping(self) -> bytes:
        """A ping. Not used where `liveness` is `BY_TRANSPORT`."""

    def pong(self, data: bytes) -> bytes:
        """The answer to a ping of the client that carried `data`."""

    def close(self, ending: Ending) -> bytes:
        """The last bytes of a connection: they say why it ends."""
