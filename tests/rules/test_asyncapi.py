"""The description of the protocol is true: it has each message, and each has the fields that are read and written."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docs.asyncapi import ANSWERS, PAGE, SERVED, document, page, text
from docs.message_forms import FORMS, NEWS
from forestay.protocol import replies
from forestay.protocol.message import Kind, Message
from forestay.protocol.position import Position
from forestay.protocol.requests import JoinMany, Unreadable
from forestay.protocol.v1.reader import REQUEST_TYPES, Reader
from tests.protocol.test_wires import ROOM, TABLE, V1
from tests.support.core import frames
from tests.support.described import faults
from tests.support.repository import codes, rows

READER = Reader(64, 100)
VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", "a", "7", "x" * 65, "x" * 129, 0, 1, 7, -1, 1001, 2**32, 1.5, True, [], {}]
)
POSITION = st.dictionaries(st.sampled_from(["epoch", "offset", "other"]), VALUES)
ONE = st.one_of(VALUES, st.dictionaries(st.sampled_from(["room", "since"]), st.one_of(VALUES, POSITION)))
FIELDS = {
    **dict.fromkeys(("id", "room", "key", "echo", "event", "after", "limit", "method", "other"), VALUES),
    **dict.fromkeys(("since", "before"), st.one_of(VALUES, POSITION)),
    "payload": st.one_of(VALUES, st.dictionaries(st.sampled_from(["type", "token"]), VALUES)),
    "rooms": st.one_of(VALUES, st.lists(ONE, max_size=3)),
}


def requests() -> st.SearchStrategy[dict[str, Any]]:
    """Messages of each type with some of the fields that any type has, and with good and bad values."""
    fields = st.fixed_dictionaries({"room": st.just("a")}, optional={n: v for n, v in FIELDS.items() if n != "room"})
    some = st.one_of(fields, st.fixed_dictionaries({}, optional=FIELDS))
    return st.builds(lambda tag, given: {"type": tag, **given}, st.sampled_from(sorted(REQUEST_TYPES)), some)


def test_what_is_written_and_served_is_as_generated() -> None:
    """`make descriptions` writes the page and the JSON in the package."""
    assert PAGE.read_text(encoding="utf-8") == page()
    assert SERVED.read_text(encoding="utf-8") == text()


def test_no_message_is_left_out() -> None:
    """The document has each request that is read, each reply, each kind of message, and those of the page."""
    assert set(FORMS) == set(get_args(replies.Reply))
    assert set(NEWS) == set(Kind) - {Kind.PODS}
    assert set(ANSWERS) == REQUEST_TYPES
    messages = document()["components"]["messages"]
    said = {name.removeprefix("client-") for name in messages if name.startswith("client-")}
    heard = {name for name in messages if not name.startswith("client-")}
    assert said == {*REQUEST_TYPES, "binary"}
    listed = {tag for row in rows("docs/protocol.md", "`type`") for tag in codes(row[0])} - {"type"}
    # `close` is told among the event streams.
    assert (said | heard) - {"binary", "close"} == listed


@pytest.mark.parametrize("reply", [reply for reply, *_ in TABLE], ids=lambda one: type(one).__name__)
def test_each_reply_is_as_described(reply: replies.Reply) -> None:
    """It has the fields of its schema, and no other."""
    [written] = frames(V1.reply(reply))
    message = json.loads(written)
    assert faults(message["type"], message) == []
    assert faults(message["type"], message | {"other": 1})
    assert faults(message["type"], {name: value for name, value in message.items() if name != "timestamp"})


@pytest.mark.parametrize("kind", NEWS)
def test_each_message_of_a_room_is_as_described(kind: Kind) -> None:
    """With a position and an event, and without."""
    payload = b"[1]" if kind is Kind.BROADCAST else b'{"user":"alice","info":{"a":1}}'
    event = "said" if kind is Kind.BROADCAST else None
    for message in (
        Message(ROOM, payload, "2026-11-30T12:00:00.000Z", "alice", kind=kind),
        Message(ROOM, payload, "2026-11-30T12:00:00.000Z", position=Position("e1", 7), kind=kind, event=event),
    ):
        [written] = frames(V1.message(message, traced=True))
        assert faults(kind, json.loads(written)) == []


@given(requests())
def test_the_gateway_reads_what_is_described(message: dict[str, Any]) -> None:
    """And refuses what is not, whatever the fields are."""
    assert _is_read(message) == (faults(f"client-{message['type']}", message, closed=False) == [])


def _is_read(message: dict[str, Any]) -> bool:
    try:
        read = READER.read(json.dumps(message).encode())
    except Unreadable:
        return False
    return not isinstance(read, JoinMany) or not any(isinstance(one, Unreadable) for one in read.joins)
