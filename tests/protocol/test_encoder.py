"""Frames as an independent decoder sees them."""

import json
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader

from app.protocol.codes import Ending, ErrorCode, Refusal
from app.protocol.encoder import PING, Encoder, close_frame, frame, pong_frame
from app.protocol.message import Message
from app.protocol.names import RoomName, personal_room
from app.protocol.trace import TraceContext

ENCODER = Encoder(lambda: 1_800_000_000.1239)
NOW = "2027-01-15T08:00:00.123Z"
ROOM = RoomName("chat.lobby")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def decoded(data: bytes) -> Frame:
    """The one frame in `data`, as a client sees it."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    parsing: Generator[None, None, Frame] = Frame.parse(reader.read_exact, mask=False)
    try:
        next(parsing)
    except StopIteration as done:
        found: Frame = done.value
        assert found.fin
        assert (found.rsv1, found.rsv2, found.rsv3) == (False, False, False)
        assert not reader.buffer
        return found
    raise AssertionError("the frame is not complete")


def sentence(data: bytes) -> dict[str, Any]:
    found = decoded(data)
    assert found.opcode is Opcode.TEXT
    fields: dict[str, Any] = json.loads(bytes(found.data))
    return fields


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
@pytest.mark.parametrize(("opcode", "expected"), [(0x81, Opcode.TEXT), (0x82, Opcode.BINARY)])
def test_a_frame_of_any_size_is_read_back(size: int, opcode: int, expected: Opcode) -> None:
    """On both sides of each boundary of the length field the payload comes out whole, in the shortest form."""
    payload = b"x" * size
    data = frame(opcode, payload)
    found = decoded(data)
    assert (found.opcode, bytes(found.data)) == (expected, payload)
    assert len(data) - size == (2 if size < 126 else 4 if size < 65536 else 10)


def test_control_frames_are_control_frames() -> None:
    """A ping is empty; a pong carries what it answers."""
    assert (decoded(PING).opcode, decoded(PING).data) == (Opcode.PING, b"")
    for data in (b"", b"x", b"\x00" * 125):
        assert (decoded(pong_frame(data)).opcode, bytes(decoded(pong_frame(data)).data)) == (Opcode.PONG, data)


@given(st.sampled_from([1000, 1001, 4413]), st.text(max_size=200))
@example(4401, "x" * 123)
@example(4401, "x" * 124)
@example(4401, "x" * 122 + "é")
@example(4401, "x" * 121 + "é!")
@example(4401, "x" * 120 + "😀")
def test_a_close_reason_fits_and_stays_utf_8(code: int, reason: str) -> None:
    """However long the reason, the frame is a valid control frame and its text a beginning of the reason."""
    found = decoded(close_frame(Ending(code, reason)))
    assert found.opcode is Opcode.CLOSE
    assert len(found.data) <= 125
    close = Close.parse(bytes(found.data))
    assert close.code == code
    assert reason.startswith(close.reason)
    lost = reason[len(close.reason) :]
    assert not lost or len((close.reason + lost[0]).encode()) > 123


@given(st.binary(max_size=8), st.integers(0, 0xFFFFFFFF))
def test_binary_goes_out_as_it_came(data: bytes, kind: int) -> None:
    """A binary message keeps its type and its bytes."""
    whole = kind.to_bytes(4, "big") + data
    found = decoded(ENCODER.message(Message(ROOM, whole, NOW, sender="ada", binary=True), traced=True))
    assert (found.opcode, bytes(found.data)) == (Opcode.BINARY, whole)


@pytest.mark.parametrize("payload", [b"null", b'{"a" : 1.0, "a":2}', b'"\\u00e9\xc3\xa9\\/"', b"1e400", b"[]"])
def test_a_broadcast_carries_its_payload_verbatim(payload: bytes) -> None:
    """What a sender wrote stands in the frame byte for byte, even where JSON has several ways to write it."""
    data = ENCODER.message(Message(ROOM, payload, NOW, sender="ada"), traced=False)
    assert b'"payload":' + payload in data
    assert sentence(data) == {
        "type": "broadcast",
        "room": "chat.lobby",
        "from": "ada",
        "payload": json.loads(payload),
        "timestamp": NOW,
    }


def test_a_backend_has_no_name() -> None:
    """`from` is absent where a backend speaks, not null."""
    assert sentence(ENCODER.message(Message(ROOM, b"1", NOW), traced=False)).keys() == {
        "type",
        "room",
        "payload",
        "timestamp",
    }


def test_a_personal_room_is_shown_as_ones_own() -> None:
    """A user hears of `@me`; the name that pods use among themselves stays with them."""
    data = ENCODER.message(Message(personal_room("ada"), b"1", NOW), traced=False)
    assert sentence(data)["room"] == "@me"
    assert b"@ada" not in data
    assert sentence(ENCODER.answer("joined", room=personal_room("ada")))["room"] == "@me"


def test_the_trace_is_shown_where_the_room_says_so() -> None:
    """`traceparent` reaches receivers in traced rooms only; `tracestate` reaches nobody."""
    message = Message(ROOM, b"1", NOW, sender="ada", trace=TraceContext(PARENT, "secret=1"))
    assert sentence(ENCODER.message(message, traced=True))["traceparent"] == PARENT
    assert "traceparent" not in sentence(ENCODER.message(message, traced=False))
    assert b"secret" not in ENCODER.message(message, traced=True)
    assert "traceparent" not in sentence(ENCODER.message(Message(ROOM, b"1", NOW), traced=True))


def test_who_was_left_out_is_not_told() -> None:
    """The connection that a message is not for stays between the pods."""
    assert b"secret-id" not in ENCODER.message(Message(ROOM, b"1", NOW, exclude="secret-id"), traced=True)


@given(st.text(max_size=64), st.dictionaries(st.text(max_size=5), st.integers(-(2**53), 2**53) | st.text(max_size=5)))
def test_an_answer_says_what_it_was_given(id: str, payload: dict[str, object]) -> None:
    """Type, id, room, payload and the time, whatever characters are in them."""
    expected = {"type": "joined", "id": id, "room": ROOM, "payload": payload, "timestamp": NOW}
    assert sentence(ENCODER.answer("joined", id=id, room=ROOM, payload=payload)) == expected


def test_what_an_answer_lacks_is_absent() -> None:
    """Nothing is null; an empty payload is still a payload."""
    assert sentence(ENCODER.answer("pong")) == {"type": "pong", "timestamp": NOW}
    assert sentence(ENCODER.answer("ack", payload={})) == {"type": "ack", "payload": {}, "timestamp": NOW}


def test_a_refusal_says_code_and_reason() -> None:
    """An `error` names its code, tells a person what to do, and echoes `id` and `room` as they were written."""
    refusal = Refusal(ErrorCode.INVALID_ROOM, "no room")
    assert sentence(ENCODER.refusal(refusal, id="1", room="not a room\n")) == {
        "type": "error",
        "id": "1",
        "room": "not a room\n",
        "payload": {"code": "invalid_room", "message": "no room"},
        "timestamp": NOW,
    }
    assert sentence(ENCODER.refusal(refusal, id=None, room=None)).keys() == {"type", "payload", "timestamp"}


@pytest.mark.parametrize(("seconds", "expected"), [(1.0, 1000), (0.0004, 1), (0.0, 1), (0.0126, 13), (2.5, 2500)])
def test_the_time_to_wait_is_whole_milliseconds(seconds: float, expected: int) -> None:
    """`retry_after_ms` is at least one: zero would ask for the same refusal again."""
    refusal = Refusal(ErrorCode.RATE_LIMITED, "slower", retry_after=seconds)
    assert sentence(ENCODER.refusal(refusal, id=None, room=None))["payload"]["retry_after_ms"] == expected
