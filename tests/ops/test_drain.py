"""The drain on a virtual clock, with clients that follow a reconnect and clients that do not."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from forestay.core.fanout.connection import Connection
from forestay.core.rules.lifecycle import State
from forestay.core.sessions.relocation import Reason
from forestay.ops.moves.drain import Drain, DrainTimes
from forestay.protocol.codes import Ending
from tests.support.core import Core, RecordingTransport
from tests.support.line_wire import LineWire, lines
from tests.support.virtual_time import virtual

TIMES = DrainTimes(window=10, lead=2, close=5, deadline=15)


class Draining:
    """A pod, its clients, and when each was closed."""

    def __init__(self, clients: int, **settings: Any) -> None:
        self.core = Core(ping_interval=1000, **settings)
        self.pod = self.core.pod
        self.pod.lifecycle.move(State.READY)
        self.loop = asyncio.get_running_loop()
        self.clients = [self.core.connect(f"user-{number}") for number in range(clients)]
        self.closed: list[float] = []
        self.hurry = asyncio.Event()
        self.answers = True
        self._open = clients
        self.quiet = asyncio.Event()
        if not clients:
            self.quiet.set()
        for connection, socket in self.clients:
            self.watch(connection, socket)

    def watch(self, connection: Connection, socket: RecordingTransport) -> None:
        """Note when `connection` is closed."""
        socket.close = self._closes(connection, socket)  # type: ignore[assignment, method-assign]

    def _closes(self, connection: Connection, socket: RecordingTransport) -> Callable[[Ending], None]:
        def close(ending: Ending) -> None:
            socket.ending = ending
            self.closed.append(self.loop.time())
            if self.answers:
                self.gone()

        return close

    def gone(self) -> None:
        self._open -= 1
        if not self._open:
            self.quiet.set()

    async def wait_closed(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.quiet.wait()
        except TimeoutError:
            pass

    async def drain(self, times: DrainTimes = TIMES) -> float:
        """Drain, and return the seconds that it took."""
        drain = Drain(self.pod.lifecycle, self.pod.hub, self.pod.relocation, self.wait_closed, random.Random(1))
        start = self.loop.time()
        await drain.run(times, self.hurry)
        return self.loop.time() - start


@virtual
async def test_closes_are_spread_evenly_over_the_window() -> None:
    """No half second has more than 1.5 times its share, and no client is closed before its slot and lead."""
    draining = Draining(3000)
    took = await draining.drain()
    assert 9.9 < took < 10.2
    buckets = [sum(1 for at in draining.closed if bucket <= at * 2 < bucket + 1) for bucket in range(21)]
    assert sum(buckets) == 3000
    assert buckets[:4] == [0, 0, 0, 0]
    assert max(buckets) < 1.5 * 3000 / 20
    assert min(buckets[4:20]) > 0.5 * 3000 / 20


@virtual
async def test_clients_that_cannot_move_by_themselves_are_closed_in_their_slot() -> None:
    """They hear no `reconnect`, only a close with 1001; no two seconds have more than 1.5 times their share.

    A client with two connections has one slot for both, so that the closes do not come early.
    """
    draining = Draining(0)
    wire = LineWire(relocates=False)
    for number in range(500):
        first, socket = draining.core.connect(f"line-{number}", wire=wire)
        second, beside = draining.core.connect_again(first, wire)
        for connection, transport in ((first, socket), (second, beside)):
            draining.watch(connection, transport)
            draining.clients.append((connection, transport))
    draining.quiet.clear()
    draining._open = 1000
    assert 7.9 < await draining.drain() < 8.2
    closed = sorted(draining.closed)
    assert closed[::2] == closed[1::2]
    for start in range(80):
        assert sum(1 for at in closed if start <= 10 * at < start + 20) <= 1.5 * 1000 * 2 / 8
    for _, socket in draining.clients:
        assert socket.ending == Ending(1001, "draining: connect again")
        assert {name for name, *_ in lines(b"".join(socket.writes))} == {"welcome"}


@virtual
async def test_each_client_gets_its_own_slot_and_is_closed_a_lead_after_it() -> None:
    """`after_ms` is the slot and `within_ms` the close. The code is 1001, and the reason says what to do."""
    draining = Draining(100)
    await draining.drain()
    slots = []
    for _, socket in draining.clients:
        [asked] = [reply["payload"] for reply in socket.heard() if reply["type"] == "reconnect"]
        assert asked["reason"] == "draining"
        assert asked["within_ms"] - asked["after_ms"] == 2000
        slots.append(asked["after_ms"])
        assert socket.ending == Ending(1001, "draining: connect again")
    # The span has one part for each client, and each part has one slot.
    assert sorted(int(slot / 80) for slot in slots) == list(range(100))
    assert slots != sorted(slots), "the order of the slots is not the order of the connections"


@virtual
async def test_the_last_connection_ends_the_drain() -> None:
    """It ends early when no connection is left in the window."""
    draining = Draining(10)

    def leave() -> None:
        for connection, _ in draining.clients:
            draining.pod.sessions.lost(connection, Ending(1000, "moved"))
            draining.gone()

    draining.loop.call_later(1, leave)
    assert 1 <= await draining.drain() < 1.1
    assert await Draining(0).drain(TIMES) < 0.1


@virtual
async def test_the_deadline_beats_the_pace() -> None:
    """A window that does not fit is shortened, and every client still gets 1001."""
    draining = Draining(200)
    assert await draining.drain(DrainTimes(window=600, lead=2, close=5, deadline=20)) < 20
    assert {socket.ending and socket.ending.code for _, socket in draining.clients} == {1001}
    assert max(draining.closed) > 14


@virtual
async def test_without_a_window_all_clients_are_asked_and_closed_at_once() -> None:
    """Both times are 0, so that a client knows that it has no time to prepare."""
    draining = Draining(300)
    assert await draining.drain(DrainTimes(window=0, lead=2, close=5, deadline=5)) < 0.1
    for _, socket in draining.clients:
        [asked] = [reply["payload"] for reply in socket.heard() if reply["type"] == "reconnect"]
        assert asked == {"reason": "draining", "after_ms": 0, "within_ms": 0}


@virtual
async def test_a_client_that_never_answers_the_close_costs_the_close_timeout_at_most() -> None:
    """The deadline is kept all the same."""
    draining = Draining(10)
    draining.answers = False
    assert 14 < await draining.drain() < 15.2


@virtual
async def test_a_second_signal_ends_all_connections_at_once() -> None:
    """Their slots do not matter any more."""
    draining = Draining(100)
    draining.loop.call_later(1, draining.hurry.set)
    assert await draining.drain() < 1.3
    assert len(draining.closed) == 100
    assert max(draining.closed) < 1.1


@virtual
async def test_a_connection_that_came_during_the_drain_is_asked_too() -> None:
    """It gets a slot in the rest of the window."""
    draining = Draining(10)
    late: list[RecordingTransport] = []
    draining.loop.call_later(5, lambda: late.append(draining.core.connect("late")[1]))
    await draining.drain()
    [asked] = [reply["payload"] for reply in late[0].heard() if reply["type"] == "reconnect"]
    assert asked["after_ms"] <= 3100
    assert late[0].ending is not None
    assert late[0].ending.code == 1001


@virtual
async def test_a_connection_that_was_asked_to_move_no_longer_counts_for_its_user() -> None:
    """Otherwise the client's next connection, which it opens first, would be one too many."""
    draining = Draining(0, max_connections_per_user=1)
    first, _ = draining.core.connect("ada")
    [refused, _] = draining.core.connect("ada")
    assert refused.ended is not None
    draining.pod.relocation.ask(first, reason=Reason.REBALANCING)
    second, _ = draining.core.connect("ada")
    assert second.ended is None
    assert first.ended is None


@virtual
async def test_an_old_connection_is_asked_to_connect_again() -> None:
    """It is asked a lead before its close, and closed at 0.9 to 1.1 times the age, never before."""
    draining = Draining(2000, rebalance_max_age=10, drain_lead=1)
    await asyncio.sleep(7.99)
    assert not [1 for _, socket in draining.clients[:50] for reply in socket.heard() if reply["type"] == "reconnect"]
    await asyncio.sleep(20)
    assert len(draining.closed) == 2000
    assert 9 <= min(draining.closed) < 9.1
    assert 10.9 < max(draining.closed) <= 11.001
    assert {socket.ending and socket.ending.reason for _, socket in draining.clients} == {"age: connect again"}
