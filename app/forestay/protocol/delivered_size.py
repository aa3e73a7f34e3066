"""Computes how many bytes a message has when it reaches clients, without encoding it.

The gateway adds fields to what a publisher wrote, so a message can come out larger than it came in. Many WebSocket
libraries end a connection that brings more than they expect.
"""

from typing import Final

from msgspec.json import encode as to_json

from forestay.protocol.message import Message
from forestay.protocol.names import shown

MOST_ADDED: Final = 2400
"""Bytes that are added at most: by the longest room name, the longest user name, a position, a trace and an `id`."""

_TIMESTAMP: Final = "2026-11-22T12:00:00.123Z"
_BROADCAST: Final = len(f'{{"type":"broadcast","room":"","payload":,"timestamp":"{_TIMESTAMP}"}}')
_PAGE: Final = len(
    '{"type":"history","id":"","room":"","payload":{"epoch":"","messages":[{"offset":,"payload":,'
    f'"timestamp":"{_TIMESTAMP}"}}],"more":false}},"timestamp":"{_TIMESTAMP}"}}'
)
_FROM: Final = len(',"from":')
_TRACE: Final = len(',"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"')
# The longest epoch, offset and `id`. An `id` has 64 characters, and a control character takes six bytes in JSON.
_EPOCH, _OFFSET, _ID = 32, 16, 64 * 6


def largest_form(message: Message, *, kept: bool, traced: bool) -> int:
    """The most bytes that any client gets with `message`.

    `kept`: the room has a history, so the message can also be the only entry of a page. `traced`: receivers see the
    trace context.
    """
    size = len(message.payload)
    if message.binary:
        return size
    size += len(shown(message.room))
    if message.sender is not None:
        size += _FROM + len(to_json(message.sender))
    if kept:
        return size + _PAGE + _EPOCH + _OFFSET + _ID
    return size + _BROADCAST + (_TRACE if traced else 0)
