"""The events of Socket.IO clients become requests, or refusals that say what is wrong."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from forestay.protocol import requests
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.events import Asking, Emission
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from forestay.protocol.requests import Unreadable
from forestay.protocol.socketio.packets import Decoder, Event
from forestay.protocol.socketio.reader import Reader


class OneRule:
    """Sends the event `say` to the room `lobby`, as `said`."""

    def find(self, event: str, arguments: Sequence[Raw]) -> Emission | Asking | None:
        if event == "say" and not arguments:
            raise Refusal(ErrorCode.BAD_MESSAGE, "say needs an argument")
        return Emission(RoomName("lobby"), "said", echo=False) if event == "say" else None


ROOT = Reader("/", OneRule(), 100)
ADMIN = Reader("/admin", OneRule(), 100)


def ask(text: str, *parts: bytes, reader: Reader = ROOT) -> requests.Request:
    decoder = Decoder(1000, 32)
    event = decoder.text(text)
    for part in parts:
        event = decoder.binary(part)
    assert isinstance(event, Event)
    return reader.read(event)


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ('25["join-room","a"]', requests.Join("5", room="a")),
        ('2["join-room",{"room":"a b"}]', requests.Join(None, room="a%20b")),
        (
            '2["join-room",{"room":"a","since":{"epoch":"e","offset":3}}]',
            requests.Join(None, room="a", since=Position("e", 3)),
        ),
        ('2["join-room","@me"]', requests.Join(None, room="@me")),
        ('25["leave-room","a"]', requests.Leave("5", room="a")),
        ('25["presence","a"]', requests.Presence("5", room="a")),
        ('25["presence",{"room":"a","after":"bob","limit":5}]', requests.Presence("5", room="a", after="bob", limit=5)),
        ('25["history","a"]', requests.History("5", room="a")),
        (
            '25["history",{"room":"a","before":{"epoch":"e","offset":3}}]',
            requests.History("5", room="a", before=Position("e", 3)),
        ),
        ('25["auth",{"token":"t"}]', requests.Auth("5", payload=requests.Token("t"))),
        (
            '25["message",{"room":"a","payload":{"x": 1},"key":"k","echo":false}]',
            requests.Emitted("5", room="a", payload=Raw(b'{"x": 1}'), key="k", echo=False),
        ),
        ('25["say","hi",1]', requests.Emitted("5", room="lobby", payload=Raw(b'["hi",1]'), event="said", echo=False)),
    ],
)
def test_an_event_is_a_request(text: str, request_: requests.Request) -> None:
    """Each event of the page is the request that native clients make, with the ack id as its id."""
    assert ask(text) == request_


def test_a_namespace_has_rooms_of_its_own() -> None:
    """A room of `/admin` has that prefix, and the personal room is the same in all namespaces."""
    assert ask('2/admin,["join-room","x"]', reader=ADMIN) == requests.Join(None, room="admin.x")
    assert ask('2/admin,["join-room","@me"]', reader=ADMIN) == requests.Join(None, room="@me")


def test_a_buffer_as_payload_is_a_binary_message() -> None:
    """It goes out as natives send it: its type in four bytes, and the bytes."""
    text = '51-5["message",{"room":"a","payload":{"_placeholder":true,"num":0},"type":7}]'
    assert ask(text, b"\xff") == requests.Binary("5", data=b"\x00\x00\x00\x07\xff", room="a")
    untyped = '51-["message",{"room":"a","payload":{"num":0,"_placeholder":true},"echo":false}]'
    assert ask(untyped, b"") == requests.Binary(None, data=b"\x00\x00\x00\x00", room="a", echo=False)


def test_buffers_inside_are_base64_for_others() -> None:
    """A buffer in a payload or among the arguments of an own event becomes a string, and its place is noted."""
    nested = ask('51-["message",{"room":"a","payload":{"f":{"_placeholder":true,"num":0}}}]', b"\xff")
    assert nested == requests.Emitted(None, room="a", payload=Raw(b'{"f":"/w=="}'), binary_at="5:6")
    own = ask('51-["say",{"_placeholder":true,"num":0}]', b"\xff")
    assert own == requests.Emitted(
        None, room="lobby", payload=Raw(b'["/w=="]'), event="said", echo=False, binary_at="1:6"
    )


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ('25["shout",1]', ErrorCode.UNKNOWN_TYPE, "no rule names the event 'shout'"),
        ('25["connect"]', ErrorCode.UNKNOWN_TYPE, "no rule names the event 'connect'"),
        ('25["' + "a" * 900 + '"]', ErrorCode.UNKNOWN_TYPE, "'" + "a" * 64 + "';"),
        ('25["say"]', ErrorCode.BAD_MESSAGE, "needs an argument"),
        ('25["join-room"]', ErrorCode.BAD_MESSAGE, "needs an argument"),
        ('25["join-room",7]', ErrorCode.BAD_MESSAGE, "not as expected"),
        ('25["join-room",null]', ErrorCode.BAD_MESSAGE, "not as expected"),
        ('25["join-room",{"room":"a","since":1}]', ErrorCode.BAD_MESSAGE, "since"),
        ('25["join-room",""]', ErrorCode.INVALID_ROOM, "1 to 128"),
        ('25["join-room","' + "é" * 50 + '"]', ErrorCode.INVALID_ROOM, "1 to 128"),
        ('25["message","hello"]', ErrorCode.BAD_MESSAGE, "a rule for 'message'"),
        ('25["message",{"room":"a"}]', ErrorCode.BAD_MESSAGE, "payload"),
        ('25["message",{"room":"a","payload":1,"key":""}]', ErrorCode.BAD_MESSAGE, "key"),
        ('25["message",{"room":"a","payload":1,"type":-1}]', ErrorCode.BAD_MESSAGE, "type"),
        ('2["presence","a"]', ErrorCode.BAD_MESSAGE, "callback"),
        ('2["history","a"]', ErrorCode.BAD_MESSAGE, "callback"),
        ('25["history",{"room":"a","limit":0}]', ErrorCode.BAD_MESSAGE, "limit"),
        ('25["auth",{}]', ErrorCode.BAD_MESSAGE, "token"),
    ],
)
def test_what_is_no_request_is_refused(text: str, code: ErrorCode, words: str) -> None:
    """The refusal has a code, says what to do, and repeats the ack id."""
    with pytest.raises(Unreadable) as refused:
        ask(text)
    assert (refused.value.refusal.code, refused.value.id) == (code, "5" if text.startswith("25") else None)
    assert words in refused.value.refusal.message


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('51-["message",{"room":"a","payload":1}]', [b"x"]),
        ('52-["message",{"room":"a","payload":{"_placeholder":true,"num":1}}]', [b"x", b"y"]),
        ('51-["message",{"room":"a","payload":{"_placeholder":true,"num":9}}]', [b"x"]),
        ('51-["message",{"room":"a","payload":[{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]}]', [b"x"]),
        ('51-["message",{"room":"a","payload":[{"_placeholder":true,"num":0},{"_placeholder":true}]}]', [b"x"]),
        ('51-["message",{"room":"a","payload":{"_placeholder":true,"num":0}}]', [b"x" * 101]),
    ],
)
def test_placeholders_must_fit_their_parts(text: str, parts: list[bytes]) -> None:
    """A packet that stock clients could not read is refused, and nobody else gets it."""
    with pytest.raises(Unreadable):
        ask(text, *parts)


@given(st.sampled_from(["join-room", "leave-room", "message", "presence", "history", "auth", "say", "x"]), st.data())
def test_any_argument_is_read_or_refused(name: str, data: st.DataObject) -> None:
    """Any JSON as argument gives a request or a refusal, and no other exception."""
    values = st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8"))
    fields = st.dictionaries(st.sampled_from(["room", "payload", "since", "limit", "token", "key"]), values)
    arguments = data.draw(st.lists(values | fields, max_size=2))
    event = Event("/", "1", name, [Raw(msgspec.json.encode(each)) for each in arguments], [], 0)
    try:
        assert ROOT.read(event).id == "1"
    except Unreadable as unreadable:
        assert (unreadable.id, unreadable.refusal.code in ErrorCode) == ("1", True)


class Asked:
    """Makes `message` a call of `chat.send`."""

    def find(self, event: str, arguments: Sequence[Raw]) -> Emission | Asking | None:
        return Asking("chat.send") if event == "message" else None


CALLS = Reader("/", Asked(), 100, calls=True)


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ('25["orders.create",{"item": 3}]', requests.Call("5", method="orders.create", payload=Raw(b'{"item": 3}'))),
        ('2["chat message","hi",7]', requests.Call(None, method="chat message", payload=Raw(b'["hi",7]'))),
        ('25["list"]', requests.Call("5", method="list")),
        ('25["list",[1]]', requests.Call("5", method="list", payload=Raw(b"[1]"))),
        ('25["message","hi"]', requests.Call("5", method="chat.send", payload=Raw(b'"hi"'))),
        ('25["join-room","a"]', requests.Join("5", room="a")),
    ],
)
def test_an_event_that_nothing_takes_is_a_call(text: str, request_: requests.Request) -> None:
    """Where the application takes calls. One argument is the payload, several are a list; rules and our names win."""
    assert ask(text, reader=CALLS) == request_


def test_a_call_of_a_namespace_has_its_path_in_front() -> None:
    """As the rooms of a namespace have, so that the application can tell `ban` of `/admin` from any other."""
    reader = Reader("/a/b", OneRule(), 100, calls=True)
    assert ask('2/a/b,1["ban",1]', reader=reader) == requests.Call("1", method="a.b.ban", payload=Raw(b"1"))


def test_buffers_of_a_call_are_base64() -> None:
    """The application gets JSON, so bytes are strings there, as for native clients."""
    one = ask('51-5["upload",{"name":"a","data":{"_placeholder":true,"num":0}}]', b"\xff", reader=CALLS)
    assert one == requests.Call("5", method="upload", payload=Raw(b'{"name":"a","data":"/w=="}'))
    two = ask('52-5["upload",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]', b"\xff", b"", reader=CALLS)
    assert two == requests.Call("5", method="upload", payload=Raw(b'["","/w=="]'))
    with pytest.raises(Unreadable) as refused:
        ask('51-5["upload",{"_placeholder":true,"num":3}]', b"\xff", reader=CALLS)
    assert (refused.value.id, refused.value.refusal.code) == ("5", ErrorCode.BAD_MESSAGE)
