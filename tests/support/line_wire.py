"""A second wire, for tests only: lines of text with tabs between the fields.

A line has the name of what it is, the correlation id, the room, and fields written as `name=value`. A gap is `-`.
"""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Final, assert_never

from forestay.protocol import replies
from forestay.protocol.codes import Ending
from forestay.protocol.message import Kind, Message
from forestay.protocol.names import RoomName, shown
from forestay.protocol.position import Position
from forestay.protocol.wire import Liveness


class LineWire:
    """Counts how often it encodes each message, by payload."""

    name: Final = "line"

    def __init__(self, *, tailed: bool = False, relocates: bool = True, liveness: Liveness = Liveness.ANSWERED) -> None:
        self.tailed = tailed
        self.relocates = relocates
        self.liveness = liveness
        self.encoded: Counter[bytes] = Counter()

    @property
    def plain(self) -> "LineWire":
        return self

    def message(self, message: Message, *, traced: bool) -> bytes:
        self.encoded[message.payload] += 1
        if message.kind is not Kind.BROADCAST:
            return _line(message.kind, None, message.room, payload=message.payload.decode())
        offset = None if message.position is None else message.position.offset
        trace = message.trace.traceparent if traced and message.trace else None
        payload = message.payload.hex() if message.binary else message.payload.decode()
        return _line("message", None, message.room, sender=message.sender, offset=offset, trace=trace, payload=payload)

    def reply(self, reply: replies.Reply) -> bytes:
        match reply:
            case replies.Ack(id, room, position):
                return _line("ack", id, room, offset=None if position is None else position.offset)
            case replies.Pong(id):
                return _line("pong", id, None)
            case replies.Error(id, room, refusal):
                return _line("error", id, room, code=refusal.code)
            case replies.Joined():
                users = None if reply.members is None else [one.user for one in reply.members.members]
                return _line("joined", reply.id, reply.room, recovered=reply.recovered, users=users)
            case replies.Left(id, room, reason):
                return _line("left", id, room, reason=reason)
            case replies.PresenceReply(id, room, page):
                return _line("presence", id, room, users=[one.user for one in page.members])
            case replies.HistoryReply():
                payloads = [json.loads(message.payload) for message in reply.messages]
                return _line("history", reply.id, reply.room, payloads=payloads)
            case replies.Result(id, payload):
                return _line("result", id, None, payload=payload.decode())
            case replies.Resync(room, reason):
                return _line("resync", None, room, reason=reason)
            case replies.Reconnect(reason, after):
                return _line("reconnect", None, None, reason=reason, after=after)
            case replies.Welcome(connection, user):
                return _line("welcome", None, None, connection=connection, user=user)
            case _:
                assert_never(reply)

    def ping(self) -> bytes:
        return _line("ping", None, None)

    def pong(self, data: bytes) -> bytes:
        return _line("pong", None, None, data=data.hex())

    def close(self, ending: Ending) -> bytes:
        return _line("close", None, None, code=ending.code, reason=ending.reason)


def tail(positions: Mapping[RoomName, Position]) -> bytes:
    """The line that ends a write where the wire is tailed: room, epoch and offset of each position."""
    return _line("tail", None, None, **{room: f"{at.epoch} {at.offset}" for room, at in positions.items()})


def positions(data: bytes) -> dict[RoomName, Position] | None:
    """What the last tail in `data` says; None where there is none. A line that is cut off says nothing."""
    whole = data[: data.rfind(b"\n") + 1]
    tails = [fields for name, _, _, fields in lines(whole) if name == "tail"]
    if not tails:
        return None
    split = {room: text.split() for room, text in tails[-1].items()}
    return {RoomName(room): Position(epoch, int(offset)) for room, (epoch, offset) in split.items()}


def lines(data: bytes) -> list[tuple[str, str, str, dict[str, str]]]:
    """What a client reads: name, id and room of each line, and its fields."""
    found = []
    for line in data.decode().splitlines():
        name, id, room, *fields = line.split("\t")
        found.append((name, id, room, dict(field.split("=", 1) for field in fields)))
    return found


def _line(name: str, id: str | None, room: RoomName | str | None, **fields: object) -> bytes:
    called = None if room is None else shown(RoomName(room))
    written = [f"{key}={_text(value)}" for key, value in fields.items() if value is not None]
    return ("\t".join([name, id or "-", called or "-", *written]) + "\n").encode()


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
