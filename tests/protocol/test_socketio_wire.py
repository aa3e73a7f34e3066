"""What Socket.IO clients read: packets in finished frames, which stock clients take apart without an error."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestay.protocol import replies
from forestay.protocol.attachments import embed
from forestay.protocol.codes import ENDINGS, CloseCode, ErrorCode, Refusal
from forestay.protocol.message import Kind, Message
from forestay.protocol.names import RoomName, escape, namespace_prefix
from forestay.protocol.position import Position
from forestay.protocol.presence import Member, PresencePage
from forestay.protocol.socketio import positions
from forestay.protocol.socketio.packets import Decoder, Event
from forestay.protocol.socketio.wire import SocketioWire, refused
from forestay.protocol.trace import TraceContext
from tests.support.engine_session import messages

ROOT = SocketioWire("/")
ADMIN = SocketioWire("/admin")
ROOM = RoomName("chat.a")
HERE = Position("e1", 7)
PAGE = PresencePage(3, 2, [Member("alice", 2, b'{"a":1}'), Member("bob", 1)], more=True)
KEPT = [Message(ROOM, b"1", "then", "alice", position=HERE), Message(ROOM, b"2", "then", position=Position("e1", 8))]
PID = "p" * 16


def only(data: bytes) -> str:
    """The one text in `data`."""
    [text] = messages(data)
    assert isinstance(text, str)
    return text


def say(message: Message, wire: SocketioWire = ROOT, *, traced: bool = False) -> list[str | bytes]:
    return list(messages(wire.message(message, traced=traced)))


# Each reply, and what the client reads; nothing where it is empty.
TABLE: list[tuple[replies.Reply, str]] = [
    (replies.Welcome("c1", "alice", replies.ClientLimits(30.0, 5.0, 2.0, 65536, 200.0, 400, 0.0, 100)), ""),
    (
        replies.Joined("1", ROOM, HERE, recovered=True, members=PAGE),
        (
            '31[{"ok":true,"room":"chat.a","epoch":"e1","offset":7,"recovered":true,"members":{"count":3,"users":2,"members":'
            '[{"user":"alice","info":{"a":1},"connections":2},{"user":"bob","connections":1}],"next":"bob"}}]'
        ),
    ),
    (replies.Joined("1", ROOM, None, None, None), '31[{"ok":true,"room":"chat.a"}]'),
    (replies.Joined(None, ROOM, None, None, None), ""),
    (replies.Left("2", ROOM), '32[{"ok":true,"room":"chat.a"}]'),
    (replies.Left(None, ROOM), ""),
    (replies.Left(None, ROOM, "forbidden"), '2["left",{"room":"chat.a","reason":"forbidden"}]'),
    (replies.Ack("3", position=HERE), '33[{"ok":true,"epoch":"e1","offset":7}]'),
    (replies.Ack(None, position=HERE), ""),
    (replies.Ack("4", ROOM), '34[{"ok":true,"room":"chat.a"}]'),
    (
        replies.PresenceReply("5", ROOM, PAGE),
        (
            '35[{"ok":true,"room":"chat.a","count":3,"users":2,"members":[{"user":"alice","info":{"a":1},"connections":2},'
            '{"user":"bob","connections":1}],"next":"bob"}]'
        ),
    ),
    (
        replies.HistoryReply("6", ROOM, "e1", KEPT, more=False, newest=True),
        (
            '36[{"ok":true,"room":"chat.a","epoch":"e1","messages":[{"offset":7,"from":"alice","payload":1,"timestamp":"then"}'
            ',{"offset":8,"payload":2,"timestamp":"then"}],"more":false}]'
        ),
    ),
    (
        replies.Resync(ROOM, "lost", HERE),
        '2["resync",{"room":"chat.a","reason":"lost","epoch":"e1","offset":7}]',
    ),
    (replies.Result("8", b'{"n":1.50}'), '38[{"n":1.50}]'),
    (replies.Reconnect("draining", 1.5, 3.5), ""),
    (
        replies.Error("7", "x%20y", Refusal(ErrorCode.RATE_LIMITED, "wait", retry_after=0.5)),
        '37[{"ok":false,"code":"rate_limited","message":"wait","retry_after_ms":500,"room":"x y"}]',
    ),
    (
        replies.Error("7", None, Refusal(ErrorCode.REFUSED_BY_APPLICATION, "sold out", reason="no_stock")),
        '37[{"ok":false,"code":"refused_by_application","message":"sold out","reason":"no_stock"}]',
    ),
    (
        replies.Error(None, None, Refusal(ErrorCode.FORBIDDEN, "no")),
        '2["error",{"code":"forbidden","message":"no"}]',
    ),
    (replies.Pong("8"), '38[{"ok":true}]'),
]


@pytest.mark.parametrize(("reply", "text"), TABLE, ids=lambda one: type(one).__name__)
def test_a_reply_is_an_ack_or_an_event(reply: replies.Reply, text: str) -> None:
    """A reply with the ack id of its request is an ack; what comes unasked is an event; the rest is not sent."""
    data = ROOT.reply(reply)
    assert (only(data) if data else "") == text


def test_no_reply_is_left_out() -> None:
    """The table has every type of reply."""
    assert {type(reply) for reply, _ in TABLE} == set(get_args(replies.Reply))


@pytest.mark.parametrize(
    ("message", "read"),
    [
        (
            Message(ROOM, b'{"a": 1}', "t", "alice", position=HERE),
            '2["message",{"room":"chat.a","payload":{"a": 1},"timestamp":"t","from":"alice","epoch":"e1","offset":7}]',
        ),
        (Message(ROOM, b"1", "now"), '2["message",{"room":"chat.a","payload":1,"timestamp":"now"}]'),
        (Message(RoomName("@alice"), b"1", "now"), '2["message",{"room":"@me","payload":1,"timestamp":"now"}]'),
        (Message(RoomName("a%20b"), b"1", "now"), '2["message",{"room":"a b","payload":1,"timestamp":"now"}]'),
        (
            Message(ROOM, b'{"user":"bob","info":{"a":1}}', "now", "bob", kind=Kind.USER_JOINED),
            '2["user-joined",{"room":"chat.a","userId":"bob","info":{"a":1}}]',
        ),
        (
            Message(ROOM, b'{"user":"bob"}', "now", "bob", kind=Kind.USER_LEFT),
            '2["user-left",{"room":"chat.a","userId":"bob"}]',
        ),
        (Message(ROOM, b'["hi", 1]', "now", "alice", event="chat message"), '2["chat message","hi", 1]'),
        (Message(ROOM, b"[ ]", "now", "alice", event="typing"), '2["typing"]'),
    ],
)
def test_a_message_is_an_event(message: Message, read: str) -> None:
    """A message, news and an own event have the form that the page shows, and payloads stay as they were written."""
    assert say(message) == [read]


def test_a_binary_message_has_its_bytes_as_an_attachment() -> None:
    """The first four bytes of a native binary message are `type`, and the rest is a buffer."""
    assert say(Message(ROOM, b"\x00\x00\x00\x07\xff\x00", "now", "bob", binary=True)) == [
        '51-["message",{"room":"chat.a","payload":{"_placeholder":true,"num":0},"timestamp":"now","from":"bob","type":7}]',
        b"\xff\x00",
    ]


def test_the_trace_is_shown_where_the_room_shows_it() -> None:
    """`traceparent` is a field of the message where receivers may see it, and only there."""
    context = TraceContext(f"00-{'1' * 32}-{'2' * 16}-01")
    message = Message(ROOM, b"1", "now", trace=context)
    assert context.traceparent in str(say(message, traced=True))
    assert context.traceparent not in str(say(message))


parts = st.lists(st.binary(max_size=20), min_size=1, max_size=10)


@given(parts, st.sampled_from([None, "up"]))
def test_binary_parts_come_out_as_attachments(attachments: list[bytes], event: str | None) -> None:
    """What a client sent as attachments, others get as attachments, in order; the text stays the same."""
    places = [f'{{"_placeholder":true,"num":{number}}}' for number in range(len(attachments))]
    text = f'["x",{",".join(places)}]'
    payload, binary_at = embed(text.encode(), attachments, 1000)
    message = Message(ROOM, payload, "now", event=event, binary_at=binary_at)
    packet, *buffers = say(message, ADMIN)
    assert buffers == attachments
    inner = text if event is None else text[1:-1]
    assert isinstance(packet, str)
    assert packet.startswith(f"5{len(attachments)}-/admin,[")
    assert inner in packet


@given(parts)
def test_a_client_would_read_what_is_written(attachments: list[bytes]) -> None:
    """Our own decoder, which is stricter than those of clients, takes the packets and finds all parts."""
    places = ",".join(f'{{"_placeholder":true,"num":{number}}}' for number in range(len(attachments)))
    payload, binary_at = embed(f"[{places}]".encode(), attachments, 1000)
    decoder = Decoder(10_000, 32)
    event = None
    for part in say(Message(ROOM, payload, "now", event="up", binary_at=binary_at)):
        assert event is None
        event = decoder.text(part) if isinstance(part, str) else decoder.binary(part)
    assert isinstance(event, Event)
    assert (event.name, event.attachments) == ("up", attachments)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=9), st.sampled_from(["/", "/admin", "/a/b"]))
def test_clients_see_the_names_that_they_wrote(text: str, namespace: str) -> None:
    """A room of a namespace has its prefix between pods only, and other characters as `%XX` there only."""
    name = escape(namespace_prefix(namespace) + text)
    assert name is not None
    wire = SocketioWire(namespace)
    assert wire.shown(name) == text


def test_what_a_namespace_says_names_it() -> None:
    """CONNECT, DISCONNECT, CONNECT_ERROR, events and acks carry the namespace, and none for the root."""
    assert only(ROOT.entered("s", PID)) == f'0{{"sid":"s","pid":"{PID}"}}'
    assert only(ADMIN.entered("s", PID)) == f'0/admin,{{"sid":"s","pid":"{PID}"}}'
    assert (only(ROOT.left()), only(ADMIN.left())) == ("1", "1/admin,")
    assert only(ADMIN.refused("no", "bad_token")) == '4/admin,{"message":"no","data":{"code":"bad_token"}}'
    assert only(refused("/x", "Invalid namespace")) == '4/x,{"message":"Invalid namespace"}'
    assert only(ADMIN.reply(replies.Ack("3"))) == '3/admin,3[{"ok":true}]'
    assert only(ADMIN.reply(replies.Resync(RoomName("admin.x"), "slow"))) == (
        '2/admin,["resync",{"room":"x","reason":"slow"}]'
    )


@pytest.mark.parametrize("code", CloseCode)
def test_only_clients_that_must_stop_are_told_to_leave(code: CloseCode) -> None:
    """A stock client never comes back after DISCONNECT, so it gets one for 4403 and 4409 only."""
    stops = code in (CloseCode.REVOKED, CloseCode.CONNECTION_LIMIT)
    assert ADMIN.close(ENDINGS[code]) == (ADMIN.left() if stops else b"")


def test_nothing_is_pinged() -> None:
    """Engine.IO pings all namespaces at once, so a namespace has neither ping nor pong."""
    assert (ROOT.ping(), ROOT.pong(b"x")) == (b"", b"")


def test_a_page_fits_into_the_largest_message() -> None:
    """History and presence are cut to the size of a message, and say that there is more."""
    wire = SocketioWire("/admin", largest=400)
    page = PresencePage(50, 50, [Member(f"user-{number:03}", 1) for number in range(50)], more=False)
    kept = [Message(ROOM, b"1" * 10, "then", position=Position("e1", number)) for number in range(50)]
    answers: list[replies.Reply] = [
        replies.Joined("1", ROOM, HERE, recovered=None, members=page),
        replies.PresenceReply("1", ROOM, page),
        replies.HistoryReply("1", ROOM, "e1", kept, more=False, newest=True),
    ]
    for answer in answers:
        text = only(wire.reply(answer))
        assert 200 < len(text) < 400


room_positions = st.dictionaries(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:%-]{0,20}", fullmatch=True).map(RoomName),
    st.builds(Position, st.from_regex(r"[A-Za-z0-9-]{1,12}", fullmatch=True), st.integers(0, 2**53)),
    min_size=1,
    max_size=10,
)


@given(room_positions)
def test_a_client_brings_its_positions_back(found: dict[RoomName, Position]) -> None:
    """The last argument of the position event is the text from which any pod reads the positions."""
    text = only(SocketioWire("/admin").position(PID, found))
    assert text.startswith('2/admin,["forestay:position","')
    _, brought = json.loads(text[text.index("[") :])
    assert positions.read(PID, brought) == found


def test_positions_are_told_for_each_state_anew() -> None:
    """The wire remembers the last positions that it wrote, and notices when the same mapping has changed."""
    wire, found = SocketioWire("/"), {ROOM: HERE}
    first = wire.position(PID, found)
    found[ROOM] = Position("e1", 8)
    second = wire.position("q" * 16, found)
    assert (b" 7" in first, b" 8" in second, b"qqqq" in second) == (True, True, True)


@pytest.mark.parametrize(
    ("pid", "text"),
    [
        (PID, ""),
        (PID, PID),
        (PID, f"{PID} a e1"),
        (PID, f"{PID}  e1 1"),
        (PID, f"{PID} a e1 -1"),
        (PID, f"{PID} a e1 99999999999999999999"),
        (PID, f"{PID} a e\x00 1"),
        (PID, f"q{PID[1:]} a e1 1"),
        (PID, "hello"),
        ("", " a e1 1"),
        ("short", "short a e1 1"),
        (PID, f"{PID} {'a' * positions.LONGEST} e1 1"),
    ],
)
def test_no_other_text_is_a_position(pid: str, text: str) -> None:
    """A text that another user sent, or with a fault, recovers nothing."""
    assert positions.read(pid, text) is None


@pytest.mark.parametrize("found", [{}, {RoomName(f"room-{number:0100}"): HERE for number in range(10)}])
def test_too_many_rooms_or_none_are_not_recovered(found: dict[RoomName, Position]) -> None:
    """The event then holds the secret alone, which replaces the text before it."""
    assert json.loads(only(ROOT.position(PID, found))[1:]) == ["forestay:position", PID]


def value(data: bytes) -> Any:
    """The fields of an ack."""
    text = only(data)
    return json.loads(text[text.index("[") :])[0]


def test_a_room_that_is_too_long_is_not_repeated() -> None:
    """A refusal repeats no text of any length."""
    refusal = Refusal(ErrorCode.INVALID_ROOM, "no")
    assert "room" not in value(ROOT.reply(replies.Error("1", "x" * 300, refusal)))
