"""What may be chosen when a client is made; durations are seconds."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Literal, TypedDict, get_args

Transport = Literal["websocket", "stream"]


class ClientOptions(TypedDict, total=False):
    """The keyword arguments of `Client`; their meaning and defaults are those of `Options`."""

    timeout: float
    connect_timeout: float
    min_delay: float
    max_delay: float
    refresh_margin: float
    inbox: int
    outbox: int
    ssl: SSLContext | None
    proxy: str | Literal[True] | None
    transports: Sequence[Transport]


@dataclass(frozen=True, slots=True)
class Options:
    timeout: float = 5.0
    """How long a request may wait for a connection, and how long for its answer once it is written."""

    connect_timeout: float = 10.0
    """How long a handshake may take, up to the gateway's `welcome`."""

    min_delay: float = 0.0
    """No wait before a new connection is shorter."""

    max_delay: float = 30.0
    """No wait before a new connection is longer, unless the gateway asks for more."""

    refresh_margin: float = 30.0
    """How long before a token expires the next one is asked for."""

    inbox: int = 1000
    """How many messages of a room may wait for its `async for`."""

    outbox: int = 1000
    """How many requests may wait to be written."""

    ssl: SSLContext | None = None
    """How to check the certificate of a `wss://` address; None is the system's way."""

    # There may be a password in it.
    proxy: str | Literal[True] | None = field(default=True, repr=False)
    """A proxy's address; True is the one of the environment, None is no proxy."""

    transports: Sequence[Transport] = ("websocket",)
    """What may carry a connection. With `"stream"`: event streams where WebSockets are blocked."""

    def __post_init__(self) -> None:
        """Raises ValueError for transports that there are not."""
        known = get_args(Transport)
        if isinstance(self.transports, str) or not self.transports or not {*self.transports} <= {*known}:
            raise ValueError(f"transports are some of {', '.join(map(repr, known))}, in a tuple or a list")
