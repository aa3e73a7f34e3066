"""A name is refused or used unchanged, and a pattern matches segment by segment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestay.protocol.names import (
    Pattern,
    escape,
    escaped,
    is_ours,
    is_personal,
    namespace_prefix,
    parse_room,
    personal_room,
    shown,
    unescape,
)

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


@given(st.text(min_size=1))
def test_an_application_may_call_a_room_what_it_likes(text: str) -> None:
    """Each text has one name, a valid one, from which the text comes back; only a name that is too long has none."""
    name = escape(text)
    if name is None:
        assert len(escaped(text)) > 128
        return
    assert parse_room(name) == name
    assert not is_ours(name)
    assert unescape(name) == text
    assert name.isascii()


@given(st.text(st.sampled_from("a-_.:%é\U0001f600 /@*"), min_size=1, max_size=12))
def test_a_name_is_the_only_one_of_its_text(text: str) -> None:
    """A valid name is what `escape` makes of its text, so no room has two names."""
    name = parse_room(text)
    if name is not None:
        assert escape(unescape(name)) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("lobby", "lobby"),
        ("chat room", "chat%20room"),
        ("Zürich", "Z%C3%BCrich"),
        ("-x", "%2Dx"),
        ("x-", "x-"),
        ("@me", "%40me"),
        ("100%", "100%25"),
        ("a%20b", "a%2520b"),
        ("!pods", "%21pods"),
        ("\0", "%00"),
        ("x" * 128, "x" * 128),
        (" " * 42, "%20" * 42),
    ],
)
def test_other_characters_are_escaped(text: str, name: str) -> None:
    """Each byte of UTF-8 that the grammar does not take at its place becomes `%XX`."""
    assert (escape(text), parse_room(name), unescape(name)) == (name, name, text)


@pytest.mark.parametrize("text", ["", "x" * 129, " " * 43, "\ud800"])
def test_a_text_without_a_name(text: str) -> None:
    """An empty text, a name of more than 128 characters, and half of a surrogate pair."""
    assert escape(text) is None


@pytest.mark.parametrize(
    "name",
    [
        "%",
        "a%",
        "a%2",
        "a%2g",
        "a%c3%bc",
        "a%C3",
        "%FF",
        "%ED%A0%80",
        "a%C0%AF",
        "%41",
        "a%2D",
        "a%2E",
        "%20" * 43,
        "a%20 b",
        "%20ü",
    ],
)
def test_an_escape_has_one_form(name: str) -> None:
    """Upper case, of valid UTF-8, only where it is needed, and 128 characters at most."""
    assert parse_room(name) is None


@pytest.mark.parametrize(("path", "prefix"), [("/", ""), ("/admin", "admin."), ("/a/b", "a.b."), ("/a b", "a b.")])
def test_a_namespace_is_a_prefix(path: str, prefix: str) -> None:
    """Its rooms have the path in front of their names, with dots for slashes."""
    assert namespace_prefix(path) == prefix
    assert unescape(escape(prefix + "-x") or "") == prefix + "-x"


@pytest.mark.parametrize(
    ("pattern", "room", "matches"),
    [
        ("chat%20room", "chat%20room", True),
        ("%C3%A4.*", "%C3%A4.b", True),
        ("%C3%A4.*", "%C3%A5.b", False),
        ("a.%2A", "a.%2A", True),
        ("a.%2A", "a.b", False),
        ("*.lobby", "%40me.lobby", True),
        ("%2Dx.**", "%2Dx.y", True),
    ],
)
def test_a_pattern_names_escaped_rooms(pattern: str, room: str, *, matches: bool) -> None:
    """Its segments may have escapes, in the form in which a name has them."""
    assert parse_room(room)
    assert Pattern(pattern).matches(room) is matches


@given(st.lists(segments, min_size=0, max_size=3), st.booleans(), rooms)
def test_a_pattern_matches_by_the_rule(head: list[str], open_ended: bool, room: str) -> None:  # noqa: FBT001
    """`*` matches one segment, and a last `**` matches one or more."""
    pattern = [*head, "**"] if open_ended or not head else head
    assert Pattern(".".join(pattern)).matches(room) == naive(pattern, room.split("."))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "**.a",
        "a.**.b",
        "a*",
        "a.b*",
        "-a",
        "a b",
        "x" * 129,
        "@bob",
        "%",
        "a.%2d",
        "a.%2D",
        "%41.*",
        "%FF",
        "a%2Eb",
    ],
)
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
