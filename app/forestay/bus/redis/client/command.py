"""Commands for a Redis node, and what can come back instead of a result."""

from collections.abc import Callable
from enum import Enum
from typing import Final

from forestay.bus.redis.client.address import HostPort

# Of Redis up to 7.0, and of later ones and Valkey.
_LACKS_A_RIGHT: Final = ("The user executing the script can't", "ACL failure in script")


class Failure(Enum):
    """Why a command has no reply."""

    REFUSED = "it was not executed"
    UNKNOWN = "it may have been executed"


class ErrorReply(Exception):
    """An error that Redis sent as the reply to a command. Its first word is its kind."""

    @property
    def kind(self) -> str:
        return str(self).partition(" ")[0]

    @property
    def full(self) -> bool:
        """Whether Redis has no memory for the command. Before 7.0 the kind of a script's error is always `ERR`."""
        return "OOM command not allowed" in str(self)

    @property
    def halfway(self) -> bool:
        """Whether a script ended for lack of a right, and may have had effects. Its kind is `ERR` on every server."""
        return any(sentence in str(self) for sentence in _LACKS_A_RIGHT)

    def redirect(self, asked: HostPort) -> HostPort | None:
        """Where `MOVED slot host:port` or `ASK slot host:port` points; None if it cannot be read.

        `asked`: the node that replied. A node that does not know its own host name leaves it out.
        """
        host, colon, port = str(self).split()[-1].rpartition(":")
        return HostPort(host.strip("[]") or asked.host, int(port)) if colon and port.isdigit() else None


Settle = Callable[[object], None]
"""Takes what came of a command: the reply, an ErrorReply, or a Failure."""


class Command:
    """One command for the node that has `partition`. It settles exactly once."""

    __slots__ = ("attempts", "data", "offered_at", "partition", "settle")

    def __init__(self, data: bytes, settle: Settle, partition: int) -> None:
        """`data`: the packed command."""
        self.data = data
        self.settle = settle
        self.partition = partition
        self.attempts = 0
        """How often it was sent and not executed."""
        self.offered_at = 0.0
        """The loop's time of the first offer; 0 before it."""
