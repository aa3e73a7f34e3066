"""A list of rooms is joined as a whole, and answered in its order."""

import asyncio

import pytest

from forestay.bus.memory.bus import MemoryBus
from forestay.core.fanout.connection import Connection
from forestay.core.rules.policies import Policy
from tests.support.core import Core, RecordingTransport, passes
from tests.support.gateway import PATIENCE
from tests.support.registry import ReluctantRegistry
from tests.support.virtual_time import virtual

SEEN = Policy("seen.*", presence=True)
TIMEOUT = 5.0


class Lists:
    """One client that joins lists of rooms, at a registry that can hold its answers."""

    def __init__(self, rooms: int = 100, rate: float = 0, burst: float = 1, timeout: float = TIMEOUT) -> None:
        """The limits of the client: rooms, messages per second, and messages at once. `timeout`: of the bus."""
        bus = MemoryBus()
        self.registry = ReluctantRegistry("p1", bus)
        self.core = Core(
            SEEN,
            bus=bus,
            registry=self.registry,
            bus_timeout=timeout,
            rooms_per_connection=rooms,
            message_rate=rate,
            message_burst=burst,
        )
        self.connection: Connection
        self.transport: RecordingTransport
        self.connection, self.transport = self.core.connect("alice", {"**": "rp", "secret": ""})

    def join(self, *rooms: str) -> None:
        self.core.say(self.connection, type="join", rooms=[{"room": room} for room in rooms], id="list")

    def answers(self) -> list[tuple[str, str]]:
        """Room and code of each answer with the `id` of the list; `joined` stands for success."""
        return [
            (one["room"], one["payload"].get("code", "joined"))
            for one in self.transport.heard()
            if one.get("id") == "list"
        ]


@virtual
async def test_answers_come_in_the_order_of_the_list() -> None:
    """A refusal that is known at once, and a room that needs nothing, wait for those before them."""
    lists = Lists()
    lists.registry.holding = True
    lists.join("seen.a", "secret", "plain", "no room", "seen.b", "plain", "@me")
    lists.core.say(lists.connection, type="leave", room="plain", id="leave")
    await passes()
    assert lists.answers() == []
    lists.registry.holding = False
    lists.registry.answer()
    await passes()
    await passes()
    assert lists.answers() == [
        ("seen.a", "joined"),
        ("secret", "forbidden"),
        ("plain", "joined"),
        ("no room", "invalid_room"),
        ("seen.b", "joined"),
        ("plain", "joined"),
        ("@me", "joined"),
    ]
    assert [one["type"] for one in lists.transport.heard() if one.get("id") == "leave"] == ["left"]


@pytest.mark.parametrize("room", ["seen.{}", "plain.{}", "no room {}"])
async def test_a_long_list_is_answered_whole(room: str) -> None:
    """The length of a list does not matter: many answers that waited for the first one come after it."""
    lists = Lists(rooms=5000, timeout=PATIENCE)
    lists.registry.holding = True
    rooms = ["seen.first", *(room.format(number) for number in range(1500))]
    lists.join(*rooms)
    await passes()
    lists.registry.holding = False
    lists.registry.answer()
    while lists.core.pod.joins.pending(lists.connection):
        await passes()
    await passes()
    assert [name for name, _ in lists.answers()] == rooms


async def test_each_room_counts_for_the_limit_of_rooms_and_of_messages() -> None:
    """What is above a limit is refused on its own, and the times to wait add up."""
    lists = Lists(rooms=3, rate=1, burst=4)
    lists.join("a", "b", "c")
    lists.join("d", "e", "f")
    await passes()
    assert [code for _, code in lists.answers()] == ["joined"] * 3 + ["too_many_rooms"] + ["rate_limited"] * 2
    waits = [one["payload"].get("retry_after_ms") for one in lists.transport.heard()][-2:]
    assert waits == pytest.approx([1000, 2000], abs=50)


async def test_a_connection_that_ends_leaves_no_list_behind() -> None:
    """The joins that wait for their turn are given up, with all others."""
    lists = Lists()
    lists.registry.holding = True
    lists.join("seen.a", "plain", "seen.b")
    await passes()
    lists.core.pod.joins.leave_all(lists.connection)
    assert not lists.core.pod.joins.pending(lists.connection)
    lists.registry.holding = False
    lists.registry.answer()
    await passes()
    assert not lists.connection.rooms


@virtual
async def test_a_list_whose_registry_is_silent_is_refused_in_time() -> None:
    """The room that waits for the registry is refused after the timeout, and those behind it are not forgotten."""
    lists = Lists()
    lists.registry.holding = True
    lists.join("seen.a", "plain", "seen.b")
    await passes()
    await asyncio.sleep(2 * TIMEOUT + 1)
    assert [name for name, _ in lists.answers()] == ["seen.a", "plain", "seen.b"]
    assert lists.answers()[0][1] == "unavailable"
