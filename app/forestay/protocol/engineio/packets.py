"""The packets of Engine.IO: their types, the open packet, and the frames that carry the fixed ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.json import encode as to_json

from forestay.protocol.websocket.writing import text_frame

OPEN: Final = "0"
CLOSE: Final = "1"
PING: Final = "2"
PONG: Final = "3"
MESSAGE: Final = "4"
UPGRADE: Final = "5"
NOOP: Final = "6"

PROBE: Final = "2probe"
"""What a client sends first on a WebSocket to which its session is to move."""

PROBED: Final = text_frame(b"3probe")
"""The answer to a probe."""
PING_PACKET: Final = text_frame(PING.encode())
"""A ping, which the client answers with a pong."""
CLOSE_PACKET: Final = CLOSE.encode()
"""What ends a session for the client, in a payload."""
NOOP_PACKET: Final = NOOP.encode()
"""What ends a poll and says nothing, in a payload."""


class Malformed(Exception):
    """What a client sent is no packet. The message says why, and repeats nothing of it."""


@dataclass(frozen=True, slots=True)
class Times:
    """When a client is asked for a sign of life, and how long it has to give one. Seconds."""

    ping_interval: float
    ping_timeout: float


def open_packet(sid: str, upgrades: Sequence[str], times: Times, max_payload: int) -> bytes:
    """The first packet of a session. `max_payload`: bytes of the largest message, and of the largest payload."""
    fields = {
        "sid": sid,
        "upgrades": upgrades,
        "pingInterval": round(times.ping_interval * 1000),
        "pingTimeout": round(times.ping_timeout * 1000),
        "maxPayload": max_payload,
    }
    return OPEN.encode() + to_json(fields)
