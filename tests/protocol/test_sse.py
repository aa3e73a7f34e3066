"""Events of a stream, and the ids by which a client resumes it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestay.protocol.codes import ENDINGS, CloseCode
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from forestay.protocol.sse.event_ids import MAX_BYTES, MAX_ROOMS, EventIds, LastEvent, end_id, read_id, stops
from forestay.protocol.sse.wire import SseWire, with_id, with_ids, with_retry

SSE = SseWire(lambda: 0.0)
ROOMS = [RoomName("a"), RoomName("b"), RoomName("c")]
EPOCHS = st.text("abcXYZ019_-", min_size=1, max_size=64)
PLACES = st.none() | st.builds(Position, EPOCHS | st.just("p-1"), st.integers(0, 10**16 - 1))


def written(ids: EventIds, positions: dict[RoomName, Position] | None = None) -> str:
    line = ids.line(positions)
    assert line.isascii()
    assert len(line) < MAX_BYTES + 100
    assert line.startswith(b"id: ")
    assert line.endswith(b"\n")
    return line[4:-1].decode()


@given(st.lists(PLACES, max_size=MAX_ROOMS), st.sampled_from(["", "0123456789abcdef01234567"]))
def test_an_id_says_where_the_client_is(places: list[Position | None], secret: str) -> None:
    """A position of each room comes back as it was, or is left out where too many do not fit."""
    rooms = [RoomName(f"r{number}") for number in range(len(places))]
    known = {room: place for room, place in zip(rooms, places, strict=True) if place is not None}
    last = read_id(written(EventIds(rooms, secret, {}), known), rooms)
    assert last.secret == secret
    assert last.positions.items() <= known.items()
    if sum(len(place.epoch) + 18 for place in known.values()) < MAX_BYTES - 200:
        assert last.positions == known


def test_as_many_rooms_as_a_stream_may_have_fit() -> None:
    """The positions of 100 rooms fit, where each has an epoch of its own and a great offset."""
    rooms = [RoomName(f"r{number}") for number in range(MAX_ROOMS)]
    known = {room: Position(f"p0123456789ab-{at:x}", 10**9 + at) for at, room in enumerate(rooms)}
    assert read_id(written(EventIds(rooms, "0" * 24, known)), rooms).positions == known


def test_rooms_that_are_not_named_stay_where_they_are() -> None:
    """A client that is cut off while its rooms are joined again loses none of its positions."""
    ids = EventIds(ROOMS, "", {ROOMS[0]: Position("e", 1), ROOMS[2]: Position("f", 3)})
    last = read_id(written(ids, {ROOMS[0]: Position("e", 2)}), ROOMS)
    assert last.positions == {ROOMS[0]: Position("e", 2), ROOMS[2]: Position("f", 3)}


def test_a_client_may_put_an_id_together() -> None:
    """Its entries are for the rooms of the URL that it comes with, also for those that are no rooms."""
    last = read_id("*:4.e,,,5", [ROOMS[0], None, ROOMS[1], ROOMS[2]])
    assert last == LastEvent({ROOMS[0]: Position("e", 4), ROOMS[2]: Position("e", 5)})
    assert read_id("*:4.e,9.f,5", [ROOMS[0], None, ROOMS[1]]).positions[ROOMS[1]] == Position("f", 5)
    assert read_id("*:4.e,5", ROOMS) == LastEvent({})


@pytest.mark.parametrize(
    "rooms", [[RoomName("a"), RoomName("b")], [RoomName("b"), RoomName("a"), RoomName("c")], [*ROOMS, RoomName("d")]]
)
def test_an_id_of_another_url_is_no_position(rooms: list[RoomName]) -> None:
    """An id is of the rooms of its URL: other rooms can have the same epoch."""
    text = written(EventIds(rooms, "", {room: Position("e", 1) for room in rooms}))
    assert read_id(text, ROOMS) == LastEvent({})


@pytest.mark.parametrize(
    "mangle", ["", "x", "\u20ac", "a" * 5000, "end.", "end.44", "end.1001", "end.x403", "{}", ":", ",,"]
)
def test_what_is_no_id_is_taken_for_none(mangle: str) -> None:
    """The client is then told that it may have missed messages, and gets live ones."""
    assert read_id(mangle, ROOMS) == LastEvent({})


@given(st.text(max_size=80))
def test_no_text_breaks_the_reader(text: str) -> None:
    """Whatever a client gives: it is an id or none. The check of the names is right here, so that the rest is read."""
    start = written(EventIds(ROOMS, "", {})).partition(":")[0]
    for mangled in (text, f"{start}:{text}", f"{start}{text}:1.e,,"):
        assert read_id(mangled, ROOMS).positions.keys() <= set(ROOMS)


def test_an_entry_without_any_epoch_is_no_position() -> None:
    """An offset alone, with no entry before it that has an epoch, makes the whole id void."""
    start = written(EventIds(ROOMS, "", {})).partition(":")[0]
    assert read_id(f"{start}:1,2.e,3", ROOMS) == LastEvent({})


def test_the_id_of_a_last_event_says_that_the_client_must_not_come_back() -> None:
    """It does so for the codes with which clients stop, and for no others."""
    assert read_id(end_id(CloseCode.REVOKED)[4:-1].decode(), ROOMS).ended == CloseCode.REVOKED
    assert [code for code in ENDINGS if stops(code) and code > 1999] == [CloseCode.REVOKED, CloseCode.CONNECTION_LIMIT]
    assert not stops(CloseCode.TOKEN_EXPIRED)


def test_white_space_in_a_payload_does_not_end_an_event() -> None:
    """A payload keeps the bytes of its sender, and those may have line ends between its tokens."""
    data = SSE.message(Message(ROOMS[0], b'{\r\n"a":\n[1,\r2]}', "now"), traced=False)
    assert data.count(b"\n") == 2
    assert b"\r" not in data
    assert json.loads(data.removeprefix(b"data: "))["payload"] == {"a": [1, 2]}


def test_a_stream_has_no_binary_messages() -> None:
    """Nothing is written, and the comment of a heartbeat is no event either."""
    assert SSE.message(Message(ROOMS[0], b"\0\0\0\7xy", "now", binary=True), traced=False) == b""
    assert SSE.pong(b"x") == b""
    assert SSE.ping() == b":\n"


def test_an_id_and_a_retry_are_lines_of_an_event() -> None:
    """The id belongs to the last event, and the pace to the first one."""
    assert with_retry(with_id(b"data: 1\n\ndata: 2\n\n", b"id: x\n"), 1500) == (
        b"retry: 1500\ndata: 1\n\ndata: 2\nid: x\n\n"
    )


def test_the_last_event_has_code_and_reason() -> None:
    """A client that acts on codes reads it like a close frame."""
    event = json.loads(SSE.close(ENDINGS[CloseCode.REVOKED]).removeprefix(b"data: "))
    assert (event["type"], event["payload"]) == ("close", {"code": 4403, "reason": "access revoked"})


def test_each_message_of_a_history_has_an_id() -> None:
    """The bytes are the same for all members, and the ids are those of each one: a write may be cut anywhere."""
    shared = b"".join(
        SSE.message(Message(RoomName(room), b"1", "now", position=Position("e", offset)), traced=False)
        for room, offset in (("a", 5), ("b", 8), ("@\u00e9 x", 2), ("a", 6))
    )
    shared += SSE.message(Message(RoomName("c"), b'"\\nid: x"', "now"), traced=False)
    for rooms in (
        [RoomName("a"), RoomName("b"), RoomName("@\u00e9 x")],
        [RoomName("b"), RoomName("@\u00e9 x"), RoomName("a")],
    ):
        ids = EventIds(rooms, "", {rooms[0]: Position("e", 1)})
        data = with_ids(shared, ids.line_at)
        found = [line.removeprefix(b"id: ").decode() for line in data.split(b"\n") if line.startswith(b"id: ")]
        last = [read_id(text, rooms).positions for text in found]
        assert [one.get(RoomName("a"), Position("e", 1)).offset for one in last] in (
            [5, 5, 5, 6],
            [1, 1, 1, 6],
            [5, 5, 5, 6],
        )
        assert last[-1] == {
            RoomName("a"): Position("e", 6),
            RoomName("b"): Position("e", 8),
            RoomName("@\u00e9 x"): Position("e", 2),
        }
        assert data.isascii() or data.count(b"data: ") == 5
        assert data.count(b"\n\n") == 5
