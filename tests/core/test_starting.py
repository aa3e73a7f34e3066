"""A connection may be started and greeted later: meanwhile it counts, and can be ended like each other one."""

import asyncio
import random
import time
from typing import Any

from forestay.core.fanout.connection import Connection
from forestay.core.ports.observer import Client, Observer
from forestay.core.rules.access import Identity, Rights
from forestay.core.rules.lifecycle import State
from forestay.core.rules.policies import Policy, Retention
from forestay.ops.moves.drain import Drain, DrainTimes
from forestay.protocol.codes import ABNORMAL_CLOSURE, ENDINGS, CloseCode, Ending
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from tests.support.core import Core, RecordingTransport, at_once, passes
from tests.support.line_wire import LineWire, lines
from tests.support.virtual_time import virtual

KEPT = RoomName("kept.a")
GONE = Ending(ABNORMAL_CLOSURE, "gone")


class Lives(Observer):
    """Keeps who was welcomed, and with which codes connections ended."""

    def __init__(self) -> None:
        self.welcomed: list[str] = []
        self.codes: list[int] = []

    def connected(self, user: str) -> None:
        self.welcomed.append(user)

    def ended(self, client: Client, ending: Ending, seconds: float) -> None:
        self.codes.append(ending.code)


class Starting:
    """A pod, and a connection of `ada` that is not greeted."""

    def __init__(self, life: float = 3600.0, **given: Any) -> None:
        self.lives = Lives()
        kept = Policy("kept.*", history=Retention(10, 60.0))
        self.core = Core(kept, observer=self.lives, ping_interval=1000, **given)
        self.sessions = self.core.pod.sessions
        self.connection, self.transport = self.start(life)

    def start(self, life: float = 3600.0) -> tuple[Connection, RecordingTransport]:
        transport = RecordingTransport(LineWire(tailed=True, relocates=False))
        identity = Identity("ada", Rights({"**": "rw"}), time.time() + life, token_id="t1", issued_at=time.time())
        return at_once(self.sessions.start(identity, transport)), transport

    def ended_with(self, code: int) -> None:
        """It ended with `code`, once, in no room, and was never greeted."""
        self.sessions.greet(self.connection)
        assert self.transport.ending is not None
        assert self.transport.ending.code == code
        assert not any(name == "welcome" for name, *_ in lines(b"".join(self.transport.writes)))
        assert (self.lives.welcomed, self.lives.codes) == ([], [code])
        assert (len(self.core.pod.hub), len(self.core.pod.rooms)) == (0, 0)


@virtual
async def test_a_connection_is_greeted_when_the_door_is_ready() -> None:
    """It counts from its start, gets nothing until then, and two connections of a client share one rate."""
    starting = Starting(message_rate=1, message_burst=2)
    assert len(starting.core.pod.hub) == 1
    await passes()
    assert not starting.transport.writes
    assert not starting.lives.welcomed
    starting.sessions.greet(starting.connection)
    assert [name for name, *_ in lines(starting.sessions.first_words(starting.connection))] == ["welcome"]
    assert starting.lives.welcomed == ["ada"]
    second, transport = starting.core.connect_again(starting.connection, LineWire())
    for connection in (starting.connection, second, second):
        starting.core.say(connection, type="ping", id="p")
    await passes()
    assert [name for name, *_ in lines(b"".join(transport.writes))] == ["welcome", "pong", "error"]


@virtual
async def test_a_newer_connection_replaces_one_that_is_not_greeted() -> None:
    """It ends with 4409 where a user may have one connection and the oldest ends; the newer one stays."""
    starting = Starting(max_connections_per_user=1, user_limit_policy="replace")
    newer, _ = starting.core.connect("ada")
    starting.sessions.greet(starting.connection)
    assert newer.ended is None
    assert starting.transport.ending == ENDINGS[CloseCode.CONNECTION_LIMIT]
    assert starting.lives.welcomed == ["ada"]
    assert len(starting.core.pod.hub) == 1


@virtual
async def test_a_revoked_token_ends_a_connection_that_is_not_greeted() -> None:
    """It ends while its rooms are read, and comes back to none of them."""
    starting = Starting()
    pod = starting.core.pod
    pod.control.start()
    rejoining = asyncio.create_task(pod.rejoining.rejoin(starting.connection, {KEPT: Position("e", 1)}))
    await asyncio.sleep(0)
    await pod.backend.revoke("t1", None, None, time.time() + 60)
    assert await rejoining is False
    starting.ended_with(CloseCode.REVOKED)


@virtual
async def test_a_token_that_expires_ends_a_connection_that_is_not_greeted() -> None:
    """A handler that never greets a connection does not keep it beyond its token."""
    starting = Starting(life=0.0)
    await asyncio.sleep(1)
    starting.ended_with(CloseCode.TOKEN_EXPIRED)


@virtual
async def test_a_drain_ends_a_connection_that_is_not_greeted() -> None:
    """A drain ends it in its slot, as the others."""
    starting = Starting()
    starting.core.pod.lifecycle.move(State.READY)
    pod = starting.core.pod

    async def closed(seconds: float) -> None:
        """No socket waits for the answer to a close."""

    drain = Drain(pod.lifecycle, pod.hub, pod.relocation, closed, random.Random(1))
    await drain.run(DrainTimes(window=2, lead=1, close=1, deadline=5), asyncio.Event())
    starting.ended_with(CloseCode.GOING_AWAY)


@virtual
async def test_a_client_that_is_gone_before_it_is_greeted_leaves_nothing() -> None:
    """Its place is free again, and nothing is written to it."""
    starting = Starting(max_connections_per_user=1)
    starting.sessions.lost(starting.connection, GONE)
    starting.sessions.greet(starting.connection)
    assert not starting.transport.writes
    assert (len(starting.core.pod.hub), starting.lives.welcomed) == (0, [])
    assert starting.start()[0].ended is None
