"""What is said on a channel: a message by itself, or with the place that the room's history gave it.

`L` and the envelope, or `H`, epoch, `:`, offset, `:` and the envelope; the script writes the second form. Anybody who
can write to Redis can say anything there, so what is not understood is counted and dropped.
"""

from collections.abc import Callable, Collection
from typing import Final

from forestay.core.ports.bus import Doubted, Heard
from forestay.protocol.envelope import BadEnvelope, decode
from forestay.protocol.message import Message, Position
from forestay.protocol.names import RoomName

_LIVE, _HISTORIC = b"LH"
# More digits than any offset has.
_DIGITS: Final = 16


class Ear:
    """Hands on what can be understood."""

    def __init__(self, count: Callable[[str], None]) -> None:
        """`count` is told of events by name."""
        self._count = count
        self._heard: Heard = _nobody
        self._doubted: Doubted = _nobody

    def give_to(self, heard: Heard, doubted: Doubted) -> None:
        self._heard, self._doubted = heard, doubted

    def heard(self, room: RoomName, data: bytes) -> None:
        try:
            message = understand(data)
        except BadEnvelope:
            self.garbage()
            return
        if message.room == room:
            self._heard(message)
        else:
            self.garbage()

    def doubted(self, rooms: Collection[RoomName]) -> None:
        self._count("resubscribed")
        self._doubted(rooms)

    def garbage(self) -> None:
        self._count("garbage")


def live(envelope: bytes) -> bytes:
    """A message by itself."""
    return b"L" + envelope


def understand(data: bytes) -> Message:
    """The message in `data`. Raises BadEnvelope."""
    form = data[0] if data else None
    if form == _LIVE:
        return decode(data[1:])
    if form != _HISTORIC:
        raise BadEnvelope(f"form {data[:1]!r}")
    epoch, colon, rest = data[1:].partition(b":")
    offset, again, envelope = rest.partition(b":")
    if not (colon and again and epoch.isascii() and offset.isdigit() and len(offset) < _DIGITS):
        raise BadEnvelope("no place")
    return decode(envelope, Position(epoch.decode(), int(offset)))


def _nobody(_: object) -> None:
    """Heard before anybody listens."""
