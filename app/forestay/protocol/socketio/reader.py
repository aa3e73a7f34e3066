"""Reads the events of one namespace as requests, and its own names of rooms as room names.

An event that is no request raises `Unreadable`, which repeats the ack id, so that the client hears the refusal.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Final, Protocol

import msgspec
from msgspec import Meta, Raw, Struct

from forestay.protocol import requests
from forestay.protocol.attachments import embed
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.events import Asking, Emission
from forestay.protocol.names import PERSONAL, escape, namespace_prefix, parse_room
from forestay.protocol.position import Position
from forestay.protocol.requests import Unreadable
from forestay.protocol.socketio.packets import Event

_Key = Annotated[str, Meta(min_length=1, max_length=128)]


class _Join(Struct, frozen=True):
    room: str
    since: Position | None = None


class _Leave(Struct, frozen=True):
    room: str


class _Message(Struct, frozen=True):
    room: str
    payload: Raw
    key: _Key | None = None
    echo: bool | None = None
    type: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)] = 0
    traceparent: str | None = None
    tracestate: str | None = None


class _Presence(Struct, frozen=True):
    room: str
    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class _History(Struct, frozen=True):
    room: str
    since: Position | None = None
    before: Position | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class _Auth(Struct, frozen=True):
    token: str


class OwnEvents(Protocol):
    """The rules for the events of an application, in one namespace."""

    def find(self, event: str, arguments: Sequence[Raw]) -> Emission | Asking | None:
        """What becomes of `event`; None where no rule names it. Raises Refusal where the room cannot be told."""


class Reader:
    """Reads the events of one namespace."""

    def __init__(self, namespace: str, own_events: OwnEvents, largest: int, *, calls: bool = False) -> None:
        """`largest`: bytes of the binary parts of a message, all together.

        `calls`: whether the application takes calls. Then an event that nothing else takes is one.
        """
        self._calls = calls
        self._prefix = namespace_prefix(namespace)
        self._own_events = own_events
        self._largest = largest
        self._read: dict[str, Callable[[Event], requests.Request]] = {
            "auth": self._auth,
            "history": self._history,
            "join-room": self._join,
            "leave-room": self._leave,
            "message": self._message,
            "presence": self._presence,
        }

    def read(self, event: Event) -> requests.Request:
        """The request in `event`. Raises Unreadable."""
        try:
            # A rule wins: an application keeps its event, such as `message`, whatever the gateway calls so.
            found = self._own_events.find(event.name, event.arguments)
            if found is not None:
                return self._call(event, found.method) if isinstance(found, Asking) else self._emitted(event, found)
            read = self._read.get(event.name)
            if read is None and self._calls:
                return self._call(event, self._prefix + event.name)
            if read is None:
                raise Refusal(ErrorCode.UNKNOWN_TYPE, f"no rule names the event {event.name[:_SHOWN]!r}; {_KNOWN}")
            return read(event)
        except Refusal as refusal:
            raise Unreadable(refusal, event.id) from None
        except msgspec.ValidationError as error:
            message = f"the argument of '{event.name}' is not as expected: {error}"
            if event.name == "message":
                message += "; write {room, payload}, or a rule for 'message' in FORESTAY_ROOMS_FILE"
            raise Unreadable(Refusal(ErrorCode.BAD_MESSAGE, message), event.id) from None
        except msgspec.DecodeError as error:
            raise Unreadable(Refusal(ErrorCode.BAD_JSON, f"not valid JSON: {error}"), event.id) from None

    def _join(self, event: Event) -> requests.Join:
        join = _decode_join(_room_or_object(event))
        return requests.Join(event.id, room=self._room(join.room), since=join.since)

    def _leave(self, event: Event) -> requests.Leave:
        return requests.Leave(event.id, room=self._room(_decode_leave(_room_or_object(event)).room))

    def _presence(self, event: Event) -> requests.Presence:
        _require_ack(event)
        asked = _decode_presence(_room_or_object(event))
        return requests.Presence(event.id, room=self._room(asked.room), after=asked.after, limit=asked.limit)

    def _history(self, event: Event) -> requests.History:
        _require_ack(event)
        asked = _decode_history(_room_or_object(event))
        room = self._room(asked.room)
        return requests.History(event.id, room=room, since=asked.since, before=asked.before, limit=asked.limit)

    def _auth(self, event: Event) -> requests.Auth:
        return requests.Auth(event.id, payload=requests.Token(_decode_auth(_first(event)).token))

    def _message(self, event: Event) -> requests.Broadcast | requests.Binary:
        message = _decode_message(_first(event))
        room, text = self._room(message.room), bytes(message.payload)
        if event.attachments:
            payload, binary_at = embed(text, event.attachments, self._largest)
            if binary_at == f"0:{len(payload)}":
                data = message.type.to_bytes(4, "big") + event.attachments[0]
                return requests.Binary(event.id, data=data, room=room, echo=message.echo)
        else:
            payload, binary_at = text, ""
        return requests.Emitted(
            event.id,
            room=room,
            payload=Raw(payload),
            key=message.key,
            echo=message.echo,
            traceparent=message.traceparent,
            tracestate=message.tracestate,
            binary_at=binary_at,
        )

    def _emitted(self, event: Event, emission: Emission) -> requests.Broadcast:
        text = b"[%b]" % b",".join(map(bytes, event.arguments))
        payload, binary_at = embed(text, event.attachments, self._largest) if event.attachments else (text, "")
        return requests.Emitted(
            event.id,
            room=emission.room,
            payload=Raw(payload),
            echo=emission.echo,
            event=emission.event,
            binary_at=binary_at,
        )

    def _call(self, event: Event, method: str) -> requests.Call:
        """One argument is the payload itself, so that native clients can call the same; several are a list of them."""
        arguments = event.arguments
        if not arguments:
            return requests.Call(event.id, method=method)
        text = bytes(arguments[0]) if len(arguments) == 1 else b"[%b]" % b",".join(map(bytes, arguments))
        payload = embed(text, event.attachments, self._largest)[0] if event.attachments else text
        return requests.Call(event.id, method=method, payload=Raw(payload))

    def _room(self, text: str) -> str:
        """The room that the clients of this namespace call `text`. Raises Refusal."""
        if text == PERSONAL:
            return text
        name = None
        if text:
            whole = self._prefix + text
            # Nearly every name needs no escape, and then it is one already. A `%` of the client is escaped.
            name = whole if "%" not in whole and parse_room(whole) is not None else escape(whole)
        if name is None:
            raise Refusal(ErrorCode.INVALID_ROOM, _INVALID_ROOM)
        return name


_REQUESTS: Final = "auth, history, join-room, leave-room, message, presence"
_KNOWN: Final = f"the events are {_REQUESTS}, and those of [[events]] in FORESTAY_ROOMS_FILE"
# Characters of the name of an event in a refusal.
_SHOWN: Final = 64
_INVALID_ROOM: Final = (
    "a room's name has 1 to 128 characters, and others than A-Z a-z 0-9 _ . : - count as %XX for each byte"
)

_decode_join = msgspec.json.Decoder(_Join).decode
_decode_leave = msgspec.json.Decoder(_Leave).decode
_decode_message = msgspec.json.Decoder(_Message).decode
_decode_presence = msgspec.json.Decoder(_Presence).decode
_decode_history = msgspec.json.Decoder(_History).decode
_decode_auth = msgspec.json.Decoder(_Auth).decode


def _first(event: Event) -> bytes:
    """The first argument. Raises Refusal where there is none."""
    if not event.arguments:
        raise Refusal(ErrorCode.BAD_MESSAGE, f"'{event.name}' needs an argument")
    return bytes(event.arguments[0])


def _room_or_object(event: Event) -> bytes:
    """The first argument as an object: a string is the room of one."""
    first = _first(event)
    return b'{"room":%b}' % first if first[:1] == b'"' else first


def _require_ack(event: Event) -> None:
    if event.id is None:
        message = f"the answer to '{event.name}' is its acknowledgement; emit it with a callback"
        raise Refusal(ErrorCode.BAD_MESSAGE, message)
