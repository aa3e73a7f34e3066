"""Every reply can be written on every wire."""

import json
from typing import Any, get_args

import pytest

from forestay.protocol import replies
from forestay.protocol.codes import ENDINGS, CloseCode, ErrorCode, Refusal
from forestay.protocol.message import Kind, Message
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from forestay.protocol.presence import Member, PresencePage
from forestay.protocol.sse.wire import SseWire
from forestay.protocol.v1.reader import Reader
from forestay.protocol.v1.wire import V1Wire
from forestay.protocol.wire import Wire
from tests.support.core import frames
from tests.support.line_wire import LineWire, lines

SSE = SseWire(lambda: 1_700_000_000.123)
V1 = V1Wire(lambda: 1_700_000_000.123, Reader(512, 100))
STAMP = "2023-11-14T22:13:20.123Z"
ROOM = RoomName("chat.a")
HERE = Position("e1", 7)
PAGE = PresencePage(3, 2, [Member("alice", 2, b'{"a":1}'), Member("bob", 1)], more=True)
PAGE_JSON = {
    "count": 3,
    "users": 2,
    "members": [{"user": "alice", "info": {"a": 1}, "connections": 2}, {"user": "bob", "connections": 1}],
    "next": "bob",
}
KEPT = [Message(ROOM, b"1", "then", "alice", position=HERE), Message(ROOM, b"2", "then", position=Position("e1", 8))]
KEPT_JSON = [
    {"offset": 7, "from": "alice", "payload": 1, "timestamp": "then"},
    {"offset": 8, "payload": 2, "timestamp": "then"},
]

# Each reply, what a client of v1 reads, and what a client of the line wire reads.
TABLE: list[tuple[replies.Reply, dict[str, Any], tuple[str, str, str, dict[str, str]]]] = [
    (
        replies.Welcome("c1", "alice", replies.ClientLimits(30.0, 5.0, 2.0, 65536, 200.0, 400, 0.0, 100)),
        {
            "type": "welcome",
            "payload": {
                "connection": "c1",
                "user": "alice",
                "protocol": "forestay.v1",
                "ping_interval_ms": 30000,
                "pong_timeout_ms": 5000,
                "reconnect_spread_ms": 2000,
                "limits": {
                    "message_bytes": 65536,
                    "rate": 200,
                    "burst": 400,
                    "bytes_rate": 0,
                    "rooms": 100,
                    "rooms_per_join": 100,
                },
            },
        },
        ("welcome", "-", "-", {"connection": "c1", "user": "alice"}),
    ),
    (
        replies.Joined("1", ROOM, HERE, recovered=True, members=PAGE),
        {
            "type": "joined",
            "id": "1",
            "room": "chat.a",
            "payload": {"epoch": "e1", "offset": 7, "recovered": True, "members": PAGE_JSON},
        },
        ("joined", "1", "chat.a", {"recovered": "true", "users": '["alice", "bob"]'}),
    ),
    (
        replies.Joined(None, ROOM, None, None, None),
        {"type": "joined", "room": "chat.a", "payload": {}},
        ("joined", "-", "chat.a", {}),
    ),
    (
        replies.Left("2", ROOM),
        {"type": "left", "id": "2", "room": "chat.a"},
        ("left", "2", "chat.a", {}),
    ),
    (
        replies.Left(None, ROOM, "forbidden"),
        {"type": "left", "room": "chat.a", "payload": {"reason": "forbidden"}},
        ("left", "-", "chat.a", {"reason": "forbidden"}),
    ),
    (
        replies.Ack("3", position=HERE),
        {"type": "ack", "id": "3", "payload": {"epoch": "e1", "offset": 7}},
        ("ack", "3", "-", {"offset": "7"}),
    ),
    (
        replies.Ack("4", ROOM),
        {"type": "ack", "id": "4", "room": "chat.a", "payload": {}},
        ("ack", "4", "chat.a", {}),
    ),
    (
        replies.PresenceReply("5", ROOM, PAGE),
        {"type": "presence", "id": "5", "room": "chat.a", "payload": PAGE_JSON},
        ("presence", "5", "chat.a", {"users": '["alice", "bob"]'}),
    ),
    (
        replies.HistoryReply("6", ROOM, "e1", KEPT, more=False, newest=True),
        {
            "type": "history",
            "id": "6",
            "room": "chat.a",
            "payload": {"epoch": "e1", "messages": KEPT_JSON, "more": False},
        },
        ("history", "6", "chat.a", {"payloads": "[1, 2]"}),
    ),
    (
        replies.Result("8", b'{"n":1.50,"big":12345678901234567890}'),
        {"type": "result", "id": "8", "payload": {"n": 1.5, "big": 12345678901234567890}},
        ("result", "8", "-", {"payload": '{"n":1.50,"big":12345678901234567890}'}),
    ),
    (
        replies.Resync(ROOM, "lost", HERE),
        {"type": "resync", "room": "chat.a", "payload": {"reason": "lost", "epoch": "e1", "offset": 7}},
        ("resync", "-", "chat.a", {"reason": "lost"}),
    ),
    (
        replies.Reconnect("draining", 1.5, 3.5),
        {"type": "reconnect", "payload": {"reason": "draining", "after_ms": 1500, "within_ms": 3500}},
        ("reconnect", "-", "-", {"reason": "draining", "after": "1.5"}),
    ),
    (
        replies.Error("7", "x y", Refusal(ErrorCode.RATE_LIMITED, "wait", retry_after=0.5)),
        {
            "type": "error",
            "id": "7",
            "room": "x y",
            "payload": {"code": "rate_limited", "message": "wait", "retry_after_ms": 500},
        },
        ("error", "7", "x y", {"code": "rate_limited"}),
    ),
    (
        replies.Error("7", None, Refusal(ErrorCode.REFUSED_BY_APPLICATION, "sold out", reason="no_stock")),
        {
            "type": "error",
            "id": "7",
            "payload": {"code": "refused_by_application", "message": "sold out", "reason": "no_stock"},
        },
        ("error", "7", "-", {"code": "refused_by_application"}),
    ),
    (replies.Pong("8"), {"type": "pong", "id": "8"}, ("pong", "8", "-", {})),
]


@pytest.mark.parametrize(("reply", "json_object", "_line"), TABLE, ids=lambda one: type(one).__name__)
def test_a_reply_on_v1(reply: replies.Reply, json_object: dict[str, Any], _line: object) -> None:
    """A client of v1 reads the JSON object that the protocol's page shows, with the time."""
    [payload] = frames(V1.reply(reply))
    assert json.loads(payload) == json_object | {"timestamp": STAMP}


@pytest.mark.parametrize(("reply", "json_object", "_line"), TABLE, ids=lambda one: type(one).__name__)
def test_a_reply_on_an_event_stream(reply: replies.Reply, json_object: dict[str, Any], _line: object) -> None:
    """A client of a stream gets one event with the same JSON object as its data."""
    data = SSE.reply(reply)
    assert data.startswith(b"data: {")
    assert data.endswith(b"}\n\n")
    assert json.loads(data.removeprefix(b"data: ")) == json_object | {"timestamp": STAMP}


@pytest.mark.parametrize(("reply", "_json", "line"), TABLE, ids=lambda one: type(one).__name__)
def test_a_reply_on_another_wire(reply: replies.Reply, _json: object, line: object) -> None:
    """A client of another wire reads the same reply in the format of that wire."""
    assert lines(LineWire().reply(reply)) == [line]


def test_no_reply_is_left_out() -> None:
    """The table has every type of reply."""
    assert {type(reply) for reply, _, _ in TABLE} == set(get_args(replies.Reply))


@pytest.mark.parametrize("wire", [V1, SSE, LineWire()], ids=lambda wire: str(wire.name))
@pytest.mark.parametrize("kind", [Kind.BROADCAST, Kind.USER_JOINED, Kind.USER_LEFT])
def test_a_message_on_every_wire(wire: Wire, kind: Kind) -> None:
    """Each kind of message that members receive has its room and its payload on each wire."""
    data = wire.message(Message(ROOM, b'{"a":1}', "now", "alice", kind=kind), traced=False)
    assert b"chat.a" in data
    assert b'{"a":1}' in data


@pytest.mark.parametrize("wire", [V1, SSE, LineWire()], ids=lambda wire: str(wire.name))
def test_ping_pong_and_close_on_every_wire(wire: Wire) -> None:
    """Each wire has a ping, an answer with the data of a ping, and a close with code or reason."""
    ending = ENDINGS[CloseCode.GOING_AWAY]
    assert len({wire.ping(), wire.pong(b"x"), wire.close(ending)}) == 3
    assert ending.reason.encode() in wire.close(ending)
