"""Encodes replies, room messages and the life of a namespace as Socket.IO packets, in finished WebSocket frames.

Each namespace has one wire, so a message is encoded once for all members of a room that came through it. A polling
client gets the same bytes: its transport takes the frames apart.
"""

from collections.abc import Mapping, Sequence
from typing import Final, assert_never

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.json import encode as to_json

from forestay.protocol import replies
from forestay.protocol.attachments import extract
from forestay.protocol.codes import CloseCode, Ending, Refusal
from forestay.protocol.message import Kind, Message
from forestay.protocol.names import PERSONAL, RoomName, escaped, is_personal, namespace_prefix, shown, unescape
from forestay.protocol.position import Position
from forestay.protocol.socketio.packets import ROOT
from forestay.protocol.socketio.positions import POSITION_EVENT, written
from forestay.protocol.v1.forms import Broadcast
from forestay.protocol.v1.pages import history_fields, presence_fields
from forestay.protocol.v1.texts import LARGEST, LONGEST_ROOM, position_fields, refusal_fields
from forestay.protocol.websocket.writing import BINARY, frame, text_frame
from forestay.protocol.wire import Liveness

_Fields = Mapping[str, object]

STOPS: Final = frozenset({CloseCode.REVOKED, CloseCode.CONNECTION_LIMIT})
"""The close codes with which the core tells a client to stop.

A broken packet stops a client too by `verdict`, but ends only its transport: a stock client may come back after that.
"""

# The first part of a native binary message. Its receivers read it as the field `type`.
_TYPE_BYTES: Final = 4

# Bytes that an answer has around its fields: type, ack id, brackets.
_AROUND: Final = 24

_PLACEHOLDER: Final = Raw(b'{"_placeholder":true,"num":0}')


class _Message(Broadcast):
    type: int | None = None
    """Of a binary message."""
    traceparent: str | None = None


class _News(Struct):
    user: Raw
    info: Raw | UnsetType = UNSET


_decode_news = msgspec.json.Decoder(_News).decode


class SocketioWire:
    """Encodes for the clients in one namespace."""

    name: Final = "socketio"
    liveness: Final = Liveness.BY_TRANSPORT
    relocates: Final = False
    tailed: Final = True

    def __init__(self, namespace: str, largest: int = LARGEST) -> None:
        """`namespace`: its path. `largest`: bytes of a message; pages are cut to it."""
        self.namespace = namespace
        self._largest = largest
        self._prefix = escaped(namespace_prefix(namespace))
        self._where = _where(namespace)
        self._last: tuple[Mapping[RoomName, Position], str] = ({}, "")
        """The positions that were written last, and their text: the members of a room have the same ones."""

    @property
    def plain(self) -> "SocketioWire":
        """See Wire.plain."""
        return self

    def message(self, message: Message, *, traced: bool) -> bytes:
        """The event `message`, `user-joined` or `user-left`, or the message's own event."""
        if message.event is not None:
            return self._own_event(message, message.event)
        if message.kind is not Kind.BROADCAST:
            news = _decode_news(message.payload)
            fields = {"room": self.shown(message.room), "userId": news.user}
            return self._event(message.kind, fields if news.info is UNSET else fields | {"info": news.info})
        trace = message.trace.traceparent if traced and message.trace else None
        room, payload, kind = self.shown(message.room), message.payload, None
        attachments: Sequence[bytes] = ()
        if message.binary:
            kind = int.from_bytes(payload[:_TYPE_BYTES], "big")
            attachments, payload = (payload[_TYPE_BYTES:],), _PLACEHOLDER
        elif message.binary_at:
            payload, attachments = extract(payload, message.binary_at)
        epoch = offset = None
        if message.position is not None:
            epoch, offset = message.position.epoch, message.position.offset
        fields_ = _Message(room, Raw(payload), message.timestamp, message.sender, epoch, offset, kind, trace)
        return self._packet(b'["message",' + to_json(fields_) + b"]", attachments)

    def reply(self, reply: replies.Reply) -> bytes:
        """An answer where the request had an ack id, an event where nothing was asked; empty for all others."""
        if isinstance(reply, replies.Error):
            return self._error(reply)
        if isinstance(reply, replies.Resync):
            where = position_fields(reply.position)
            return self._event("resync", {"room": self.shown(reply.room), "reason": reply.reason} | where)
        if isinstance(reply, replies.Result):
            # As the application answers it, as on a server of Socket.IO.
            return text_frame(b"43%b%b[%b]" % (self._where, reply.id.encode(), reply.payload))
        if isinstance(reply, replies.Left) and reply.id is None and reply.reason is not None:
            return self._event("left", {"room": self.shown(reply.room), "reason": reply.reason})
        # The namespace says who the client is when it lets it in, and clients do not know how to move.
        if isinstance(reply, replies.Welcome | replies.Reconnect) or reply.id is None:
            return b""
        return self._answer(reply.id, self._fields(reply))

    def ping(self) -> bytes:
        """Nothing: Engine.IO pings all namespaces of a client at once."""
        return b""

    def pong(self, data: bytes) -> bytes:
        """Nothing, for the same reason."""
        return b""

    def close(self, ending: Ending) -> bytes:
        """DISCONNECT where the client must not come back: a stock client comes back after anything else."""
        return self.left() if ending.code in STOPS else b""

    def entered(self, sid: str, pid: str) -> bytes:
        """CONNECT: the client is in the namespace. `pid`: by which it can recover, and a secret."""
        return text_frame(b"40" + self._where + to_json({"sid": sid, "pid": pid}))

    def left(self) -> bytes:
        """DISCONNECT: the client is in the namespace no longer, and must not come back by itself."""
        return text_frame(b"41" + self._where)

    def refused(self, message: str, code: str | int) -> bytes:
        """CONNECT_ERROR: the client may not enter the namespace. A stock client does not ask again by itself."""
        return refused(self.namespace, message, {"code": code})

    def refused_because(self, refusal: Refusal) -> bytes:
        """The same with what is known of a refusal."""
        fields = refusal_fields(refusal)
        return refused(self.namespace, str(fields.pop("message")), fields)

    def position(self, pid: str, positions: Mapping[RoomName, Position]) -> bytes:
        """The event that tells a client where it is in its rooms. It brings the text back when it reconnects."""
        known, text = self._last
        if known != positions:
            text = written({shown(room): position for room, position in positions.items()})
            self._last = (dict(positions), text)
        return text_frame(b'42%b["%b","%b%b"]' % (self._where, POSITION_EVENT, pid.encode(), text.encode()))

    def shown(self, room: str) -> str:
        """The name of `room` for the clients of this namespace."""
        if is_personal(RoomName(room)):
            return PERSONAL
        return unescape(room.removeprefix(self._prefix))

    def _own_event(self, message: Message, event: str) -> bytes:
        arguments, attachments = message.payload, list[bytes]()
        if message.binary_at:
            arguments, attachments = extract(arguments, message.binary_at)
        inner = arguments.strip()[1:-1].strip()
        name = to_json(event)
        return self._packet(b"[%b,%b]" % (name, inner) if inner else b"[%b]" % name, attachments)

    def _event(self, name: str, fields: _Fields) -> bytes:
        return self._packet(to_json((name, fields)))

    def _packet(self, data: bytes, attachments: Sequence[bytes] = ()) -> bytes:
        if not attachments:
            return text_frame(b"42" + self._where + data)
        text = text_frame(b"45%d-%b%b" % (len(attachments), self._where, data))
        return text + b"".join([frame(BINARY, part) for part in attachments])

    def _answer(self, id: str, fields: _Fields) -> bytes:
        return text_frame(b"43%b%b%b" % (self._where, id.encode(), to_json((fields,))))

    def _left(self, fields: _Fields) -> int:
        """The bytes that a page may take beside `fields`."""
        return self._largest - len(to_json(fields)) - len(self._where) - _AROUND

    def _fields(self, reply: replies.RoomAnswer | replies.Ack | replies.Pong) -> _Fields:
        """The answer to a request that was carried out."""
        done: dict[str, object] = {"ok": True}
        if not isinstance(reply, replies.Pong) and reply.room is not None:
            done["room"] = self.shown(reply.room)
        match reply:
            case replies.Ack():
                done |= position_fields(reply.position)
            case replies.Joined():
                done |= self._joined(reply, done)
            case replies.PresenceReply():
                done |= presence_fields(reply.page, self._left(done))
            case replies.HistoryReply(_, _, epoch, messages, more, newest):
                done |= history_fields(epoch, messages, more=more, newest=newest, max_bytes=self._left(done))
            case replies.Left() | replies.Pong():
                pass
            case _:
                assert_never(reply)
        return done

    def _joined(self, reply: replies.Joined, done: _Fields) -> dict[str, object]:
        fields = position_fields(reply.position)
        if reply.recovered is not None:
            fields["recovered"] = reply.recovered
        if reply.members is not None:
            fields["members"] = presence_fields(reply.members, self._left({**done, **fields, "members": {}}))
        return fields

    def _error(self, reply: replies.Error) -> bytes:
        fields = refusal_fields(reply.refusal)
        if reply.room is not None and len(reply.room) <= LONGEST_ROOM:
            fields["room"] = self.shown(reply.room)
        return self._event("error", fields) if reply.id is None else self._answer(reply.id, {"ok": False} | fields)


def refused(namespace: str, message: str, data: _Fields | None = None) -> bytes:
    """CONNECT_ERROR for a namespace, which need not exist."""
    fields: dict[str, object] = {"message": message}
    return text_frame(b"44" + _where(namespace) + to_json(fields if data is None else fields | {"data": data}))


def _where(namespace: str) -> bytes:
    return b"" if namespace == ROOT else namespace.encode() + b","
