"""The decoder of another library reads our frames."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName, personal_room
from forestay.protocol.replies import Error, Left
from forestay.protocol.timestamps import Stamps, timestamp, unix_seconds
from forestay.protocol.trace import TraceContext, parse_trace
from forestay.protocol.v1.encoder import Encoder
from forestay.protocol.websocket.writing import frame

encoder = Encoder(lambda: 1_700_000_000.123)
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def decoded(data: bytes) -> Frame:
    """The one frame in `data`."""
    stream = StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    parser = Frame.parse(stream.read_exact, mask=False)
    try:
        while True:
            next(parser)
    except StopIteration as stop:
        assert stream.buffer == b""
        result: Frame = stop.value
        return result


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
def test_a_frame_of_any_size_is_a_frame(size: int) -> None:
    """The length field has three forms, and each of them is read."""
    assert decoded(frame(0x82, b"x" * size)) == Frame(Opcode.BINARY, b"x" * size)


@given(st.text(max_size=20), st.none() | st.text(min_size=1))
def test_a_broadcast_holds_the_payload_as_it_was(text: str, sender: str | None) -> None:
    """Any payload of any sender keeps its bytes."""
    payload = json.dumps(text).encode()
    data = decoded(encoder.message(Message(RoomName("chat.a"), payload, "now", sender), traced=False)).data
    heard = json.loads(bytes(data))
    assert payload in bytes(data)
    assert (heard["room"], heard["payload"], heard.get("from")) == ("chat.a", text, sender)


def test_only_traced_rooms_show_the_parent_and_none_the_state() -> None:
    """Receivers see `traceparent` where the room shows it, and never `tracestate`."""
    message = Message(RoomName("a"), b"1", "now", trace=TraceContext(PARENT, "a=b"))
    assert json.loads(bytes(decoded(encoder.message(message, traced=True)).data))["traceparent"] == PARENT
    assert b"traceparent" not in encoder.message(message, traced=False)
    assert b"a=b" not in encoder.message(message, traced=True)


def test_a_personal_room_is_called_me() -> None:
    """Clients see their personal room only as `@me`."""
    data = encoder.reply(Left(None, personal_room("alice")))
    assert json.loads(bytes(decoded(data).data))["room"] == "@me"


def test_a_refusal_says_when_to_try_again() -> None:
    """`retry_after_ms` is a whole number of milliseconds, at least 1."""
    refusal = Refusal(ErrorCode.RATE_LIMITED, "slow down", retry_after=0.0001)
    heard = json.loads(bytes(decoded(encoder.reply(Error("1", "x y", refusal))).data))
    assert heard["payload"] == {"code": "rate_limited", "message": "slow down", "retry_after_ms": 1}
    assert (heard["id"], heard["room"], heard["timestamp"]) == ("1", "x y", "2023-11-14T22:13:20.123Z")


@given(st.integers(0, 4_000_000_000_000))
def test_a_timestamp_is_rfc_3339(unix_ms: int) -> None:
    """The result is RFC 3339 in UTC with milliseconds, as the standard library formats it."""
    seconds, ms = divmod(unix_ms, 1000)
    expected = datetime.fromtimestamp(seconds, UTC).replace(microsecond=ms * 1000)
    assert timestamp(unix_ms) == expected.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@given(st.integers(0, 4_000_000_000_000))
def test_a_timestamp_is_read_again(unix_ms: int) -> None:
    """The seconds are those of the time that it was written for."""
    assert unix_seconds(timestamp(unix_ms)) == pytest.approx(unix_ms / 1000, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-22T12:00:00.250Z", 1795348800.25),
        ("2026-11-22T12:00:00Z", 1795348800.0),
        ("2026-11-22T13:00:00.5+01:00", 1795348800.5),
        ("2026-11-22T12:00:00.250000Z", 1795348800.25),
        ("20261122T120000.123.250Z", None),
        ("2026-11-22T12:00:61.250Z", None),
        ("not a timestamp....250Z", None),
        (".250Z", None),
        ("", None),
    ],
)
def test_other_timestamps_are_read_too(text: str, seconds: float | None) -> None:
    """Any form of ISO 8601 is read, as another pod may write it. Other text is no timestamp."""
    assert unix_seconds(text) == seconds


def test_a_stamp_follows_the_clock() -> None:
    """Stamps write the time of each millisecond, also where the clock is set back."""
    now = 1795348800.0
    stamps = Stamps(lambda: now)
    assert stamps.now() == stamps.now() == "2026-11-22T12:00:00.000Z"
    now += 0.5
    assert stamps.now() == "2026-11-22T12:00:00.500Z"
    now -= 60
    assert stamps.now() == "2026-11-22T11:59:00.500Z"


@pytest.mark.parametrize(
    "bad", [None, "", PARENT + "0", PARENT.upper(), PARENT.replace("00-4", "01-4"), "00-" + "0" * 32 + PARENT[35:]]
)
def test_a_malformed_trace_context_is_none(bad: str | None) -> None:
    """A malformed `traceparent` drops the whole context. A malformed `tracestate` is dropped alone."""
    assert parse_trace(bad, "a=b") is None
    assert parse_trace(PARENT, "x" * 513) == parse_trace(PARENT, "é") == TraceContext(PARENT, None)
