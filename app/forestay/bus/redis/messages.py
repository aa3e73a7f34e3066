"""Encodes messages for a channel, and decodes what arrives on one.

The data is `L` and the envelope, or `H`, epoch, `:`, offset, `:` and the envelope. The publish script writes the second
form. Any client of Redis can publish anything on a channel, so data that cannot be decoded is counted and dropped.
"""

from collections.abc import Collection
from typing import Final, Protocol

from forestay.bus.redis.client.subscription import Subscription
from forestay.bus.redis.guard import Guard
from forestay.bus.redis.signatures import Forged
from forestay.protocol.envelope import BadEnvelope
from forestay.protocol.message import Message
from forestay.protocol.position import Position

_LIVE, _WITH_POSITION = b"LH"
_UNREADABLE: Final = (
    "no pod writes such a message; is another program, or a gateway with the same prefix, on this Redis?"
)
# More digits than any offset has.
_MAX_DIGITS: Final = 16


class Reporter(Protocol):
    """Learns what a receiver of messages finds."""

    def resubscribed(self) -> None:
        """Subscriptions were made anew. Messages may have been missed before that."""

    def message_dropped(self, kind: str, reason: str) -> None:
        """A message is not believed. `kind`: `garbage` or `forged`. `reason`: one of a few sentences."""


class MessageReceiver:
    """Decodes the messages of rooms and passes them on."""

    def __init__(self, report: Reporter, guard: Guard) -> None:
        """`guard` decides which messages are believed."""
        self._report = report
        self._guard = guard

    def received(self, subscription: Subscription, data: bytes) -> None:
        try:
            message = self._decode(subscription, data)
        except BadEnvelope as error:
            self.dropped(error)
        else:
            subscription.subscriber.received(message)

    def doubted(self, subscriptions: Collection[Subscription]) -> None:
        self._report.resubscribed()
        for subscription in subscriptions:
            subscription.subscriber.doubted()

    def dropped(self, error: BadEnvelope) -> None:
        """Report a message that is not believed."""
        if isinstance(error, Forged):
            self._report.message_dropped("forged", str(error))
        else:
            # The reason may have bytes of the message in it.
            self._report.message_dropped("garbage", _UNREADABLE)

    def _decode(self, subscription: Subscription, data: bytes) -> Message:
        """The message in `data`. Raises BadEnvelope."""
        channel, room = subscription.channel, subscription.room
        form = data[0] if data else None
        if form == _LIVE:
            return self._guard.decode(channel, data[1:], None, room, live=True)
        if form != _WITH_POSITION:
            raise BadEnvelope(f"form {data[:1]!r}")
        epoch, colon, rest = data[1:].partition(b":")
        offset, second_colon, envelope = rest.partition(b":")
        if not (colon and second_colon and epoch.isascii() and offset.isdigit() and len(offset) < _MAX_DIGITS):
            raise BadEnvelope("no position")
        return self._guard.decode(channel, envelope, Position(epoch.decode(), int(offset)), room, live=True)


def encode_live(envelope: bytes) -> bytes:
    """The data of a message without a position."""
    return b"L" + envelope
