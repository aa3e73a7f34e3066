"""Joins and leaves take effect in the order of the requests while the bus has not confirmed yet."""

import asyncio
from collections.abc import Callable

import pytest

from forestay.bus.memory.bus import MemoryBus
from forestay.core.fanout.connection import Connection
from forestay.core.ports.bus import Subscriber
from forestay.core.rooms.joins import MAX_WAITING
from forestay.core.rules.access import Identity, Rights
from forestay.protocol.codes import ENDINGS, CloseCode
from forestay.protocol.names import RoomName
from tests.support.core import Core, RecordingTransport, passes
from tests.support.subscriber import FunctionSubscriber


class ReluctantBus(MemoryBus):
    """Confirms subscriptions when the test calls `confirm`."""

    def __init__(self) -> None:
        super().__init__()
        self.unconfirmed: list[Callable[[], None]] = []

    def subscribe(self, room: RoomName, subscriber: Subscriber) -> None:
        later = FunctionSubscriber(
            lambda: self.unconfirmed.append(subscriber.confirmed), subscriber.received, subscriber.doubted
        )
        super().subscribe(room, later)

    def confirm(self) -> None:
        unconfirmed, self.unconfirmed = self.unconfirmed, []
        for confirmed in unconfirmed:
            confirmed()

    @property
    def heard(self) -> set[str]:
        return set(self._exchange.subscribers)


def waiting(rooms: int = 100, timeout: float = 5) -> tuple[Core, ReluctantBus, Connection, RecordingTransport]:
    bus = ReluctantBus()
    core = Core(bus=bus, rooms_per_connection=rooms, bus_timeout=timeout)
    return core, bus, *core.connect("alice")


def answers(socket: RecordingTransport) -> list[tuple[str, str | None]]:
    return [(said["type"], said.get("id")) for said in socket.heard() if said["type"] != "welcome"]


@pytest.mark.parametrize(
    ("plan", "expected", "inside"),
    [
        (["join"], ["joined"], True),
        (["join", "leave"], ["joined", "left"], False),
        (["join", "leave", "join"], ["joined", "left", "joined"], True),
        (["join", "join"], ["joined", "joined"], True),
        (["join", "leave", "leave"], ["joined", "left", "error"], False),
        (["join", "join", "leave", "join", "leave"], ["joined", "joined", "left", "joined", "left"], False),
    ],
)
async def test_requests_before_the_bus_answers_take_effect_in_their_order(
    plan: list[str],
    expected: list[str],
    inside: bool,  # noqa: FBT001  # a table's column
) -> None:
    """Each request gets its reply, by its id. The last request decides whether the client is in the room."""
    core, bus, alice, socket = waiting()
    for number, kind in enumerate(plan):
        core.say(alice, type=kind, room="a", id=str(number))
    await passes()
    assert answers(socket) == []
    bus.confirm()
    await passes()
    assert answers(socket) == [(kind, str(number)) for number, kind in enumerate(expected)]
    assert ("a" in alice.rooms) is inside
    assert not core.pod.joins.pending(alice)


async def test_rooms_under_way_count_against_the_limit() -> None:
    """Joins that wait for the bus count against the limit. The same room counts once."""
    core, bus, alice, socket = waiting(rooms=2)
    for number, room in enumerate(("a", "b", "c", "a")):
        core.say(alice, type="join", room=room, id=str(number))
    await passes()
    assert answers(socket) == [("error", "2")]
    bus.confirm()
    await passes()
    assert alice.rooms == {"a", "b"}
    assert {said["payload"]["code"] for said in socket.heard() if said["type"] == "error"} == {"too_many_rooms"}


async def test_a_join_is_refused_in_time_and_not_carried_out_later() -> None:
    """The requests behind the join are answered too. Nothing remains of the join when the bus is back."""
    core, bus, alice, socket = waiting(timeout=0.05)
    core.say(alice, type="join", room="a", id="1")
    core.say(alice, type="leave", room="a", id="2")
    async with asyncio.timeout(5):
        while len(answers(socket)) < 2:
            await asyncio.sleep(0.01)
    assert [said["payload"]["code"] for said in socket.heard()[1:]] == ["unavailable", "not_joined"]
    bus.confirm()
    await passes()
    assert (alice.rooms, list(core.pod.joins.pending(alice))) == (set(), [])
    core.pod.subscriptions.close()
    assert bus.heard == set()


async def test_an_ended_connection_does_not_affect_the_joins_of_others() -> None:
    """A connection that ends while it waits is not let in. The subscription stays only for other members."""
    core, bus, alice, _ = waiting()
    bob, _ = core.connect("bob")
    for one in (alice, bob):
        core.say(one, type="join", room="a")
    core.say(alice, type="join", room="b")
    alice.end(ENDINGS[CloseCode.GOING_AWAY])
    bus.confirm()
    await passes()
    assert (alice.rooms, bob.rooms) == (set(), {"a"})
    core.pod.subscriptions.close()
    assert bus.heard == {"a"}


async def test_a_join_is_refused_where_the_right_ended_meanwhile() -> None:
    """The rights of a token that was renewed meanwhile decide about the join."""
    core, bus, alice, socket = waiting()
    core.say(alice, type="join", room="a", id="1")
    core.pod.sessions.renew(alice, Identity("alice", Rights({"b": "r"}), alice.identity.expires_at))
    bus.confirm()
    await passes()
    [(kind, id)] = answers(socket)
    assert (kind, id, alice.rooms) == ("error", "1", set())


async def test_a_refused_join_leaves_nothing_behind_while_the_bus_does_not_answer() -> None:
    """It gives back its room at once, so that a client which tries other rooms for ever holds none of them."""
    core, bus, alice, socket = waiting(timeout=0.02)
    for turn in range(3):
        for number in range(100):
            core.say(alice, type="join", room=f"room-{turn}-{number}")
        async with asyncio.timeout(5):
            while len(answers(socket)) < 100 * (turn + 1):
                await asyncio.sleep(0.01)
    core.pod.subscriptions.close()
    assert (core.pod.subscriptions.rooms(), bus.heard) == ([], set())
    assert not core.pod.joins.pending(alice)


async def test_a_client_that_leaves_takes_its_joins_with_it() -> None:
    """Also while the bus does not answer, and the requests that waited behind them are not carried out."""
    core, bus, alice, socket = waiting()
    for number in range(50):
        for kind in ("join", "leave", "join"):
            core.say(alice, type=kind, room=f"room-{number}")
    alice.end(ENDINGS[CloseCode.GOING_AWAY])
    assert not core.pod.joins.pending(alice)
    core.pod.subscriptions.close()
    assert (core.pod.subscriptions.rooms(), bus.heard) == ([], set())
    bus.confirm()
    await passes()
    assert (answers(socket), alice.rooms) == ([], set())


async def test_so_many_requests_wait_behind_joins_and_no_more() -> None:
    """Joins and leaves of rooms that are being joined are refused above that, and the others keep their order."""
    core, bus, alice, socket = waiting()
    for number in range(500):
        core.say(alice, type="leave" if number % 2 else "join", room="ab"[number % 4 // 2], id=str(number))
    await passes()
    refused = answers(socket)
    assert len(refused) == 500 - 2 - MAX_WAITING
    assert {said["payload"]["code"] for said in socket.heard()[1:]} == {"unavailable"}
    bus.confirm()
    await passes()
    carried_out = answers(socket)[len(refused) :]
    assert sorted(int(id or "") for _, id in carried_out) == list(range(MAX_WAITING + 2))
    assert alice.rooms == set()
