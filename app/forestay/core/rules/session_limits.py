"""The limits of every connection. The `welcome` reply tells the client most of them."""

from dataclasses import dataclass

from forestay.protocol.codes import ErrorCode, Refusal


@dataclass(frozen=True, slots=True)
class KeepaliveTimes:
    """How often clients are pinged, and how long they may take to answer."""

    ping_interval: float
    """Seconds."""
    pong_timeout: float
    """Seconds."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """The limits of one connection."""

    message_bytes: int
    """The largest message that a client may send."""
    rate: float
    """Messages per second and connection; 0 means no limit."""
    burst: float
    """Messages that may come at once."""
    bytes_rate: float
    """Bytes per second and connection; 0 means no limit."""
    rooms: int
    """Rooms that one connection may be in."""
    keepalive: KeepaliveTimes
    reconnect_spread: float
    """Seconds over which clients spread their reconnects after a loss that hit many of them."""
    max_age: float
    """Seconds, give or take a tenth, after which a connection is closed and should have moved; 0 means never."""
    lead: float
    """Seconds that a client has to move, counted from its turn."""

    def check_rooms(self, number: int) -> None:
        """Raises Refusal where a connection may not be in so many rooms."""
        if number > self.rooms:
            raise Refusal(ErrorCode.TOO_MANY_ROOMS, f"a connection may be in {self.rooms} rooms; leave one")
