"""The sse wire: the JSON texts of protocol version 1 as server-sent events."""

import re
from collections.abc import Callable
from typing import Final

from forestay.protocol.codes import Ending
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from forestay.protocol.v1.texts import LARGEST, Texts
from forestay.protocol.wire import Liveness

# A line of an event ends at each of them. In JSON they are no more than white space between two tokens.
_LINE_ENDS: Final = bytes.maketrans(b"\r\n", b"  ")

# A comment without an empty line after it: some readers take an empty line for the end of an event.
_COMMENT: Final = b":\n"


# In place of an id: the room of a message and its place there. See `with_ids`.
_MARK: Final = b"\nid: "
_MARKED: Final = re.compile(rb"\nid: (.+) (\d+)\.([\w-]+)\n")
_EPOCH: Final = re.compile(r"[\w-]+", re.ASCII)


def event(text: bytes) -> bytes:
    """One event with `text` as its data, and no id."""
    if b"\n" in text or b"\r" in text:
        text = text.translate(_LINE_ENDS)
    return b"data: %b\n\n" % text


def with_id(events: bytes, line: bytes) -> bytes:
    """`events` with an id of the last one. `line`: the `id` line."""
    return b"%b%b\n" % (events[:-1], line)


def with_ids(events: bytes, line: Callable[[RoomName, Position], bytes]) -> bytes:
    """`events`, where each message with a position has an id. `line`: makes the `id` line of one client.

    All members of a room share the bytes of a message, and each has ids of its own.
    """
    if _MARK not in events:
        return events

    def own(found: re.Match[bytes]) -> bytes:
        return b"\n" + line(RoomName(found[1].decode()), Position(found[3].decode(), int(found[2])))

    return _MARKED.sub(own, events)


def with_retry(events: bytes, milliseconds: int) -> bytes:
    """`events`, where the first one says after how many `milliseconds` the client comes back after a loss."""
    return b"retry: %d\n%b" % (milliseconds, events)


class SseWire(Texts):
    """Encodes for event streams. Binary messages are not for them."""

    name: Final = "sse"
    liveness: Final = Liveness.KEPT_OPEN
    relocates: Final = True
    tailed: Final = True

    def __init__(self, clock: Callable[[], float], largest: int = LARGEST) -> None:
        """`clock`: Unix seconds, for the `timestamp` of replies. `largest`: bytes of a message; pages are cut to it."""
        super().__init__(clock, largest)

    @property
    def plain(self) -> "SseWire":
        """See Wire.plain."""
        return self

    def wrap(self, text: bytes) -> bytes:
        """One event, without an id."""
        return event(text)

    def message(self, message: Message, *, traced: bool) -> bytes:
        """One event. With a position it has a mark, which `with_ids` replaces by an id."""
        data, position = super().message(message, traced=traced), message.position
        if position is None or not data or not _EPOCH.fullmatch(position.epoch):
            return data
        room = message.room.encode("utf-8", "surrogatepass")
        return b"%bid: %b %d.%b\n\n" % (data[:-1], room, position.offset, position.epoch.encode())

    def ping(self) -> bytes:
        """A comment, which keeps proxies from ending the connection."""
        return _COMMENT

    def pong(self, data: bytes) -> bytes:
        """Nothing: the client of a stream sends nothing, and so no ping."""
        return b""

    def close(self, ending: Ending) -> bytes:
        """The last event, for clients that act on the code."""
        return self._wrapped("close", payload={"code": int(ending.code), "reason": ending.reason})
