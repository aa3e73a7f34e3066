"""Events and binary parts go from a publisher to members and into the history, and a bad one is refused."""

import asyncio

import pytest
from msgspec import Raw

from forestay.core.fanout.connection import Connection
from forestay.core.ports.bus import Query
from forestay.core.rules.policies import Policy, Retention
from forestay.core.sessions.backend import Publication
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.requests import Emitted
from tests.support.core import Core, passes

KEPT = Policy("log.**", history=Retention(10, 60.0))
RIGHTS = {"**": "rwh"}


def emit(core: Core, connection: Connection, room: str, payload: bytes, *, event: str | None, binary_at: str) -> None:
    """What the session of a Socket.IO client asks for."""
    request = Emitted(id="1", room=room, payload=Raw(payload), event=event, binary_at=binary_at)
    core.pod.dispatcher.dispatch(connection, request, len(payload))


async def kept(core: Core, room: str) -> list[Message]:
    page = await core.bus.history(RoomName(room), Query(10), Retention(10, 60.0))
    return list(page.messages)


@pytest.mark.parametrize("room", ["chat", "log.a"])
async def test_members_and_readers_of_the_history_get_the_name(room: str) -> None:
    """A `broadcast` with an `event` has it everywhere; the arguments stay as they were written."""
    core = Core(KEPT)
    sender, _ = core.connect(rooms=RIGHTS)
    _, member = core.join(room)
    await passes()
    core.say(sender, type="broadcast", room=room, event="chat message", payload=["hi", {"n": 1}])
    core.say(sender, type="broadcast", room=room, payload=["no event"])
    await passes()
    [heard, plain] = [one for one in member.heard() if one["type"] == "broadcast"]
    assert (heard["event"], heard["payload"]) == ("chat message", ["hi", {"n": 1}])
    assert "event" not in plain
    if room == "log.a":
        reader, transport = core.connect(rooms=RIGHTS)
        await core.ask(reader, type="history", room=room)
        await passes()
        events = [one.get("event") for one in transport.heard()[-1]["payload"]["messages"]]
        assert events == ["chat message", None]


@pytest.mark.parametrize(
    ("event", "payload"),
    [("disconnect", []), ("message", [{"from": "boss"}]), ("a", {"b": 1}), ("", []), ("a\0", []), (7, [])],
)
async def test_a_bad_event_is_refused_and_nothing_is_published(event: object, payload: object) -> None:
    """The sender learns what is wrong, with its `id`, and stays connected."""
    core = Core()
    sender, transport = core.join("a")
    core.say(sender, type="broadcast", room="a", event=event, payload=payload, id="7")
    await passes()
    last = transport.heard()[-1]
    assert (last["type"], last["id"], last["payload"]["code"]) == ("error", "7", "bad_message")
    assert "event" in last["payload"]["message"]
    assert not transport.closed()


async def test_binary_parts_are_base64_for_natives_and_keep_their_places() -> None:
    """A native member sees strings; the history still knows which of them are binary."""
    core = Core(KEPT)
    sender, _ = core.connect(rooms=RIGHTS)
    _, member = core.join("log.a")
    await passes()
    emit(core, sender, "log.a", b'["QUJD",{"x":""}]', event="picture", binary_at="1:6,13:2")
    await passes()
    heard = member.heard()[-1]
    assert (heard["event"], heard["payload"]) == ("picture", ["QUJD", {"x": ""}])
    assert "binary_at" not in heard
    [message] = await kept(core, "log.a")
    assert (message.event, message.binary_at) == ("picture", "1:6,13:2")


async def test_a_native_client_names_no_binary_parts() -> None:
    """Only the session of a Socket.IO client says where binary parts are, so nobody else can make up places."""
    core = Core(KEPT)
    sender, _ = core.connect(rooms=RIGHTS)
    core.say(sender, type="broadcast", room="log.a", payload=["QUJD"], event="picture", binary_at="0:1")
    [message] = await kept(core, "log.a")
    assert message.binary_at == ""


async def test_a_rule_may_name_what_a_client_may_not() -> None:
    """An operator can let Socket.IO clients have a `message` event of their own."""
    core = Core()
    sender, transport = core.join("a")
    emit(core, sender, "a", b'["hi"]', event="message", binary_at="")
    emit(core, sender, "a", b'["hi"]', event="disconnect", binary_at="")
    await passes()
    broadcast, ack, error = sorted(
        transport.heard()[-3:], key=lambda one: ("broadcast", "ack", "error").index(one["type"])
    )
    assert broadcast["event"] == "message"
    assert ack["id"] == error["id"] == "1"


async def test_what_a_socketio_client_would_get_counts() -> None:
    """Ten empty parts become ten placeholders, which do not fit into the largest message any more."""
    core = Core(max_message_bytes=600)
    sender, transport = core.join("a")
    text = b"x" * 300
    parts = b",".join([b'""'] * 10)
    places = ",".join(f"{len(text) + 4 + 3 * number}:2" for number in range(10))
    emit(core, sender, "a", b'["%b",%b]' % (text, parts), event="e", binary_at="")
    emit(core, sender, "a", b'["%b",%b]' % (text, parts), event="e", binary_at=places)
    await passes()
    assert [one["type"] for one in transport.heard()[-3:]].count("error") == 1
    [error] = [one for one in transport.heard() if one["type"] == "error"]
    assert error["payload"]["code"] == "too_large"


async def test_a_backend_is_held_to_the_same_checks() -> None:
    """A reserved name would make stock clients close, whoever sends it."""
    core = Core()
    backend = core.pod.backend
    await backend.publish(Publication(RoomName("a"), b"[]", event="message"))
    for event, payload in (("connect", b"[]"), ("a", b"1")):
        with pytest.raises(Refusal) as refused:
            await backend.publish(Publication(RoomName("a"), payload, event=event))
        assert refused.value.code is ErrorCode.BAD_MESSAGE
    await asyncio.sleep(0)
