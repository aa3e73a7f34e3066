"""Hooks on a live gateway: while one is under way, clients close, tokens expire and pods stop."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import socketio

from tests.support.gateway import PATIENCE, Client, Gateway, frame, gateway, token
from tests.support.streams import Stream, ask

ROOMS = '[[rooms]]\npattern = "slow.*"\nhooks = ["join", "broadcast", "leave"]\n'
MODULE = """
import asyncio
from forestay.hooks import Allow, Refuse, Result

told, opened = [], asyncio.Event()

async def connect(event):
    if event.user == "mallory":
        return Refuse("banned", "this account is banned")
    if event.user == "heidi":
        return Allow(rooms=[{"name": "news"}])
    told.append(("connect", event.user, event.caller.wire, event.connection, event.claims.get("plan")))
    return Allow()

async def join(event):
    return Refuse("closed", "closed") if event.room == "slow.closed" else Allow()

async def broadcast(event):
    told.append(("broadcast", event.user))
    await opened.wait()
    return Allow()

async def leave(event):
    told.append(("leave", event.user, event.room))

async def disconnect(event):
    told.append(("disconnect", event.user, event.connection, event.code))
"""


class Application:
    """The module of hooks as the test sees it."""

    def __init__(self, running: Gateway) -> None:
        application = running.running._pod.hooks
        assert application is not None
        form: Any = application._form
        self._globals = next(iter(form._functions.values())).__globals__

    @property
    def told(self) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self._globals["told"]
        return found

    def open(self) -> None:
        """Let the hooks that wait go on."""
        self._globals["opened"].set()

    async def until(self, what: str, number: int = 1) -> list[tuple[Any, ...]]:
        """What it was told of `what`, once there is so much."""
        async with asyncio.timeout(PATIENCE):
            while len(found := [one for one in self.told if one[0] == what]) < number:
                await asyncio.sleep(0.005)
        return found


@asynccontextmanager
async def asking(tmp_path: Path, **given: object) -> AsyncIterator[tuple[Gateway, Application]]:
    (tmp_path / "live.py").write_text(MODULE)
    (tmp_path / "rooms.toml").write_text(ROOMS)
    named = {"hooks_module": str(tmp_path / "live.py"), "rooms_file": str(tmp_path / "rooms.toml")}
    async with gateway(**named, **given) as running:
        yield running, Application(running)


async def test_other_clients_go_on_while_a_hook_hangs(tmp_path: Path) -> None:
    """The slow one is refused when its time is over, and then goes on."""
    async with asking(tmp_path, hooks_timeout=0.3) as (running, application):
        slow, other = await running.connect("alice"), await running.join("bob", "free")
        await slow.say({"type": "broadcast", "id": "1", "room": "slow.a", "payload": 1})
        await slow.say({"type": "ping", "id": "2"})
        await application.until("broadcast")
        await other.say({"type": "broadcast", "id": "3", "room": "free", "payload": 1})
        assert (await other.hear("ack"))["id"] == "3"
        error = await slow.hear("error")
        assert (error["id"], error["payload"]["code"]) == ("1", "unavailable")
        assert (await slow.hear("pong"))["id"] == "2"


async def test_rooms_of_a_wrong_form_refuse_a_connect(tmp_path: Path) -> None:
    """Names that are no texts are no answer: the client hears 503 at once."""
    async with asking(tmp_path) as (running, _):
        refused = await Client.open_or_refused(running.port, token("heidi"))
        assert (refused.status, b"unavailable" in refused.body) == (503, True)


async def test_a_client_that_closes_gets_its_answer_first(tmp_path: Path) -> None:
    """Its close is taken after its hook."""
    async with asking(tmp_path) as (running, application):
        client = await running.connect("alice")
        await client.say({"type": "broadcast", "id": "1", "room": "slow.a", "payload": 1})
        client.writer.write(frame(8, b"\x03\xe8"))
        await application.until("broadcast")
        application.open()
        assert (await client.hear("ack"))["id"] == "1"
        assert (await client.ended()).code == 1000


async def test_a_client_that_is_lost_is_forgotten(tmp_path: Path) -> None:
    """Also while its hook is under way. The application is told that it has gone."""
    async with asking(tmp_path, hooks_timeout=0.3) as (running, application):
        client = await running.connect("alice")
        await client.say({"type": "broadcast", "id": "1", "room": "slow.a", "payload": 1})
        await application.until("broadcast")
        client.writer.transport.abort()
        [(_, user, connection, _)] = await application.until("disconnect")
        [(_, _, _, connected, _)] = await application.until("connect")
        assert (user, connection) == ("alice", connected)


async def test_a_token_that_expires_ends_a_connection_while_it_is_asked_about(tmp_path: Path) -> None:
    """The message is not published, and nothing hangs on."""
    async with asking(tmp_path) as (running, application):
        member = await running.join("bob", "slow.a")
        client = await running.connect("alice", exp=time.time() + 2.5)
        await client.say({"type": "broadcast", "id": "1", "room": "slow.a", "payload": 1})
        assert (await client.ended()).code == 4401
        application.open()
        await application.until("disconnect")
        await member.say({"type": "ping", "id": "2"})
        assert (await member.hear("pong"))["id"] == "2"


async def test_a_pod_stops_while_a_hook_is_under_way(tmp_path: Path) -> None:
    """It tells the application what is left, and does not wait for the hook that hangs."""
    async with asking(tmp_path, close_timeout=0.2, flush_timeout=1) as (running, application):
        client = await running.join("alice", "slow.a")
        await client.say({"type": "broadcast", "id": "1", "room": "slow.a", "payload": 1})
        await application.until("broadcast")
        started = time.monotonic()
        await running.running.stop(asyncio.Event())
        assert time.monotonic() - started < 10
        assert [one[0] for one in application.told if one[0] in ("leave", "disconnect")] == ["leave", "disconnect"]


async def test_the_application_gets_the_claims_of_a_ticket_too(tmp_path: Path) -> None:
    """A ticket stands for the token with all that it says."""
    async with asking(tmp_path) as (running, application):
        _, answer = await ask(running, "POST", "/tickets", token("alice", plan="pro"))
        stream = await Stream.open(running, None, "free", query=f"ticket={answer['ticket']}")
        await stream.hear("welcome")
        [(_, user, wire, _, plan)] = await application.until("connect")
        assert (user, wire, plan) == ("alice", "sse", "pro")


@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_socketio_clients_are_asked_about(tmp_path: Path, transport: str) -> None:
    """A refused one gets `connect_error` with the application's sentence and code, one that is let in its rooms."""
    async with asking(tmp_path, socketio=True) as (running, application):
        refused, errors = socketio.AsyncClient(reconnection=False), asyncio.Queue[Any]()
        refused.on("connect_error", errors.put)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await refused.connect(
                f"http://127.0.0.1:{running.port}", auth={"token": token("mallory")}, transports=[transport]
            )
        error = await asyncio.wait_for(errors.get(), 10)
        assert error["message"] == "this account is banned"
        assert error["data"] == {"code": "refused_by_application", "reason": "banned"}
        client = socketio.AsyncClient(reconnection=False)
        await client.connect(f"http://127.0.0.1:{running.port}", auth={"token": token("alice")}, transports=[transport])
        answer = await client.call("join-room", {"room": "slow.closed"})
        assert (answer["ok"], answer["code"], answer["reason"]) == (False, "refused_by_application", "closed")
        application.open()
        answer = await client.call("message", {"room": "slow.a", "payload": 1})
        assert answer["ok"]
        await client.disconnect()
        assert [one[1] for one in await application.until("disconnect")] == ["alice"]
