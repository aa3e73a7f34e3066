"""The gateway's sentences as finished WebSocket frames, built once however many sockets they go to.

A frame from a server carries no mask, so the same bytes serve a whole room. Another wire format is another encoder
with the same methods.
"""

from collections.abc import Callable, Mapping, Sequence
from struct import pack

from msgspec import Raw, Struct
from msgspec.json import encode as to_json

from forestay.protocol.codes import Ending, Refusal
from forestay.protocol.message import Kind, Message, Position, timestamp
from forestay.protocol.names import RoomName, shown

Payload = Mapping[str, object]

PING = b"\x89\x00"

_TEXT = 0x81
_BINARY = 0x82
_CLOSE = 0x88
_PONG = 0x8A


class _Broadcast(Struct, tag_field="type", tag="broadcast", omit_defaults=True, rename={"sender": "from"}):
    room: str
    payload: Raw
    timestamp: str
    sender: str | None = None
    epoch: str | None = None
    offset: int | None = None
    traceparent: str | None = None


class _News(Struct):
    type: str
    room: str
    payload: Raw
    timestamp: str


class _Sentence(Struct, omit_defaults=True):
    type: str
    id: str | None = None
    room: str | None = None
    payload: Payload | None = None
    timestamp: str | None = None


def frame(opcode: int, payload: bytes) -> bytes:
    """One unfragmented, unmasked frame. `opcode` includes the FIN bit."""
    size = len(payload)
    if size < 126:
        return pack("!BB", opcode, size) + payload
    if size < 65536:
        return pack("!BBH", opcode, 126, size) + payload
    return pack("!BBQ", opcode, 127, size) + payload


def close_frame(ending: Ending) -> bytes:
    """The close frame; the reason is cut to what a control frame can hold."""
    reason = ending.reason.encode()[:123].decode(errors="ignore").encode()
    return frame(_CLOSE, pack("!H", ending.code) + reason)


def pong_frame(data: bytes) -> bytes:
    return frame(_PONG, data)


def placed(position: Position | None) -> dict[str, object]:
    """`epoch` and `offset` as fields of a payload; none in rooms without history."""
    return {} if position is None else {"epoch": position.epoch, "offset": position.offset}


def listed(messages: Sequence[Message]) -> list[dict[str, object]]:
    """Messages of the past, as `history` and its HTTP twin list them."""
    return [_past(message) for message in messages]


def _past(message: Message) -> dict[str, object]:
    entry: dict[str, object] = {"offset": message.position.offset if message.position else 0}
    if message.sender is not None:
        entry["from"] = message.sender
    return entry | {"payload": Raw(message.payload), "timestamp": message.timestamp}


class Encoder:
    """Protocol version 1 over WebSocket: text frames for sentences, binary frames as they came."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: Unix seconds, for the `timestamp` of everything said."""
        self._clock = clock

    def stamp(self) -> str:
        """Now, as a `timestamp`."""
        return timestamp(int(self._clock() * 1000))

    def message(self, message: Message, *, traced: bool) -> bytes:
        """What the members of a room hear. `traced`: the room shows its receivers the message's `traceparent`."""
        if message.binary:
            return frame(_BINARY, message.payload)
        if message.kind is not Kind.BROADCAST:
            news = _News(message.kind, shown(message.room), Raw(message.payload), message.timestamp)
            return frame(_TEXT, to_json(news))
        trace = message.trace.traceparent if traced and message.trace else None
        epoch = offset = None
        if message.position is not None:
            epoch, offset = message.position.epoch, message.position.offset
        payload = Raw(message.payload)
        sentence = _Broadcast(
            shown(message.room), payload, message.timestamp, message.sender, epoch, offset, traceparent=trace
        )
        return frame(_TEXT, to_json(sentence))

    def answer(
        self, kind: str, *, id: str | None = None, room: RoomName | None = None, payload: Payload | None = None
    ) -> bytes:
        """Anything else the gateway says: `welcome`, `joined`, `ack`, `user-left`, `resync` and so on."""
        named = None if room is None else shown(room)
        return frame(_TEXT, to_json(_Sentence(kind, id, named, payload, self.stamp())))

    def refusal(self, refusal: Refusal, *, id: str | None, room: str | None) -> bytes:
        """An `error`, with `id` and `room` as the client wrote them."""
        payload: dict[str, object] = {"code": refusal.code, "message": refusal.message}
        if refusal.retry_after is not None:
            payload["retry_after_ms"] = max(1, round(refusal.retry_after * 1000))
        return frame(_TEXT, to_json(_Sentence("error", id, room, payload, self.stamp())))
