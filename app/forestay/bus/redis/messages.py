"""Encodes messages for a channel, and decodes what arrives on one.

The data is `L` and the envelope, or `H`, epoch, `:`, offset, `:` and the envelope. The publish script writes the second
form. Any client of Redis can publish anything on a channel, so data that cannot be decoded is counted and dropped.
"""

from collections.abc import Callable, Collection
from typing import Final

from forestay.bus.redis.client.subscription import Subscription
from forestay.protocol.envelope import BadEnvelope, decode
from forestay.protocol.message import Message, Position

_LIVE, _WITH_POSITION = b"LH"
# More digits than any offset has.
_MAX_DIGITS: Final = 16


class MessageReceiver:
    """Decodes the messages of rooms and passes them on."""

    def __init__(self, count: Callable[[str], None]) -> None:
        """`count` is called with the name of each event."""
        self._count = count

    def received(self, subscription: Subscription, data: bytes) -> None:
        try:
            message = decode_message(data)
        except BadEnvelope:
            self.garbage()
            return
        if message.room == subscription.room:
            subscription.subscriber.received(message)
        else:
            self.garbage()

    def doubted(self, subscriptions: Collection[Subscription]) -> None:
        self._count("resubscribed")
        for subscription in subscriptions:
            subscription.subscriber.doubted()

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
