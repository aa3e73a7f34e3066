"""Encodes replies and room messages as the JSON texts of protocol version 1, whatever carries them."""

from collections.abc import Callable
from typing import Final, assert_never

from msgspec import Raw
from msgspec.json import encode as to_json

from forestay.protocol import replies
from forestay.protocol.codes import Refusal
from forestay.protocol.message import Kind, Message
from forestay.protocol.names import PROTOCOL, RoomName, shown
from forestay.protocol.position import Position
from forestay.protocol.timestamps import Stamps
from forestay.protocol.v1.forms import BroadcastText, NewsText, Payload, ReplyText, ResultText
from forestay.protocol.v1.pages import history_fields, presence_fields

LARGEST: Final = 65536
"""Bytes of the largest message, where nothing else is set."""

LONGEST_ROOM: Final = 256
"""Characters of a room that an error repeats."""


# A constant is quicker than a name of an Enum.
_BROADCAST: Final = Kind.BROADCAST


def position_fields(position: Position | None) -> dict[str, object]:
    """`epoch` and `offset` as fields of a payload. Empty in rooms without history."""
    return {} if position is None else {"epoch": position.epoch, "offset": position.offset}


def refusal_fields(refusal: Refusal) -> dict[str, object]:
    """What a client is told of a refusal: its code, what is wrong, and where known the reason and the time to wait."""
    fields: dict[str, object] = {"code": refusal.code, "message": refusal.message}
    if refusal.reason is not None:
        fields["reason"] = refusal.reason
    if refusal.retry_after_ms is not None:
        fields["retry_after_ms"] = refusal.retry_after_ms
    return fields


class Texts:
    """The JSON texts of protocol version 1. A wire puts each into its form."""

    def __init__(self, clock: Callable[[], float], largest: int = LARGEST) -> None:
        """`clock`: Unix seconds, for the `timestamp` of replies. `largest`: bytes of a message; pages are cut to it."""
        self._stamps = Stamps(clock)
        self._largest = largest
        self._limits: replies.ClientLimits | None = None
        self._limits_fields: dict[str, object] = {}
        """Of `_limits`, which are those of the last `welcome`: they are the same for all connections of a pod."""

    def wrap(self, text: bytes) -> bytes:
        """`text` in the form of the wire. Here it stays as it is."""
        return text

    def message(self, message: Message, *, traced: bool) -> bytes:
        """A broadcast or news as JSON; a binary message as `binary` makes it."""
        if message.binary:
            return self.binary(message.payload)
        if message.kind is not _BROADCAST:
            news = NewsText(message.kind, shown(message.room), Raw(message.payload), message.timestamp)
            return self.wrap(to_json(news))
        context = message.trace if traced else None
        trace = None if context is None else context.traceparent
        epoch: str | None = None
        offset: int | None = None
        position = message.position
        if position is not None:
            epoch, offset = position.epoch, position.offset
        payload = Raw(message.payload)
        broadcast = BroadcastText(
            shown(message.room), payload, message.timestamp, message.sender, epoch, offset, trace, message.event
        )
        return self.wrap(to_json(broadcast))

    def binary(self, payload: bytes) -> bytes:
        """A binary message. It has no JSON, so there is nothing to write."""
        return b""

    def reply(self, reply: replies.Reply) -> bytes:
        """A reply as JSON."""
        # First the replies that are by far the most frequent: one for each message, and one for each connection.
        if isinstance(reply, replies.Ack):
            return self._wrapped("ack", reply.id, reply.room, position_fields(reply.position))
        if isinstance(reply, replies.Welcome):
            return self._wrapped("welcome", payload=self._welcome(reply))
        if isinstance(reply, replies.Error):
            return self._error(reply)
        if isinstance(reply, replies.Notice):
            return self._notice(reply)
        if isinstance(reply, replies.Result):
            return self.wrap(to_json(ResultText(reply.id, Raw(reply.payload), self._stamps.now())))
        return self._answer(reply)

    def _welcome(self, reply: replies.Welcome) -> Payload:
        if reply.limits is not self._limits:
            self._limits, self._limits_fields = reply.limits, _limits_fields(reply.limits)
        return {"connection": reply.connection, "user": reply.user, **self._limits_fields}

    def _answer(self, reply: replies.RoomAnswer | replies.Pong) -> bytes:
        room: RoomName | None = None
        payload: Payload | None = None
        match reply:
            case replies.Pong():
                kind = "pong"
            case replies.Joined():
                return self._joined(reply)
            case replies.Left(_, room, reason):
                kind, payload = "left", None if reason is None else {"reason": reason}
            case replies.PresenceReply(_, room, page):
                kind, payload = "presence", presence_fields(page, self._left("presence", reply.id, room, {}))
            case replies.HistoryReply(_, room):
                kind, payload = "history", self._history(reply)
            case _:
                assert_never(reply)
        return self._wrapped(kind, reply.id, room, payload)

    def _joined(self, reply: replies.Joined) -> bytes:
        payload = position_fields(reply.position)
        if reply.recovered is not None:
            payload["recovered"] = reply.recovered
        if reply.members is not None:
            left = self._left("joined", reply.id, reply.room, payload | {"members": {}})
            payload["members"] = presence_fields(reply.members, left)
        return self._wrapped("joined", reply.id, reply.room, payload)

    def _history(self, reply: replies.HistoryReply) -> Payload:
        left = self._left("history", reply.id, reply.room, {})
        return history_fields(reply.epoch, reply.messages, more=reply.more, newest=reply.newest, max_bytes=left)

    def _left(self, kind: str, id: str | None, room: RoomName, payload: Payload) -> int:
        """The bytes that a page may take in such a message, in place of an empty object."""
        return self._largest - len(self._text(kind, id, room, payload)) + len("{}")

    def _notice(self, reply: replies.Notice) -> bytes:
        match reply:
            case replies.Resync(room, reason, position):
                return self._wrapped("resync", None, room, {"reason": reason} | position_fields(position))
            case replies.Reconnect(reason, after, within):
                payload = {"reason": reason, "after_ms": round(after * 1000), "within_ms": round(within * 1000)}
                return self._wrapped("reconnect", payload=payload)
            case _:
                assert_never(reply)

    def _wrapped(
        self, kind: str, id: str | None = None, room: RoomName | None = None, payload: Payload | None = None
    ) -> bytes:
        return self.wrap(self._text(kind, id, room, payload))

    def _text(self, kind: str, id: str | None, room: RoomName | None, payload: Payload | None) -> bytes:
        return to_json(ReplyText(kind, id, None if room is None else shown(room), payload, self._stamps.now()))

    def _error(self, reply: replies.Error) -> bytes:
        refusal = reply.refusal
        payload = refusal_fields(refusal)
        # The room is as the client wrote it, and may be no room name. A longer text is none, and could be any length.
        room = reply.room if reply.room is not None and len(reply.room) <= LONGEST_ROOM else None
        return self.wrap(to_json(ReplyText("error", reply.id, room, payload, self._stamps.now())))


def _limits_fields(limits: replies.ClientLimits) -> dict[str, object]:
    return {
        "protocol": PROTOCOL,
        "ping_interval_ms": round(limits.ping_interval * 1000),
        "pong_timeout_ms": round(limits.pong_timeout * 1000),
        "reconnect_spread_ms": round(limits.reconnect_spread * 1000),
        "limits": {
            "message_bytes": limits.message_bytes,
            "rate": _number(limits.rate),
            "burst": limits.burst,
            "bytes_rate": _number(limits.bytes_rate),
            "rooms": limits.rooms,
            "rooms_per_join": limits.rooms,
        },
    }


def _number(value: float) -> object:
    """`value` without a needless fraction: some JSON readers take 200.0 for another type than 200."""
    # Where a function returns a float, a compiled one makes an int a float again.
    return int(value) if value == int(value) else value
