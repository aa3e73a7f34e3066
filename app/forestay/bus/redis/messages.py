"""Encodes messages for a channel, and decodes what arrives on one.

The data is `L` and the envelope, or `H`, epoch, `:`, offset, `:` and the envelope. The publish script writes the second
form. Any client of Redis can publish anything on a channel, so data that cannot be decoded is counted and dropped.
"""

from collections.abc import Callable, Collection
from typing import Final

from forestay.core.ports.bus import Doubted, Heard
from forestay.protocol.envelope import BadEnvelope, decode
from forestay.protocol.message import Message, Position
from forestay.protocol.names import RoomName

_LIVE, _WITH_POSITION = b"LH"
# More digits than any offset has.
_MAX_DIGITS: Final = 16


class MessageReceiver:
    """Decodes the messages of rooms and passes them on."""

    def __init__(self, count: Callable[[str], None]) -> None:
        """`count` is called with the name of each event."""
        self._count = count
        self._heard: Heard = _ignore
        self._doubted: Doubted = _ignore

    def listen(self, heard: Heard, doubted: Doubted) -> None:
        """As Bus.listen says."""
        self._heard, self._doubted = heard, doubted

    def received(self, room: RoomName, data: bytes) -> None:
        try:
            message = decode_message(data)
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
        """Count data that cannot be decoded."""
        self._count("garbage")


def encode_live(envelope: bytes) -> bytes:
    """The data of a message without a position."""
    return b"L" + envelope


def decode_message(data: bytes) -> Message:
    """The message in `data`. Raises BadEnvelope."""
    form = data[0] if data else None
    if form == _LIVE:
        return decode(data[1:])
    if form != _WITH_POSITION:
        raise BadEnvelope(f"form {data[:1]!r}")
    epoch, colon, rest = data[1:].partition(b":")
    offset, second_colon, envelope = rest.partition(b":")
    if not (colon and second_colon and epoch.isascii() and offset.isdigit() and len(offset) < _MAX_DIGITS):
        raise BadEnvelope("no position")
    return decode(envelope, Position(epoch.decode(), int(offset)))


def _ignore(_: object) -> None:
    """Takes the callbacks before `listen`."""
