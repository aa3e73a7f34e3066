"""Inspects a message from the bus as strictly as a message from a client.

An attacker who can write to the bus could otherwise send clients what they cannot read: text that is not UTF-8, half of
a JSON value, more bytes than they take. Strict clients end such a connection for good.
"""

from typing import Final

import msgspec
from msgspec import Raw

from forestay.protocol.attachments import are_places, fault_of_places
from forestay.protocol.codes import Refusal
from forestay.protocol.delivered_size import MOST_ADDED, largest_form
from forestay.protocol.depth import deeper_than
from forestay.protocol.envelope import BadEnvelope
from forestay.protocol.events import check_event
from forestay.protocol.message import Kind, Message
from forestay.protocol.presence import Change

# More than the longest of ours. A longer one would make a message larger than it was computed to be.
_MAX_TIMESTAMP: Final = 40
_MAX_EPOCH: Final = 32
_MAX_SENDER: Final = 2400
_LEAST_BINARY: Final = 4

_decode = msgspec.json.Decoder(Raw).decode
_decode_news = msgspec.json.Decoder(Change).decode


class Inspector:
    """Lets pass what any client can read."""

    def __init__(self, largest: int, max_depth: int) -> None:
        """`largest`: bytes of the largest message that a client gets. `max_depth`: nested arrays and objects."""
        self._largest = largest
        self._surely_fits = largest - MOST_ADDED
        self._max_depth = max_depth

    def inspect(self, message: Message) -> None:
        """Raises BadEnvelope if `message` could not have come from a client, a backend or a pod."""
        for_pods = message.room[0] == "!"
        if for_pods is not (message.kind is Kind.PODS):
            raise BadEnvelope("the room is of another kind")
        if for_pods:
            # Pods read these themselves, and trust them no more.
            return
        payload, position = message.payload, message.position
        _inspect_fields(message)
        if len(payload) > self._surely_fits and (
            largest_form(message, kept=position is not None, traced=message.trace is not None) > self._largest
        ):
            raise BadEnvelope("the message is too large for clients")
        if message.binary:
            if len(payload) < _LEAST_BINARY or position is not None or message.kind is not Kind.BROADCAST:
                raise BadEnvelope("no binary message")
            return
        inspect_json(payload, self._max_depth, news=message.kind is not Kind.BROADCAST)
        if message.binary_at and (fault := fault_of_places(payload, message.binary_at)):
            raise BadEnvelope(fault)


def _inspect_fields(message: Message) -> None:
    """Raises BadEnvelope unless the fields around the payload have the form and length that a pod gives them."""
    if len(message.timestamp) > _MAX_TIMESTAMP:
        raise BadEnvelope("the timestamp is too long")
    if message.position is not None and len(message.position.epoch) > _MAX_EPOCH:
        raise BadEnvelope("the epoch is too long")
    if message.sender is not None and len(message.sender) > _MAX_SENDER:
        raise BadEnvelope("the sender is too long")
    if message.event is not None or message.binary_at:
        _inspect_event(message)


def _inspect_event(message: Message) -> None:
    """Raises BadEnvelope unless `event` and `binary_at` of `message` have their form."""
    if message.binary or message.kind is not Kind.BROADCAST:
        raise BadEnvelope("only a JSON message can be an event, or have binary parts")
    if message.binary_at and not are_places(message.binary_at):
        raise BadEnvelope("binary_at has another form")
    if message.event is not None:
        try:
            check_event(message.event, message.payload, by_client=False)
        except Refusal as refusal:
            raise BadEnvelope(refusal.message) from None


def inspect_json(text: bytes, max_depth: int, *, news: bool = False) -> None:
    """Raises BadEnvelope unless `text` is JSON as a client may send it; with `news`, that of a user."""
    if deeper_than(text, max_depth):
        raise BadEnvelope("nested too deep")
    try:
        if not text.isascii():
            text.decode()
        (_decode_news if news else _decode)(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadEnvelope(str(error)) from None
