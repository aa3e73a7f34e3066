"""The size of a message for its receivers is computed as it will be encoded."""

import json

from hypothesis import given
from hypothesis import strategies as st

from forestay.protocol.attachments import embed, extract
from forestay.protocol.delivered_size import LONGEST_NAMESPACE, MOST_ADDED, largest_form
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from forestay.protocol.replies import HistoryReply
from forestay.protocol.socketio.wire import SocketioWire
from forestay.protocol.timestamps import timestamp
from forestay.protocol.trace import TraceContext
from forestay.protocol.v1.encoder import Encoder
from tests.support.core import frames
from tests.support.messages import changed

V1 = Encoder(lambda: 1_700_000_000.0, 2**24)
TRACE = TraceContext("00-" + "a" * 32 + "-" + "b" * 16 + "-01", "k=v")
rooms = st.sampled_from(["a", "a" * 128, "%C3%A4", "@alice"]).map(RoomName)
events = st.none() | st.text(st.characters(blacklist_categories=["Cc", "Cs"]), min_size=1, max_size=128)
users = st.none() | st.text(min_size=1, max_size=256)


@given(room=rooms, sender=users, event=events, text=st.text(max_size=300), traced=st.booleans())
def test_the_size_of_a_broadcast_is_exact(
    room: RoomName, sender: str | None, event: str | None, text: str, *, traced: bool
) -> None:
    """In a room without history, the computed size is that of the frame's payload.

    In a personal room there may be the namespace of a Socket.IO client besides.
    """
    message = Message(room, json.dumps([text]).encode(), timestamp(0), sender=sender, trace=TRACE, event=event)
    [encoded] = frames(V1.message(message, traced=traced))
    besides = LONGEST_NAMESPACE if room == "@alice" else 0
    assert largest_form(message, kept=False, traced=traced) - besides == len(encoded)


@given(rooms, users, st.text(max_size=300), st.text(max_size=64), st.integers(0, 2**53 - 1), events)
def test_no_form_of_a_kept_message_is_larger(
    room: RoomName, sender: str | None, text: str, id_: str, offset: int, event: str | None
) -> None:
    """In a room with history, neither the message nor a page with it alone is larger, for any `id` of the reader."""
    payload = json.dumps([text]).encode()
    place = Position("p" * 32, offset)
    message = Message(room, payload, timestamp(0), sender, trace=TRACE, position=place, event=event)
    size = largest_form(message, kept=True, traced=True)
    [encoded] = frames(V1.message(message, traced=True))
    [page] = frames(V1.reply(HistoryReply(id_, room, "p" * 32, [message], more=False, newest=True)))
    assert max(len(encoded), len(page)) <= size
    assert size - len(payload) <= MOST_ADDED


def test_a_binary_message_stays_as_it_is() -> None:
    """Nothing is added to a binary message."""
    message = Message(RoomName("a"), b"\0\0\0\7abc", timestamp(0), "alice", binary=True)
    assert largest_form(message, kept=True, traced=True) == 7


def test_short_binary_parts_count_as_the_placeholders_that_socketio_clients_get() -> None:
    """A placeholder is longer than the base64 of a short part; long parts only make that form smaller."""
    short = Message(RoomName("a"), b'["QQ==",""]', timestamp(0), binary_at="1:6,8:2")
    plain = changed(short, binary_at="")
    packet, _ = extract(short.payload, short.binary_at)
    more = len(packet) - len(short.payload)
    assert largest_form(short, kept=False, traced=False) == largest_form(plain, kept=False, traced=False) + more
    long = Message(RoomName("a"), b'["%b"]' % (b"QUJD" * 20), timestamp(0), binary_at="1:82")
    assert largest_form(long, kept=False, traced=False) == largest_form(
        changed(long, binary_at=""), kept=False, traced=False
    )


def test_an_escaped_name_counts_as_the_form_that_is_longer() -> None:
    """Socket.IO clients get the name decoded; a control character is longer in JSON than in its escape."""
    sizes = [
        largest_form(Message(RoomName(room), b"1", timestamp(0)), kept=False, traced=False) for room in ("aaa", "%00")
    ]
    assert sizes[1] - sizes[0] == len(json.dumps("\0")) - len(json.dumps("aaa"))


@given(
    where=st.sampled_from(
        [
            ("/", "a"),
            ("/", "admin.%00%C3%A4"),
            ("/admin", "admin." + "a" * 122),
            ("/admin", "admin.%00%C3%A4"),
            ("/é/b", "%C3%A9.b.c"),
            ("/" + "n" * 63, "n" * 63 + ".a"),
            ("/" + "n" * 63, "@alice"),
        ]
    ),
    sender=users,
    event=events,
    parts=st.lists(st.binary(max_size=30), max_size=10),
    flags=st.sets(st.sampled_from(["kept", "traced"])),
)
def test_no_form_for_socketio_clients_is_larger(
    where: tuple[str, str], sender: str | None, event: str | None, parts: list[bytes], flags: set[str]
) -> None:
    """Neither a packet, with whatever is binary in it, nor a page of the history with the message alone."""
    namespace, room = where[0], RoomName(where[1])
    placeholders = [{"_placeholder": True, "num": number} for number in range(len(parts))]
    payload, binary_at = embed(json.dumps(placeholders).encode(), parts, 2**20)
    position = Position("p" * 32, 2**53 - 1) if "kept" in flags else None
    message = Message(
        room, payload, timestamp(0), sender, trace=TRACE, position=position, event=event, binary_at=binary_at
    )
    size = largest_form(message, kept=position is not None, traced="traced" in flags)
    wire = SocketioWire(namespace, 2**20)
    written = frames(wire.message(message, traced="traced" in flags))
    assert max(map(len, written)) <= size
    if position is not None:
        [page] = frames(wire.reply(HistoryReply("9" * 16, room, "p" * 32, [message], more=False, newest=True)))
        assert len(page) <= size
