"""What a pod remembers about rooms, messages and revocations is bounded in number and in time."""

import asyncio

import pytest

from forestay.bus.memory.bus import Exchange, MemoryBus
from forestay.bus.redis import keys
from forestay.bus.redis.keys import KeySpace
from forestay.core.fanout import backlog
from forestay.core.ports.bus import Query
from forestay.core.ports.registry import Revocation
from forestay.core.rules import policies
from forestay.core.rules.policies import KEY_TTL, Policies, Retention
from forestay.protocol import envelope
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from tests.core.test_recovery import ROOM, Pod, settle
from tests.support.cluster import BORN, ClusterPod
from tests.support.virtual_time import virtual


def test_policies_are_remembered_for_a_bounded_number_of_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that names ever new rooms does not fill the memory."""
    monkeypatch.setattr(policies, "_REMEMBERED", 100)
    shipped = Policies()
    for number in range(1000):
        shipped.of(RoomName(f"room-{number}"))
    assert len(shipped._known) <= 100


def test_the_names_of_keys_are_remembered_for_a_bounded_number_of_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same holds for the keys of rooms in Redis."""
    monkeypatch.setattr(keys, "_MAX_CACHED", 100)
    space = KeySpace("forestay")
    for number in range(1000):
        space.room(RoomName(f"room-{number}"))
    assert len(space._cache) <= 100


async def holds_and_catches_up(pod: Pod, *, held: int, last: int) -> None:
    """The pod holds so many messages while the bus is away. When it is back, the members see all up to `last`."""
    view = pod.recovery._views[ROOM]
    assert view.held is not None
    assert len(view.held) == held
    pod.bus.away = False
    async with asyncio.timeout(5):
        while pod.members.seen != list(range(1, last + 1)):
            await asyncio.sleep(0.01)


async def test_messages_that_wait_for_a_repair_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages beyond the bound are not kept, and are read from the history when the bus is back."""
    monkeypatch.setattr(backlog, "MAX_ENTRIES", 3)
    pod = Pod()
    await pod.open()
    pod.bus.away = True
    pod.bus.doubt()
    pod.send(10)
    await settle()
    await holds_and_catches_up(pod, held=3, last=10)


async def test_messages_that_are_kept_for_joins_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A join whose history is read slowly keeps no more messages than the bound; the others are in the history."""
    monkeypatch.setattr(backlog, "MAX_ENTRIES", 3)
    pod = Pod()
    await pod.open()
    pod.send(3)
    position = pod.recovery.position(ROOM)
    assert position is not None
    missed = asyncio.ensure_future(pod.recovery.missed(ROOM, Position(position.epoch, 1)))
    while not pod.recovery._views[ROOM].readers:
        await asyncio.sleep(0)
    pod.send(10)
    assert len(pod.recovery._views[ROOM].tail) == 3
    await missed
    assert len(pod.recovery._views[ROOM].tail) == 0


async def test_messages_that_wait_for_a_repair_are_bounded_in_bytes() -> None:
    """Large messages fill the memory as well as many do. Those that do not fit are read from the history."""
    pod = Pod()
    pod.kept = Retention(size=1000, ttl=60.0)
    await pod.open()
    pod.recovery._views[ROOM].kept = pod.kept
    pod.bus.away = True
    pod.bus.doubt()
    largest = backlog.MAX_BYTES // 20
    for number in range(1, 101):
        payload = str(number).encode().rjust(largest)
        pod.sender.publish(Message(ROOM, payload, "now"), kept=pod.kept)
    await settle()
    await holds_and_catches_up(pod, held=20, last=100)


def test_a_message_of_the_bus_that_no_pod_can_have_sent_is_not_decoded() -> None:
    """It is larger than the largest message that can be configured, and is refused before it is parsed."""
    largest = envelope.encode(Message(ROOM, b"x" * envelope.MAX_BYTES, "now"))
    with pytest.raises(envelope.BadEnvelope):
        envelope.decode(largest)


async def test_an_idempotency_key_is_forgotten_in_memory() -> None:
    """After its time the key is dropped with the next one, so keys do not pile up in a busy room."""
    now = [0.0]
    exchange = Exchange(lambda: now[0])
    bus, kept = MemoryBus(exchange), Retention(10, 3600.0)
    for number in range(100):
        bus.publish(Message(ROOM, b"1", "now", sender="alice"), kept=kept, key=f"key-{number}")
        now[0] += KEY_TTL / 10
    assert len(exchange.history(ROOM).keys) <= 11
    page = await bus.history(ROOM, Query(10), kept)
    bus.publish(Message(ROOM, b"1", "now", sender="alice"), kept=kept, key="key-0")
    assert (await bus.history(ROOM, Query(10), kept)).top.offset == page.top.offset + 1


@virtual
async def test_a_revocation_is_forgotten_when_it_has_run_out() -> None:
    """The next heartbeat drops it, for tokens and for users."""
    revocations = ClusterPod().revocations
    for number in range(10):
        revocations.learn(Revocation(jti=f"t{number}", until=BORN + 60))
        revocations.learn(Revocation(user=f"user-{number}", before=BORN, until=BORN + 60))
    await revocations.renew(everything=False)
    assert len(revocations) == 20
    await asyncio.sleep(61)
    await revocations.renew(everything=False)
    assert len(revocations) == 0
