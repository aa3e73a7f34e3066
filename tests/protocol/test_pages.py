"""Pages of history and presence in a number of bytes."""

import json

from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.json import encode as to_json

from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from forestay.protocol.presence import Member, PresencePage
from forestay.protocol.replies import HistoryReply, Joined, PresenceReply
from forestay.protocol.v1.encoder import Encoder
from forestay.protocol.v1.pages import history_fields, presence_fields
from tests.support.core import frames

ROOM = RoomName("chat.a")
SIZES = st.lists(st.integers(0, 400), min_size=1, max_size=30)
ID = st.none() | st.text(min_size=1, max_size=64)


def messages(sizes: list[int]) -> list[Message]:
    return [
        Message(ROOM, b'"' + b"x" * size + b'"', "now", sender="ada", position=Position("e", at))
        for at, size in enumerate(sizes, 1)
    ]


def members(sizes: list[int]) -> list[Member]:
    return [Member(f"user-{at}\n", 1, b'"' + b"x" * size + b'"') for at, size in enumerate(sizes)]


@given(SIZES, st.sets(st.sampled_from(["more", "newest"])), ID)
@example([0, 0, 0, 0, 336, 400], {"more"}, None)
def test_a_history_page_fits_into_the_largest_message(sizes: list[int], flags: set[str], id: str | None) -> None:
    """The whole reply fits, with all messages that fit beside each other on the right side, and it says what is cut."""
    largest, more, newest = 1200, "more" in flags, "newest" in flags
    reply = HistoryReply(id, ROOM, "e", messages(sizes), more, newest)
    [text] = frames(Encoder(lambda: 0.0, largest).reply(reply))
    payload = json.loads(text)["payload"]
    offsets = [one["offset"] for one in payload["messages"]]
    everything = list(range(1, len(sizes) + 1))
    assert offsets == (everything[-len(offsets) :] if newest else everything[: len(offsets)])
    assert payload["more"] == (more or offsets != everything)
    assert len(text) <= largest or len(offsets) == 1
    if offsets != everything:
        [whole] = frames(Encoder(lambda: 0.0, 10**6).reply(reply))
        assert len(whole) > largest


@given(SIZES, st.sampled_from(["", "more", "degraded"]), ID)
def test_a_presence_page_fits_into_the_largest_message(sizes: list[int], follow: str, id: str | None) -> None:
    """The whole reply fits, also with the name of the next page, and so do the members in `joined`."""
    largest, more, degraded = 1200, follow == "more", follow == "degraded"
    page = PresencePage(len(sizes), len(sizes), members(sizes), more, degraded)
    encoder = Encoder(lambda: 0.0, largest)
    for reply in (PresenceReply(id, ROOM, page), Joined(id, ROOM, Position("e", 7), recovered=True, members=page)):
        [text] = frames(encoder.reply(reply))
        payload = json.loads(text)["payload"]
        shown = payload["members"] if isinstance(reply, Joined) else payload
        names = [one["user"] for one in shown["members"]]
        assert names == [one.user for one in page.members][: len(names)]
        assert shown.get("next") == (names[-1] if more or len(names) < len(sizes) else None)
        assert shown["users"] == len(sizes)
        assert shown.get("degraded", False) is degraded
        assert len(text) <= largest or len(names) == 1


@given(SIZES, st.integers(0, 5000))
def test_a_page_keeps_to_its_bytes(sizes: list[int], max_bytes: int) -> None:
    """The fields alone, as the HTTP API sends them, take no more than `max_bytes`, unless one entry alone does."""
    history = history_fields("e", messages(sizes), more=False, newest=False, max_bytes=max_bytes)
    presence = presence_fields(PresencePage(1, 1, members(sizes), more=False), max_bytes)
    for fields, entries in ((history, history["messages"]), (presence, presence["members"])):
        assert isinstance(entries, list)
        assert len(to_json(fields)) <= max_bytes or len(entries) == 1
