"""A message from the bus is inspected as strictly as one from a client."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestay.protocol.delivered_size import largest_form
from forestay.protocol.envelope import BadEnvelope
from forestay.protocol.inspection import Inspector
from forestay.protocol.message import Kind, Message
from forestay.protocol.names import RoomName, pods_room
from forestay.protocol.position import Position
from forestay.protocol.requests import Broadcast, Unreadable
from forestay.protocol.v1.reader import Reader

ROOM = RoomName("chat.a")
LARGEST, DEPTH = 4096, 8
NOW = "2026-11-22T12:00:00.123Z"


def passes(message: Message) -> bool:
    try:
        Inspector(LARGEST, DEPTH).inspect(message)
    except BadEnvelope:
        return False
    return True


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"x",
        b"{",
        b'{"a":1} 2',
        b'{"a":1,}',
        b"NaN",
        b"'a'",
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\xc0\xaf"',
        b'{"\xfe":1}',
        b'"\\ud800"',
        b'["\\udfff x"]',
        b'"a\nb"',
        b"[" * (DEPTH + 1) + b"]" * (DEPTH + 1),
        b"[" * 1000,
        b'"' + b"x" * LARGEST + b'"',
        b'"a"\x00',
    ],
)
def test_what_a_client_cannot_read_is_dropped(payload: bytes) -> None:
    """Text that is not UTF-8 or not JSON, with half a surrogate pair, too large or too deep."""
    assert not passes(Message(ROOM, payload, NOW, "ada"))


@given(st.binary(max_size=40) | st.from_regex(rb'[\[\]{}",:0-9a-z\\u\xed\xa0\x80 ]{1,20}'))
def test_the_doors_agree(payload: bytes) -> None:
    """What comes from the bus passes exactly where it would pass from a client."""
    try:
        text = b'{"type":"broadcast","room":"chat.a","payload":%b}' % payload
        text.decode()
        request = Reader(DEPTH + 1, 1).read(text)
        from_client = isinstance(request, Broadcast) and bytes(request.payload) == payload.strip(b" \t\r\n")
    except (Unreadable, UnicodeDecodeError):
        from_client = False
    assert passes(Message(ROOM, payload.strip(b" \t\r\n"), NOW)) is from_client


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_what_clients_send_passes(value: object) -> None:
    """Any JSON value in the limits."""
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    if len(text) < LARGEST // 4 and text.count(b"[") <= DEPTH:
        assert passes(Message(ROOM, text, NOW, "ädä", position=Position("e", 1)))


@pytest.mark.parametrize("position", [None, Position("e" * 20, 10**15)])
def test_the_largest_message_passes_and_one_byte_more_does_not(position: Position | None) -> None:
    """The whole message counts as clients get it, and not only its payload."""
    empty = Message(ROOM, b'""', NOW, "ada", position=position)
    room_left = LARGEST - largest_form(empty, kept=position is not None, traced=False)
    for extra in (0, 1):
        payload = b'"' + b"x" * (room_left + extra) + b'"'
        assert passes(Message(ROOM, payload, NOW, "ada", position=position)) is (not extra)


@pytest.mark.parametrize(
    "message",
    [
        Message(ROOM, b"1", NOW, kind=Kind.PODS),
        Message(pods_room(), b"1", NOW),
        Message(ROOM, b"\0\0\0", NOW, binary=True),
        Message(ROOM, b"\0\0\0\1", NOW, binary=True, position=Position("e", 1)),
        Message(ROOM, b'{"user":"a"}', NOW, binary=True, kind=Kind.USER_LEFT),
        Message(ROOM, b"1", NOW, kind=Kind.USER_JOINED),
        Message(ROOM, b'{"user":1}', NOW, kind=Kind.USER_JOINED),
        Message(ROOM, b"1", "x" * 100),
        Message(ROOM, b"1", NOW, "x" * 3000),
        Message(ROOM, b"1", NOW, position=Position("x" * 100, 1)),
        Message(ROOM, b"[]", NOW, event="disconnect"),
        Message(ROOM, b"[]", NOW, event="forestay:position"),
        Message(ROOM, b"[]", NOW, event="x" * 129),
        Message(ROOM, b"{}", NOW, event="a"),
        Message(ROOM, b" []", NOW, event="a"),
        Message(ROOM, b"\0\0\0\1", NOW, binary=True, event="a"),
        Message(ROOM, b'{"user":"a"}', NOW, kind=Kind.USER_LEFT, binary_at="8:3"),
        Message(ROOM, b'["QUJD"]', NOW, binary_at="x"),
        Message(ROOM, b'["QUJD"]', NOW, binary_at="2:6"),
        Message(ROOM, b'["QUJD"]', NOW, binary_at="٤:6"),
        Message(ROOM, b"[%b]" % b",".join([b'""'] * 11), NOW, binary_at=",".join(f"{1 + 3 * n}:2" for n in range(11))),
    ],
)
def test_what_no_pod_sends_is_dropped(message: Message) -> None:
    """Control messages to clients, half binary messages, news without a user, and fields that no pod makes so long."""
    assert not passes(message)


@pytest.mark.parametrize(
    "message",
    [
        Message(pods_room(), b"\xff" * 10_000, NOW, kind=Kind.PODS),
        Message(ROOM, b"\0\0\0\1\xff", NOW, "ada", binary=True),
        Message(ROOM, b'{"user":"ada","info":{"name":"Ada"}}', NOW, "ada", kind=Kind.USER_JOINED),
        Message(ROOM, b"[]", NOW, "ada", event="chat message"),
        Message(ROOM, b'["QUJD",{"a":"QUI="}]', NOW, event="a", binary_at="1:6,13:6"),
        Message(ROOM, b'{"a":""}', NOW, binary_at="5:2", position=Position("e", 1)),
        Message(ROOM, b'[{"_placeholder":true,"num":3}]', NOW, event="a"),
        Message(ROOM, b' {"a": [1.5e3, "\\u00e4\\ud83d\\ude00"]} ', NOW),
    ],
)
def test_what_pods_send_passes(message: Message) -> None:
    """Control messages, which pods check themselves, binary messages, news and JSON with white space."""
    assert passes(message)
