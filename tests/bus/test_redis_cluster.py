"""On a Cluster rooms live on many nodes, and move between them while people talk."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from forestay.bus.redis.topology.cluster import SLOTS
from forestay.core.ports.bus import BusLost, Outcome, Query
from forestay.core.rules.policies import Retention
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from tests.bus.redis_pod import KEPT, ROOM, NewPod, Pod, until
from tests.support.local_redis import Cluster, RedisServer

ROOMS = [RoomName(f"room.{number}") for number in range(60)]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Three primaries."""
    cluster = Cluster(tmp_path)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


def slot_of(pod: Pod, room: RoomName) -> int:
    return SLOTS[pod.bus.keys.room(room).partition]


async def test_rooms_of_all_nodes_work(cluster: Cluster, new_pod: NewPod) -> None:
    """Live and kept, heard, read and asked about."""
    pod = new_pod(cluster.url)
    await pod.bus.start()
    for room in ROOMS:
        await pod.subscribe(room)
        pod.bus.publish(Message(room, f"live {room}".encode(), "now"), pod.settled.append)
        pod.bus.publish(Message(room, f"kept {room}".encode(), "now"), pod.settled.append, kept=KEPT, key="k")
    await until(lambda: len(pod.heard) == 120)
    assert {settlement.outcome for settlement in pod.settled} == {Outcome.ACCEPTED}
    assert {position.offset for position in (await pod.bus.positions(ROOMS)).values()} == {1}
    assert len(pod.bus._nodes.nodes) == 3
    assert pod.bus.up


async def test_a_moved_slot_is_followed(cluster: Cluster, new_pod: NewPod) -> None:
    """Publishes keep their order, nobody is refused, and the room is heard at its new node after a doubt."""
    pod, talker = new_pod(cluster.url), new_pod(cluster.url)
    await asyncio.gather(pod.bus.start(), talker.bus.start())
    await pod.subscribe()
    slot = slot_of(pod, ROOM)
    source = cluster.owner(slot)
    target = next(server for server in cluster.servers if server is not source)
    talking = True

    async def talk() -> None:
        number = 0
        while talking:
            talker.offer(str(number), KEPT)
            number += 1
            if number % 5 == 0:
                await asyncio.sleep(0.001)

    task = asyncio.create_task(talk())
    await asyncio.sleep(0.1)
    await asyncio.to_thread(cluster.move, slot, target)
    await until(lambda: pod.doubted == [ROOM])
    await asyncio.sleep(0.2)
    talking = False
    await task
    number = len(pod.heard)
    await pod.publish("end", KEPT)
    await until(lambda: pod.heard[-1] == "end" and len(pod.heard) > number)
    outcomes = [settlement.outcome for settlement in talker.settled]
    assert set(outcomes) == {Outcome.ACCEPTED}
    offsets = [settlement.position.offset for settlement in talker.settled if settlement.position]
    assert offsets == list(range(1, len(offsets) + 1))
    words = [int(word) for word in pod.heard[:-1]]
    assert words == sorted(words)


async def test_a_room_that_only_listens_follows_too(cluster: Cluster, new_pod: NewPod) -> None:
    """The node takes the subscription away; nobody publishes, and the room is heard again all the same."""
    pod = new_pod(cluster.url)
    await pod.bus.start()
    for room in ROOMS:
        await pod.subscribe(room)
    slot = slot_of(pod, ROOMS[0])
    moved = [room for room in ROOMS if slot_of(pod, room) == slot]
    source = cluster.owner(slot)
    target = next(server for server in cluster.servers if server is not source)
    await asyncio.to_thread(cluster.move, slot, target)
    await until(lambda: sorted(pod.doubted) == sorted(moved))
    answer = target.do("PUBSUB", "SHARDNUMSUB", pod.bus.keys.room(ROOMS[0]).channel)
    assert isinstance(answer, list)
    assert answer[1] == 1
    pod.bus.publish(Message(ROOMS[0], b"after", "now"))
    await until(lambda: pod.heard == ["after"])


async def test_keys_on_their_way_are_asked_for(cluster: Cluster, new_pod: NewPod) -> None:
    """While a slot moves, a new room's script is sent to the new node, and an old room's stays."""
    pod = new_pod(cluster.url)
    await pod.bus.start()
    await pod.publish("old", KEPT)
    slot = slot_of(pod, ROOM)
    source = cluster.owner(slot)
    target = next(server for server in cluster.servers if server is not source)
    target.do("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
    source.do("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
    staying = await pod.publish("staying", KEPT)
    cluster.move_keys(slot, source, target)
    moving = await pod.publish("moving", KEPT)
    cluster.finish_moving(slot, source, target)
    moved = await pod.publish("moved", KEPT)
    found = [settlement.position.offset for settlement in (staying, moving, moved) if settlement.position]
    assert found == [2, 3, 4]
    assert await pod.kept() == ["old", "staying", "moving", "moved"]


async def test_a_dead_primary_is_replaced(tmp_path: Path, new_pod: NewPod) -> None:
    """Its rooms are refused until its replica stands in, then doubted; those of other nodes never notice."""
    cluster = Cluster(tmp_path, 3, 1)
    try:
        cluster.start()
        pod = new_pod(cluster.url)
        await pod.bus.start()
        for room in ROOMS:
            await pod.subscribe(room)
        await pod.publish("before", KEPT)
        before = await pod.top()
        await asyncio.sleep(0.3)
        dead = cluster.owner(slot_of(pod, ROOM))
        lost = [room for room in ROOMS if cluster.owner(slot_of(pod, room)) is dead]
        dead.kill()
        await until(lambda: not pod.bus.up)
        await until(lambda: pod.bus.up, 20)
        await until(lambda: sorted(pod.doubted) == sorted(lost))
        after = await pod.top()
        assert after.offset == before.offset
        assert after.epoch != before.epoch
        for room in ROOMS:
            pod.bus.publish(Message(room, room.encode(), "now"), pod.settled.append)
        await until(lambda: sorted(pod.heard) == sorted(ROOMS))
    finally:
        cluster.close()


async def test_a_primary_that_steps_back_is_followed(tmp_path: Path, new_pod: NewPod) -> None:
    """A planned failover under load: nobody is told two things about a message, and listening goes on after a doubt."""
    cluster = Cluster(tmp_path, 3, 1)
    try:
        cluster.start()
        pod = new_pod(cluster.url)
        await pod.bus.start()
        for room in ROOMS:
            await pod.subscribe(room)
        await pod.subscribe()
        old = cluster.owner(slot_of(pod, ROOM))
        await pod.publish("before", KEPT)
        [new] = [
            server for server in cluster.servers if f"master_port:{old.port}" in server.text("INFO", "replication")
        ]
        new.do("CLUSTER", "FAILOVER")
        for number in range(300):
            pod.offer(str(number), KEPT)
            await asyncio.sleep(0.01)
        await until(lambda: len(pod.settled) == 300)
        await until(lambda: cluster.owner(slot_of(pod, ROOM)) is new and pod.bus.up)
        page = await pod.bus.history(ROOM, Query(1000), Retention(1000, 60))
        kept = [message.payload.decode() for message in page.messages]
        told = [settlement.outcome for settlement in pod.settled]
        unknown = {str(number) for number, outcome in enumerate(told) if outcome is Outcome.UNKNOWN}
        accepted = {str(number) for number, outcome in enumerate(told) if outcome is Outcome.ACCEPTED}
        assert len(set(kept)) == len(kept)
        assert set(kept[-10:]) <= accepted | unknown
        assert len(accepted) > 200
        assert set(pod.doubted) >= {ROOM}
        for room in ROOMS:
            pod.bus.publish(Message(room, room.encode(), "now"))
        await until(lambda: set(pod.heard) >= set(ROOMS))
    finally:
        cluster.close()


async def test_a_single_url_to_a_cluster_is_refused_and_the_other_way_round(
    cluster: Cluster, new_pod: NewPod, tmp_path: Path
) -> None:
    """With the form that is right."""
    with pytest.raises(BusLost, match=r"redis\+cluster://"):
        await new_pod(cluster.servers[0].url).bus.start()
    single = RedisServer(tmp_path / "single")
    single.start()
    try:
        with pytest.raises(BusLost, match="write redis://"):
            await new_pod(single.url.replace("redis://", "redis+cluster://")).bus.start()
    finally:
        single.close()
