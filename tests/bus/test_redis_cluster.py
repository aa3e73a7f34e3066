"""On a Cluster rooms are on several nodes, and move between them while messages are published."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from forestay.bus.redis.client.address import HostPort
from forestay.bus.redis.topology.cluster import SLOTS
from forestay.core.ports.bus import BusLost, Outcome, Query
from forestay.core.rules.policies import Retention
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from tests.bus.redis_pod import KEPT, ROOM, NewPod, Pod, until
from tests.support.local_redis import Cluster, RedisServer, free_port

ROOMS = [RoomName(f"room.{number}") for number in range(60)]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A Cluster of three primaries."""
    cluster = Cluster(tmp_path)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


def slot_of(pod: Pod, room: RoomName) -> int:
    return SLOTS[pod.bus.keys.room(room).partition]


async def test_rooms_of_all_nodes_work(cluster: Cluster, new_pod: NewPod) -> None:
    """Publishing, receiving, histories and positions work for rooms of every node."""
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


async def test_a_cluster_behind_nat_is_reached(tmp_path: Path, new_pod: NewPod) -> None:
    """With `map` the pod connects to where the announced nodes can be reached."""
    cluster = Cluster(tmp_path)
    pairs = []
    for server in cluster.servers:
        announced = free_port()
        server.options += ["--cluster-announce-port", str(announced)]
        server.options += ["--cluster-announce-bus-port", str(server.port + 10000)]
        pairs.append(f"127.0.0.1:{announced}->127.0.0.1:{server.port}")
    try:
        cluster.start()
        pod = new_pod(f"{cluster.url}?map={','.join(pairs)}")
        await pod.bus.start()
        for room in ROOMS:
            pod.bus.publish(Message(room, b"1", "now"), pod.settled.append, kept=KEPT)
        await until(lambda: len(pod.settled) == len(ROOMS))
        assert {settlement.outcome for settlement in pod.settled} == {Outcome.ACCEPTED}
        assert set(pod.bus._nodes.nodes) == {HostPort("127.0.0.1", server.port) for server in cluster.servers}
        await pod.bus.close()
    finally:
        cluster.close()


async def test_a_moved_slot_is_followed(cluster: Cluster, new_pod: NewPod) -> None:
    """When a slot moves, publishes keep their order, none is refused, and its rooms are doubted once."""
    pod, sender = new_pod(cluster.url), new_pod(cluster.url)
    await asyncio.gather(pod.bus.start(), sender.bus.start())
    await pod.subscribe()
    slot = slot_of(pod, ROOM)
    source = cluster.owner(slot)
    target = next(server for server in cluster.servers if server is not source)
    sending = True

    async def send() -> int:
        number = 0
        while sending:
            sender.offer(str(number), KEPT)
            number += 1
            if number % 5 == 0:
                await asyncio.sleep(0.001)
        return number

    task = asyncio.create_task(send())
    await asyncio.sleep(0.1)
    await asyncio.to_thread(cluster.move, slot, target)
    await until(lambda: pod.doubted == [ROOM])
    await asyncio.sleep(0.2)
    sending = False
    sent = await task
    await until(lambda: len(sender.settled) == sent)
    await pod.publish("end", KEPT)
    await until(lambda: pod.heard[-1] == "end")
    outcomes = [settlement.outcome for settlement in sender.settled]
    assert set(outcomes) == {Outcome.ACCEPTED}
    offsets = [settlement.position.offset for settlement in sender.settled if settlement.position]
    assert offsets == list(range(1, len(offsets) + 1))
    numbers = [int(text) for text in pod.heard[:-1]]
    assert numbers == sorted(numbers)


async def test_a_moved_room_without_publishes_is_followed(cluster: Cluster, new_pod: NewPod) -> None:
    """When a node ends a subscription, the pod subscribes at the new node, without a publish that leads it there."""
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


async def test_a_slot_between_two_nodes_can_be_used(cluster: Cluster, new_pod: NewPod) -> None:
    """While a slot moves, publishes reach the node that has the keys of the room."""
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
    """When a replica has replaced a dead primary, only rooms of that primary are doubted, and all work."""
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


async def test_a_planned_failover_under_load_is_followed(tmp_path: Path, new_pod: NewPod) -> None:
    """During a planned failover no message is kept twice, none that was refused is kept, and rooms are doubted."""
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
        outcomes = [settlement.outcome for settlement in pod.settled]
        unknown = {str(number) for number, outcome in enumerate(outcomes) if outcome is Outcome.UNKNOWN}
        accepted = {str(number) for number, outcome in enumerate(outcomes) if outcome is Outcome.ACCEPTED}
        assert len(set(kept)) == len(kept)
        assert set(kept[-10:]) <= accepted | unknown
        assert len(accepted) > 200
        assert set(pod.doubted) >= {ROOM}
        for room in ROOMS:
            pod.bus.publish(Message(room, room.encode(), "now"))
        await until(lambda: set(pod.heard) >= set(ROOMS))
    finally:
        cluster.close()


async def test_a_url_of_the_wrong_kind_ends_the_start(cluster: Cluster, new_pod: NewPod, tmp_path: Path) -> None:
    """A URL for one server to a Cluster, or the other way round, is an error that names the right form."""
    with pytest.raises(BusLost, match=r"redis\+cluster://"):
        await new_pod(cluster.servers[0].url).bus.start()
    single = RedisServer(tmp_path / "single")
    single.start()
    try:
        with pytest.raises(BusLost, match="write redis://"):
            await new_pod(single.url.replace("redis://", "redis+cluster://")).bus.start()
    finally:
        single.close()
