"""Rules lead the events of Socket.IO clients to rooms, and a mistake in the file is named."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from forestay.core.rules.events import parse_namespaces
from forestay.core.rules.templates import Template
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.events import Asking, Emission
from forestay.protocol.names import RoomName, parse_room, unescape

CHAT = {"event": "chat message", "room": "lobby"}
TYPING = {"event": "typing", "room": "chat.{0.room}", "as": "is typing", "echo": False}
ADMIN = {"path": "/admin", "join": ["news", "@me"]}


def raws(*values: object) -> list[Raw]:
    return [Raw(json.dumps(value).encode()) for value in values]


def test_an_event_goes_to_the_room_of_its_rule() -> None:
    """Under its own name or another one; events that no rule names lead nowhere."""
    found = parse_namespaces([CHAT, TYPING], []).of("/")
    assert found
    assert found.find("chat message", raws("hi")) == Emission(RoomName("lobby"), "chat message", echo=None)
    assert found.find("typing", raws({"room": "a b"})) == Emission(RoomName("chat.a%20b"), "is typing", echo=False)
    assert found.find("other", raws("hi")) is None


def test_a_namespace_has_rooms_of_its_own() -> None:
    """A rule holds in every namespace, in the rooms of each; one for a namespace alone wins there."""
    special = CHAT | {"room": "staff", "namespace": "/admin"}
    all_of_them = parse_namespaces([special, CHAT, TYPING], [ADMIN, {"path": "/a/b"}])
    rooms = {}
    for path in all_of_them.paths:
        found = all_of_them.of(path)
        assert found
        rooms[path] = [
            one.room
            for one in (found.find(event, raws({"room": 7})) for event in ("chat message", "typing"))
            if isinstance(one, Emission)
        ]
    assert rooms == {
        "/": ["lobby", "chat.7"],
        "/admin": ["admin.staff", "admin.chat.7"],
        "/a/b": ["a.b.lobby", "a.b.chat.7"],
    }
    admin = all_of_them.of("/admin")
    assert admin
    assert admin.join == ("admin.news", "@me")
    assert all_of_them.of("/other") is None


def test_the_root_is_there_without_a_table_and_can_have_one() -> None:
    """Its rooms are those of native clients."""
    root = parse_namespaces([], []).of("/")
    assert root
    assert (root.join, root.find("a", [])) == ((), None)
    root = parse_namespaces([], [{"path": "/", "join": ["lobby"]}]).of("/")
    assert root
    assert root.join == ("lobby",)


@pytest.mark.parametrize(
    ("template", "arguments", "room"),
    [
        ("lobby", [], "lobby"),
        ("chat%20room", [], "chat%20room"),
        ("{0}", ["lobby"], "lobby"),
        ("{0}", ["@me"], "%40me"),
        ("{0}", ["-x"], "%2Dx"),
        ("{0}{1}", ["a", "-x"], "a-x"),
        ("r.{0}", ["-x"], "r.-x"),
        ("r.{1.a.b}", [0, {"a": {"b": "Zürich"}}], "r.Z%C3%BCrich"),
        ("{0.to}.{0.of}", [{"to": 1, "of": "b"}], "1.b"),
        ("r.{0}", [1.0], "r.1"),
        ("r.{0}", [-1.5], "r.-1.5"),
        ("r.{0}", [1e20], "r.100000000000000000000"),
        ("r.{0}", [1e21], "r.1e%2B21"),
        ("r.{0}", [1e-7], "r.1e-7"),
        ("r.{0}", [0], "r.0"),
        ("r.{0.a b}", [{"a b": "x"}], "r.x"),
        ("r.{0.0}", [{"0": "x"}], "r.x"),
    ],
)
def test_a_template_takes_values_from_the_arguments(template: str, arguments: list[object], room: str) -> None:
    """Numbers are written as JavaScript writes them, and characters outside the grammar as escapes."""
    assert Template(template).room(raws(*arguments)) == room
    assert Template(template, "ns.").room(raws(*arguments)) == "ns." + room.replace("%2Dx", "-x")


@given(st.text(min_size=1), st.sampled_from(["", "ns."]), st.sampled_from(["{0}", "a.{0}", "{0}.b"]))
def test_a_value_leaves_its_place_in_no_form(value: str, prefix: str, template: str) -> None:
    """The name is valid, and says the value; it is no personal room and no other room than that."""
    try:
        room = Template(template, prefix).room([Raw(json.dumps(value).encode("utf-8", "surrogatepass"))])
    except Refusal:
        assert len(value.encode("utf-8", "surrogatepass")) > 20
        return
    assert parse_room(room) == room
    assert unescape(room) == prefix + template.replace("{0}", value)


@pytest.mark.parametrize(
    "argument",
    [
        b"null",
        b"true",
        b'""',
        b"[]",
        b"{}",
        b'{"_placeholder":true,"num":0}',
        b'"\\ud800"',
        b"9" * 5000,
        b"1e999",
        None,
    ],
)
@pytest.mark.parametrize("template", ["chat.{0}", "chat.{0.room}", "chat.{0.room.id}"])
def test_a_value_that_is_missing_or_no_text_is_refused(argument: bytes | None, template: str) -> None:
    """The refusal names the template and the place."""
    steps = template.strip("chat.{}").split(".")[1:]
    for step in reversed(steps):
        argument = argument and b'{"%b":%b}' % (step.encode(), argument)
    for arguments in ([] if argument is None else [Raw(argument)], raws(7) if steps else []):
        with pytest.raises(Refusal, match=r"chat\.\{0") as refused:
            Template(template).room(arguments)
        assert refused.value.code in (ErrorCode.BAD_MESSAGE, ErrorCode.INVALID_ROOM)


def test_a_room_that_gets_too_long_is_refused() -> None:
    """A name has 128 characters at most, escapes included."""
    assert Template("{0}").room(raws("x" * 128)) == "x" * 128
    for value in ("x" * 129, " " * 43):
        with pytest.raises(Refusal) as refused:
            Template("{0}").room(raws(value))
        assert refused.value.code is ErrorCode.INVALID_ROOM


@pytest.mark.parametrize(
    ("events", "namespaces", "words"),
    [
        ({}, [], "written as [[events]] tables"),
        ([1], [], "written as [[events]] tables"),
        ([], {}, "written as [[namespaces]] tables"),
        ([{"room": "a"}], [], "[[events]] 1: 'event' is the name of an event"),
        ([{"event": "a"}], [], "[[events]] 'a': 'room' is missing"),
        ([CHAT | {"to": "a"}], [], "'chat message': unknown to; there are event, room, as, echo, call, namespace"),
        ([CHAT | {"event": "disconnect"}], [], "'disconnect' is a reserved name"),
        ([CHAT | {"as": "connect"}], [], "'connect' is a reserved name"),
        ([CHAT | {"as": "forestay:x"}], [], "'forestay:x' is a reserved name"),
        ([CHAT | {"event": ""}], [], "1 to 128 characters"),
        ([CHAT | {"event": 7}], [], "'event' is the name of an event"),
        ([CHAT | {"echo": "no"}], [], "'echo' is true or false, not 'no'"),
        ([CHAT | {"namespace": 1}], [], "'namespace' is a path"),
        ([CHAT | {"namespace": "/admin"}], [], "no [[namespaces]] table has the path '/admin'"),
        ([CHAT, CHAT], [], "[[events]] 'chat message' is there twice"),
        ([CHAT | {"room": "a b"}], [], "'a b' makes no room name; write a%20b"),
        ([CHAT | {"room": ""}], [], "'' makes no room name"),
        ([CHAT | {"room": "@me"}], [], "'@me' makes no room name"),
        ([CHAT | {"room": "a.{"}], [], "'a.{' makes no room name"),
        ([CHAT | {"room": "a.{}"}], [], "{} is not the number of an argument"),
        ([CHAT | {"room": "a.{room}"}], [], "{room} is not the number of an argument"),
        ([CHAT | {"room": "a.{0.}"}], [], "{0.} is not the number of an argument"),
        ([CHAT | {"room": "a.{0}}"}], [], "makes no room name"),
        ([CHAT | {"room": "{0}" * 17}], [], "at most 16 places"),
        ([], [{"join": ["a"]}], "[[namespaces]] 1: 'path' begins with a slash"),
        ([], [{"path": "admin"}], "[[namespaces]] 'admin': 'path' begins with a slash"),
        ([], [{"path": ""}], "'path' begins with a slash"),
        ([], [{"path": "/admin/"}], "'path' begins with a slash"),
        ([], [{"path": "//a"}], "'path' begins with a slash"),
        ([], [{"path": "/a,b"}], "'path' begins with a slash"),
        ([], [{"path": "/a?b"}], "'path' begins with a slash"),
        ([], [{"path": "/a\n"}], "'path' begins with a slash"),
        ([], [{"path": "/" + "a" * 65}], "shorten 'path'"),
        ([], [{"path": "/a", "rooms": []}], "unknown rooms; there are path, join"),
        ([], [{"path": "/a", "join": "b"}], "'join' is a list of rooms"),
        ([], [{"path": "/a", "join": [1]}], "'join' is a list of rooms"),
        ([], [{"path": "/a", "join": ["b c"]}], "'b c' is no room; write b%20c"),
        ([], [{"path": "/a", "join": [""]}], "'' is no room"),
        ([], [{"path": "/a", "join": ["x"] * 101}], "at most 100 rooms"),
        ([], [{"path": "/a"}, {"path": "/a"}], "have the same rooms"),
        ([], [{"path": "/a/b"}, {"path": "/a.b"}], "have the same rooms"),
    ],
)
def test_a_mistake_is_named_with_its_table(events: object, namespaces: object, words: str) -> None:
    """The error says which table has it, what is wrong, and what to write."""
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        parse_namespaces(events, namespaces)
    assert words in str(raised.value)


def test_a_rule_can_ask_the_application() -> None:
    """The event is a call of that method, in every namespace alike."""
    rules = parse_namespaces([{"event": "message", "call": "chat.send"}], [ADMIN])
    for path in ("/", "/admin"):
        found = rules.of(path)
        assert found
        assert found.find("message", raws("hi")) == Asking("chat.send")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"call": True}, "'call' is the method"),
        ({"call": ""}, "1 to 128 characters"),
        ({"call": "a\n"}, "no control characters"),
        ({"call": "a", "room": "lobby"}, "leave out room, or 'call'"),
        ({"call": "a", "as": "b", "echo": False}, "leave out as, echo, or 'call'"),
    ],
)
def test_a_call_in_a_rule_has_a_method_and_nothing_of_a_room(keys: dict[str, object], said: str) -> None:
    """The mistake is named together with the event."""
    with pytest.raises(ValueError, match=said) as raised:
        parse_namespaces([{"event": "save"} | keys], [])
    assert "'save'" in str(raised.value)
