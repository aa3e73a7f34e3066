"""A name is refused or used unchanged, and a pattern matches segment by segment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestay.protocol.names import Pattern, is_personal, parse_room, personal_room, shown

segments = st.sampled_from(["a", "b", "room", "*"])
rooms = st.lists(st.sampled_from(["a", "b", "room"]), min_size=1, max_size=4).map(".".join)


def naive(pattern: list[str], room: list[str]) -> bool:
    """The rule of patterns, written as a recursion over the segments."""
    if pattern == ["**"]:
        return bool(room)
    if not pattern or not room:
        return pattern == room
    return pattern[0] in ("*", room[0]) and naive(pattern[1:], room[1:])


@pytest.mark.parametrize("name", ["a", "A1", "chat.lobby", "a:b", "a_b-c.d", "9", "a..b", "x" * 128])
def test_a_room_name_is_not_normalised(name: str) -> None:
    """A valid name is used as it is, without normalisation."""
    assert parse_room(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "-a", "_a", ":a", "@me", "@bob", "a b", "a/b", "a\n", "a\0", "é", "ａ", "a\u200b", "x" * 129, "*", "a.*"],
)
def test_a_text_that_is_no_room_name_is_refused(name: str) -> None:
    """Look-alikes, separators, control characters and patterns are no room names."""
    assert parse_room(name) is None


@given(st.lists(segments, min_size=0, max_size=3), st.booleans(), rooms)
def test_a_pattern_matches_by_the_rule(head: list[str], open_ended: bool, room: str) -> None:  # noqa: FBT001
    """`*` matches one segment, and a last `**` matches one or more."""
    pattern = [*head, "**"] if open_ended or not head else head
    assert Pattern(".".join(pattern)).matches(room) == naive(pattern, room.split("."))


@pytest.mark.parametrize("text", ["", "**.a", "a.**.b", "a*", "a.b*", "-a", "a b", "x" * 129, "@bob"])
def test_a_malformed_pattern_is_refused(text: str) -> None:
    """`*` stands for a whole segment, and `**` is allowed only at the end."""
    with pytest.raises(ValueError, match="pattern"):
        Pattern(text)


@given(st.text(min_size=1))
def test_a_personal_room_is_reached_by_no_name_and_no_pattern(user: str) -> None:
    """Only `@me` names a personal room, and each user means its own by it."""
    room = personal_room(user)
    assert is_personal(room)
    assert parse_room(room) is None
    assert not Pattern("**").matches(room)
    assert not Pattern("*").matches(room)
    assert shown(room) == "@me"
    assert Pattern("@me").matches("@me")
