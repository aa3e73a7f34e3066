"""Which names are rooms, and which rooms a pattern names."""

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.protocol.names import PERSONAL, Pattern, RoomName, is_personal, parse_room, personal_room, shown

FIRST = set(string.ascii_letters + string.digits)
LATER = FIRST | set("_.:-")


SMALL = st.sampled_from(["a", "b", "a1"])
ROOMS = st.builds(
    lambda first, rest: ".".join([first, *rest]), SMALL, st.lists(st.sampled_from(["a", "b", "a1", ""]), max_size=3)
)
PATTERNS = st.builds(
    lambda head, tail: ".".join([*head, *tail]),
    st.lists(SMALL | st.just("*"), min_size=1, max_size=3),
    st.sampled_from([[], ["**"]]),
) | st.just("**")


def naively(pattern: list[str], room: list[str]) -> bool:
    """Whether the segments match, one after the other."""
    if not pattern:
        return not room
    if not room:
        return False
    if pattern == ["**"]:
        return True
    return pattern[0] in ("*", room[0]) and naively(pattern[1:], room[1:])


@pytest.mark.parametrize("text", ["a", "Z", "0", "chat.lobby", "a..b", "a.", "a_b:c-d.e", "x" * 128, "1234"])
def test_a_room_has_a_name_of_the_grammar(text: str) -> None:
    """1 to 128 of the allowed characters, a letter or a digit first."""
    assert parse_room(text) == text


# fmt: off
LOOK_ALIKES = [
    "", "x" * 129, ".a", "_a", ":a", "-a", "a b", "a\n", "\na", "a\x00", "a/b", "a*", "*", "**", "@me", "@a", "a@b",
    "é", "aé", "ａ", "a\u200b", "\u0661", "\u212a", "ı", "a\ud800",
]
NO_PATTERNS = [
    "", "x" * 129, "a*", "*a", "a:*", "a.b*", "**.a", "a.**.b", "***", "a.***", "@", "@ada", "@me.x", ".a", "-a", "_x.*",
    "a b", "a.é", "a\n", "**\n", "a,b", "a.@me", ".**", ".*",
]
# fmt: on


@pytest.mark.parametrize("text", LOOK_ALIKES)
def test_what_only_looks_like_a_name_is_refused(text: str) -> None:
    """Nothing is trimmed, folded or normalised: look-alikes of letters, digits and blanks are no names."""
    assert parse_room(text) is None


@given(st.text(max_size=140) | st.text(alphabet=sorted(LATER), min_size=125, max_size=131))
def test_the_grammar_is_what_the_documents_say(text: str) -> None:
    """A name is one exactly where each of its characters is allowed at its place."""
    fits = 1 <= len(text) <= 128 and text[0] in FIRST and set(text) <= LATER
    assert parse_room(text) == (text if fits else None)


@given(PATTERNS, ROOMS)
def test_a_pattern_matches_as_one_would_by_hand(pattern: str, room: str) -> None:
    """`*` is one segment, a last `**` one or more, everything else itself."""
    assert Pattern(pattern).matches(room) == naively(pattern.split("."), room.split("."))


@given(ROOMS, ROOMS)
def test_a_name_is_the_pattern_of_itself(room: str, other: str) -> None:
    """Without stars a pattern names one room."""
    assert Pattern(room).matches(room)
    assert Pattern(room).matches(other) == (room == other)


@pytest.mark.parametrize(
    ("pattern", "room", "expected"),
    [
        ("chat.*", "chat.lobby", True),
        ("chat.*", "chat", False),
        ("chat.*", "chat.lobby.admin", False),
        ("chat.**", "chat.lobby.admin", True),
        ("chat.**", "chat", False),
        ("*", "chat", True),
        ("*", "chat.lobby", False),
        ("**", "chat.lobby", True),
        ("*.admin", "chat.admin", True),
        ("*.**", "chat", False),
        ("chat", "Chat", False),
        ("a.*.c", "a..c", True),
    ],
)
def test_the_examples_of_the_documents_hold(pattern: str, room: str, expected: bool) -> None:  # noqa: FBT001 - a column
    """What the pages say about patterns is so."""
    assert Pattern(pattern).matches(room) is expected


@pytest.mark.parametrize("text", NO_PATTERNS)
def test_what_is_no_pattern_is_a_value_error(text: str) -> None:
    """A rule that could not mean what its writer thinks is refused when it is read, in words."""
    with pytest.raises(ValueError, match="pattern"):
        Pattern(text)


@given(st.text(alphabet="ab*.@me-_ é", max_size=8) | PATTERNS, st.text(min_size=1, max_size=6))
def test_no_pattern_reaches_a_personal_room(text: str, user: str) -> None:
    """Only `@me` names personal rooms, and it names nothing else."""
    assume(text != PERSONAL)
    try:
        pattern = Pattern(text)
    except ValueError:
        return
    assert not pattern.matches(personal_room(user))
    assert not pattern.matches(PERSONAL)


@given(ROOMS)
def test_the_personal_pattern_names_no_public_room(room: str) -> None:
    """`@me` stands for a personal room and for no other."""
    assert Pattern(PERSONAL).matches(PERSONAL)
    assert not Pattern(PERSONAL).matches(room)


@given(st.text(min_size=1))
def test_a_personal_room_cannot_be_named(user: str) -> None:
    """Whatever a user is called, no client can say the name of the room, and all are shown `@me`."""
    room = personal_room(user)
    assert parse_room(room) is None
    assert is_personal(room)
    assert shown(room) == PERSONAL


@given(st.text(min_size=1), st.text(min_size=1))
def test_personal_rooms_are_apart(one: str, other: str) -> None:
    """Two users never share a personal room."""
    assert (personal_room(one) == personal_room(other)) == (one == other)


def test_a_public_room_is_shown_as_it_is_called() -> None:
    """A public room has one name for everybody."""
    assert shown(RoomName("chat.lobby")) == "chat.lobby"
    assert not is_personal(RoomName("chat.lobby"))


def test_a_pattern_shows_itself() -> None:
    """What stands in a log or a test report is the pattern."""
    assert repr(Pattern("chat.*")) == "Pattern('chat.*')"
