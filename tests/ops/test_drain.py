"""The drain on a clock of its own, with clients that do as they are told, or do not."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from forestay.core.rules.lifecycle import State
from forestay.core.sessions.relocation import Reason
from forestay.ops.moves.drain import Drain, Pace
from forestay.protocol.codes import Ending
from tests.support.core import Core, RecordingTransport
from tests.support.virtual_time import virtual

PACE = Pace(window=10, lead=2, close=5, deadline=15)


class Fleet:
    """A pod, its clients, and what became of each."""

    def __init__(self, clients: int, **settings: Any) -> None:
        self.core = Core(ping_interval=1000, **settings)
        self.pod = self.core.pod
        self.pod.lifecycle.move(State.READY)
        self.loop = asyncio.get_running_loop()
        self.clients = [self.core.connect(f"user-{number}") for number in range(clients)]
        self.closed: list[float] = []
        self.hurry = asyncio.Event()
        self.answers = True
        self._talking = clients
        self.quiet = asyncio.Event()
        if not clients:
            self.quiet.set()
        for connection, socket in self.clients:
            socket.close = self._closes(connection, socket)  # type: ignore[assignment, method-assign]

    def _closes(self, connection: object, socket: RecordingTransport) -> Callable[[Ending], None]:
        def close(ending: Ending) -> None:
            socket.ending = ending
            self.closed.append(self.loop.time())
            if self.answers:
                self.gone()

        return close

    def gone(self) -> None:
        self._talking -= 1
        if not self._talking:
            self.quiet.set()

    async def over(self, patience: float) -> None:
        try:
            async with asyncio.timeout(patience):
                await self.quiet.wait()
        except TimeoutError:
            pass

    async def drain(self, pace: Pace = PACE) -> float:
        """Drain; the seconds that it took."""
        self.drained = Drain(self.pod.lifecycle, self.pod.hub, self.pod.relocation, self.over, random.Random(1))
        start = self.loop.time()
        await self.drained.run(pace, self.hurry)
        return self.loop.time() - start


@virtual
async def test_closes_are_spread_evenly_over_the_window() -> None:
    """No half second has more than one and a half times its share, and none is closed before its slot and lead."""
    fleet = Fleet(3000)
    took = await fleet.drain()
    assert 9.9 < took < 10.2
    buckets = [sum(1 for at in fleet.closed if bucket <= at * 2 < bucket + 1) for bucket in range(21)]
    assert sum(buckets) == 3000
    assert buckets[:4] == [0, 0, 0, 0]
    assert max(buckets) < 1.5 * 3000 / 20
    assert min(buckets[4:20]) > 0.5 * 3000 / 20


@virtual
async def test_each_client_is_told_a_slot_of_its_own_and_closed_when_it_was_told() -> None:
    """`after_ms` is the slot, `within_ms` the close; the code is 1001 and the reason says what to do."""
    fleet = Fleet(100)
    await fleet.drain()
    slots = []
    for _, socket in fleet.clients:
        [told] = [said["payload"] for said in socket.heard() if said["type"] == "reconnect"]
        assert told["reason"] == "draining"
        assert told["within_ms"] - told["after_ms"] == 2000
        slots.append(told["after_ms"])
        assert socket.ending == Ending(1001, "draining: connect again")
    # Client i of N has the i-th part of the span, each once.
    assert sorted(int(slot / 80) for slot in slots) == list(range(100))
    assert slots != sorted(slots), "who came first does not go first"


@virtual
async def test_the_last_connection_ends_the_drain() -> None:
    """However early: nobody waits for a window in which nobody is left."""
    fleet = Fleet(10)

    def leave() -> None:
        for connection, _ in fleet.clients:
            fleet.pod.sessions.lost(connection, Ending(1000, "moved"))
            fleet.gone()

    fleet.loop.call_later(1, leave)
    assert 1 <= await fleet.drain() < 1.1
    assert await Fleet(0).drain(PACE) < 0.1


@virtual
async def test_the_deadline_beats_the_pace() -> None:
    """A window that does not fit is shortened, and everybody still hears 1001."""
    fleet = Fleet(200)
    assert await fleet.drain(Pace(window=600, lead=2, close=5, deadline=20)) < 20
    assert {socket.ending and socket.ending.code for _, socket in fleet.clients} == {1001}
    assert max(fleet.closed) > 14


@virtual
async def test_a_window_of_nothing_tells_everybody_at_once() -> None:
    """With both times 0, so that a client knows that there is nothing to prepare."""
    fleet = Fleet(300)
    assert await fleet.drain(Pace(window=0, lead=2, close=5, deadline=5)) < 0.1
    for _, socket in fleet.clients:
        [told] = [said["payload"] for said in socket.heard() if said["type"] == "reconnect"]
        assert told == {"reason": "draining", "after_ms": 0, "within_ms": 0}


@virtual
async def test_who_never_answers_the_close_delays_by_the_close_timeout_at_most() -> None:
    """And the deadline is kept all the same."""
    fleet = Fleet(10)
    fleet.answers = False
    assert 14 < await fleet.drain() < 15.2


@virtual
async def test_a_second_signal_ends_everybody_at_once() -> None:
    """With 1001, whatever slot they had."""
    fleet = Fleet(100)
    fleet.loop.call_later(1, fleet.hurry.set)
    assert await fleet.drain() < 1.3
    assert len(fleet.closed) == 100
    assert max(fleet.closed) < 1.1


@virtual
async def test_who_came_through_the_door_as_it_closed_is_told_too() -> None:
    """It gets a slot in what is left of the window."""
    fleet = Fleet(10)
    late: list[RecordingTransport] = []
    fleet.loop.call_later(5, lambda: late.append(fleet.core.connect("late")[1]))
    await fleet.drain()
    [told] = [said["payload"] for said in late[0].heard() if said["type"] == "reconnect"]
    assert told["after_ms"] <= 3100
    assert late[0].ending is not None
    assert late[0].ending.code == 1001


@virtual
async def test_who_was_told_to_go_no_longer_counts_for_its_user() -> None:
    """Otherwise the connection that is made before this one breaks would be one too many."""
    fleet = Fleet(0, max_connections_per_user=1)
    first, _ = fleet.core.connect("ada")
    [refused, _] = fleet.core.connect("ada")
    assert refused.ended is not None
    fleet.pod.relocation.ask(first, reason=Reason.REBALANCING)
    second, _ = fleet.core.connect("ada")
    assert second.ended is None
    assert first.ended is None


@virtual
async def test_a_connection_that_is_old_is_asked_to_connect_anew() -> None:
    """It is closed at 0.9 to 1.1 times the age, never before, and told a lead earlier."""
    fleet = Fleet(2000, rebalance_max_age=10, drain_lead=1)
    await asyncio.sleep(7.99)
    assert not [1 for _, socket in fleet.clients[:50] for said in socket.heard() if said["type"] == "reconnect"]
    await asyncio.sleep(20)
    assert len(fleet.closed) == 2000
    assert 9 <= min(fleet.closed) < 9.1
    assert 10.9 < max(fleet.closed) <= 11.001
    assert {socket.ending and socket.ending.reason for _, socket in fleet.clients} == {"age: connect again"}
