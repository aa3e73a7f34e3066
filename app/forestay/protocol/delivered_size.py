"""Computes how many bytes a message has when it reaches clients, without encoding it.

The gateway adds fields to what a publisher wrote, so a message can come out larger than it came in. Many WebSocket
libraries end a connection that brings more than they expect.
"""

from typing import Final

from msgspec.json import encode as to_json

from forestay.protocol.attachments import growth
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName, is_personal, shown, unescape

MOST_ADDED: Final = 3200
"""Bytes that are added at most: by the longest room name, the longest user name, the longest name of an event, a
position, a trace, an `id`, and placeholders of attachments."""

LONGEST_NAMESPACE: Final = 64
"""Characters of the path of a namespace."""

_TIMESTAMP: Final = "2026-11-22T12:00:00.123Z"
_BROADCAST: Final = len(f'{{"type":"broadcast","room":"","payload":,"timestamp":"{_TIMESTAMP}"}}')
_PAGE: Final = len(
    '{"type":"history","id":"","room":"","payload":{"epoch":"","messages":[{"offset":,"payload":,'
    f'"timestamp":"{_TIMESTAMP}"}}],"more":false}},"timestamp":"{_TIMESTAMP}"}}'
)
_FROM: Final = len(',"from":')
_EVENT: Final = len(',"event":')
_TRACE: Final = len(',"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"')
# The longest epoch, offset and `id`. An `id` has 64 characters, and a control character takes six bytes in JSON.
_EPOCH, _OFFSET, _ID = 32, 16, 64 * 6


def largest_form(message: Message, *, kept: bool, traced: bool) -> int:
    """The most bytes that any client gets with `message`, on any wire.

    Socket.IO's form has less around the payload. It is larger only where it writes more for a short binary part, or for
    an escape in the room's name.

    `kept`: the room has a history, so the message can also be the only entry of a page. `traced`: receivers see the
    trace context.
    """
    size = len(message.payload)
    if message.binary:
        return size
    size += _shown_size(message.room)
    if message.event is not None:
        size += _EVENT + len(to_json(message.event))
    if message.binary_at:
        size += max(0, growth(message.binary_at))
    if message.sender is not None:
        size += _FROM + len(to_json(message.sender))
    if kept:
        return size + _PAGE + _EPOCH + _OFFSET + _ID
    return size + _BROADCAST + (_TRACE if traced else 0)


def _shown_size(room: RoomName) -> int:
    """The bytes of the room's name in its longest form, and of the namespace of Socket.IO clients before it."""
    name = shown(room)
    if "%" in name:
        return max(len(name), len(to_json(unescape(name))) - len('""'))
    # The name of a room begins with its namespace. A personal room has the same name in all of them.
    return len(name) + (LONGEST_NAMESPACE if is_personal(room) else 0)
