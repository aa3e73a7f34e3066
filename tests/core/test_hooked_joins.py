"""The hooks `join`, `leave`, `disconnect` and `call`: who may enter a room, and what the application is told."""

import asyncio
import json
from typing import Any

import pytest

from forestay.core.ports.hook_events import CallEvent, DisconnectEvent, HookEvent, JoinEvent, LeaveEvent
from forestay.core.ports.hooks import Allow, Refuse, Result
from forestay.core.rules.hooks import Hook
from forestay.core.rules.policies import Policy, Retention
from forestay.edge.handshake.connect_hook import ConnectHook, Entry
from forestay.protocol.codes import ENDINGS, CloseCode, closed_by_client
from forestay.protocol.names import RoomName
from forestay.protocol.requests import Join
from tests.support.core import Core, passes
from tests.support.hook_form import AskedForm, Gate, application

ASKED = Policy(pattern="asked.*", hooks=frozenset({Hook.JOIN}))
TOLD = Policy(pattern="told.*", hooks=frozenset({Hook.LEAVE}))


async def only_a(event: HookEvent) -> object:
    """Everybody may enter the room `asked.a`, and nobody another one."""
    if isinstance(event, JoinEvent) and event.room != "asked.a":
        return Refuse("full", "this room is full")
    return Allow()


def kinds(heard: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    return [(each["type"], each.get("room")) for each in heard]


async def test_the_application_decides_who_enters() -> None:
    """A join is answered after the application was asked, with its code and its sentence where it refuses."""
    form = AskedForm(only_a)
    core = Core(ASKED, application=application(form))
    client, transport = core.connect("alice")
    await core.ask(client, type="join", room="asked.a", id="1")
    await core.ask(client, type="join", room="asked.b", id="2")
    await passes()
    joined, error = transport.heard()[1:]
    assert (joined["type"], joined["id"]) == ("joined", "1")
    assert error["payload"] == {
        "code": "refused_by_application",
        "message": "this room is full",
        "reason": "full",
    }
    assert (error["id"], error["room"], client.rooms) == ("2", "asked.b", {"asked.a"})


async def test_who_is_in_is_not_asked_about_again() -> None:
    """A repeated join is answered without the application."""
    form = AskedForm()
    core = Core(ASKED, application=application(form))
    client, _ = core.connect("alice")
    await core.ask(client, type="join", room="asked.a")
    await core.ask(client, type="join", room="asked.a")
    assert len(form.about(Hook.JOIN)) == 1


async def test_rights_come_first() -> None:
    """What the token does not allow is not asked about."""
    form = AskedForm()
    core = Core(ASKED, application=application(form))
    client, transport = core.connect("alice", {"other": "r"})
    await core.ask(client, type="join", room="asked.a")
    await passes()
    assert (transport.heard()[-1]["payload"]["code"], form.asked) == ("forbidden", [])


async def test_a_list_is_asked_about_room_by_room_and_answered_in_order() -> None:
    """One client takes one place of the application, however many rooms it names."""
    most = 0

    async def counting(event: HookEvent) -> object:
        nonlocal most
        most = max(most, form.running)
        await asyncio.sleep(0)
        return await only_a(event)

    form = AskedForm(counting)
    core = Core(ASKED, application=application(form))
    client, transport = core.connect("alice")
    await core.ask(client, type="join", rooms=[{"room": name} for name in ("free", "asked.b", "asked.a", "free2")])
    await passes()
    expected = [("joined", "free"), ("error", "asked.b"), ("joined", "asked.a"), ("joined", "free2")]
    assert (kinds(transport.heard()[1:]), most) == (expected, 1)


async def test_the_requests_of_a_client_keep_their_order() -> None:
    """What a join waits for is returned, so that the next request of the client is not taken before."""
    gate = Gate()
    core = Core(ASKED, application=application(AskedForm(gate.wait)))
    client, transport = core.connect("alice")
    text = json.dumps({"type": "join", "room": "asked.a"}).encode()
    work = core.pod.dispatcher.dispatch(client, core.pod.wires.plain.reader.read(text), 10)
    assert work is not None
    gate.open.set()
    await work
    await passes()
    assert kinds(transport.heard()[1:]) == [("joined", "asked.a")]


async def test_a_connection_that_ends_while_it_is_asked_about_enters_nothing() -> None:
    """It holds no subscription afterwards."""
    gate = Gate()
    core = Core(ASKED, application=application(AskedForm(gate.wait), Hook.CALL))
    client, _ = core.connect("alice")
    task = asyncio.create_task(core.ask(client, type="join", room="asked.a"))
    await passes()
    client.end(ENDINGS[CloseCode.GOING_AWAY])
    gate.open.set()
    await task
    await passes()
    assert (client.rooms, len(core.pod.rooms), core.pod.joins.pending(client)) == (set(), 0, ())


async def test_the_rooms_of_a_stream_are_asked_about() -> None:
    """A stream goes on meanwhile, and hears of each of its rooms in order."""
    gate = Gate()
    core = Core(ASKED, application=application(AskedForm(gate.wait)))
    client, transport = core.connect("alice")
    core.pod.first_rooms.join(client, [Join(room="asked.a"), Join(room="free")])
    await passes()
    assert kinds(transport.heard()[1:]) == []
    gate.open.set()
    await passes()
    await passes()
    assert kinds(transport.heard()[1:]) == [("joined", "asked.a"), ("joined", "free")]


async def test_rooms_that_a_client_is_put_into_by_the_gateway_are_asked_about() -> None:
    """Those of a namespace, and those in which a client of Socket.IO was."""
    core = Core(ASKED, application=application(AskedForm(only_a)))
    client, _ = core.connect("alice")
    refusals = await core.pod.rejoining.enter(client, [RoomName("asked.a"), RoomName("asked.b")])
    assert {room: refusal.reason for room, refusal in refusals.items()} == {"asked.b": "full"}
    assert client.rooms == {"asked.a"}


@pytest.mark.parametrize("ended", ["", "because its user has too many"])
async def test_a_connection_is_put_into_the_rooms_of_its_connect(ended: str) -> None:
    """Unless it has ended in its first moment: nothing of it stays in the rooms."""
    core = Core(application=application(AskedForm()))
    assert core.pod.hooks is not None
    hook = ConnectHook(core.pod.hooks, core.pod.placement, lambda: "c1")
    client, _ = core.connect("alice")
    if ended:
        client.end(ENDINGS[CloseCode.CONNECTION_LIMIT])
    hook.enter(client, Entry("c1", [RoomName("news")]))
    await passes()
    assert client.rooms == (set() if ended else {"news"})
    assert len(core.pod.rooms) == len(client.rooms)


async def test_a_client_that_is_not_recovered_leaves_and_is_not_disconnected() -> None:
    """It left its rooms because it starts again, and its connection is open."""
    form = AskedForm()
    policy = Policy(pattern="told.*", hooks=frozenset({Hook.LEAVE}), history=Retention(10, 60.0))
    core = Core(policy, application=application(form))
    client, _ = core.connect("alice")
    await core.ask(client, type="join", room="told.a")
    await passes()
    core.pod.joins.leave_all(client)
    await passes()
    [event] = form.asked
    assert isinstance(event, LeaveEvent)
    assert not event.disconnected


async def test_the_application_is_told_who_leaves() -> None:
    """A leave, and the end of a connection, after they have happened. Rooms without the hook are not told."""
    form = AskedForm()
    core = Core(TOLD, application=application(form, Hook.CALL))
    client, _ = core.connect("alice")
    for room in ("told.a", "told.b", "free"):
        core.say(client, type="join", room=room)
    await passes()
    core.say(client, type="leave", room="told.a")
    core.say(client, type="leave", room="free")
    await passes()
    client.end(ENDINGS[CloseCode.GOING_AWAY])
    await passes()
    told = [(event.user, event.room, event.disconnected) for event in form.asked if isinstance(event, LeaveEvent)]
    assert told == [("alice", "told.a", False), ("alice", "told.b", True)]
    assert len(form.asked) == 2


async def test_the_application_is_told_that_a_connection_ended() -> None:
    """With the close code, the reason, and whether the client closed it."""
    form = AskedForm()
    core = Core(application=application(form))
    first, _ = core.connect("alice")
    second, _ = core.connect("bob")
    first.end(ENDINGS[CloseCode.REVOKED])
    core.pod.sessions.lost(second, closed_by_client(1000))
    await passes()
    told = [event for event in form.asked if isinstance(event, DisconnectEvent)]
    assert [(event.user, event.code, event.by_client) for event in told] == [
        ("alice", 4403, False),
        ("bob", 1000, True),
    ]
    assert [event.connection for event in told] == [first.id, second.id]


async def test_what_is_told_waits_and_delays_nobody() -> None:
    """A hanging application is told by a part of the places; what is asked has the others."""
    gate = Gate()

    async def hanging(event: HookEvent) -> object:
        return await gate.wait(event) if event.hook is Hook.DISCONNECT else await only_a(event)

    form = AskedForm(hanging)
    core = Core(ASKED, application=application(form), hooks_concurrency=8)
    assert core.pod.hooks is not None
    for _ in range(20):
        connection, _ = core.connect()
        connection.end(ENDINGS[CloseCode.GOING_AWAY])
    await passes()
    assert (form.running, core.pod.hooks.waiting) == (2, 18)
    client, transport = core.connect("alice")
    await core.ask(client, type="join", room="asked.a")
    await passes()
    assert transport.heard()[-1]["type"] == "joined"
    gate.open.set()
    await core.pod.hooks.close(5)
    assert (len(form.about(Hook.DISCONNECT)), core.pod.hooks.waiting, form.closed) == (20, 0, True)


async def test_the_end_of_the_pod_waits_for_the_application_only_so_long() -> None:
    """What it does not take is given up."""
    gate = Gate()
    form = AskedForm(gate.wait)
    core = Core(application=application(form))
    assert core.pod.hooks is not None
    connection, _ = core.connect()
    connection.end(ENDINGS[CloseCode.GOING_AWAY])
    await passes()
    await core.pod.hooks.close(0.02)
    await passes()
    assert (form.running, form.closed) == (0, True)


async def test_a_call_is_answered_by_the_application() -> None:
    """The client gets what the hook returns, by the id of its call."""

    async def double(event: HookEvent) -> object:
        assert isinstance(event, CallEvent)
        if event.method != "double":
            return Refuse("no_method", "there is no such method")
        return Result({"value": event.payload["value"] * 2})

    core = Core(application=application(AskedForm(double)))
    client, transport = core.connect("alice")
    await core.ask(client, type="call", id="1", method="double", payload={"value": 21})
    await core.ask(client, type="call", id="2", method="half", payload={"value": 21})
    for _ in range(3):
        await passes()
    result, error = transport.heard()[1:]
    assert (result["type"], result["id"], result["payload"]) == ("result", "1", {"value": 42})
    assert (error["id"], error["payload"]["reason"]) == ("2", "no_method")


async def test_a_failed_call_is_never_answered_as_if_it_had_worked() -> None:
    """Also where failures allow: there is no answer."""

    async def fail(event: HookEvent) -> object:
        raise ValueError("boom")

    core = Core(application=application(AskedForm(fail)), hooks_on_failure="allow")
    client, transport = core.connect("alice")
    await core.ask(client, type="call", id="1", method="double")
    for _ in range(3):
        await passes()
    assert transport.heard()[-1]["payload"]["code"] == "unavailable"
