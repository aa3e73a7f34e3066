"""When Redis fails, each publish settles as accepted, refused or unknown, and none is executed twice."""

import asyncio
import time

import pytest

from forestay.bus.redis.client.link import LinkState
from forestay.core.ports.bus import BusLost, Outcome, Query
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from tests.bus.redis_pod import KEPT, ROOM, NewPod, until
from tests.support.local_redis import RedisServer, Road


async def test_a_dead_redis_refuses_at_once(own_redis: RedisServer, new_pod: NewPod) -> None:
    """A publish after the first failed attempt to connect is refused without a wait."""
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    assert (await pod.publish("before")).outcome is Outcome.ACCEPTED
    own_redis.kill()
    await pod.publish("at its end")
    [node] = pod.bus._nodes.nodes.values()
    await until(lambda: node.writing.link.state is LinkState.DOWN)
    pod.offer("after")
    [settlement] = pod.settled
    assert settlement.outcome is Outcome.REFUSED
    with pytest.raises(BusLost):
        await pod.kept()
    own_redis.start()
    await until(lambda: pod.bus.up)
    assert (await pod.publish("again")).outcome is Outcome.ACCEPTED
    assert pod.events[:2] == ["connected", "lost"]


async def test_a_frozen_redis_executes_nothing_twice(own_redis: RedisServer, new_pod: NewPod) -> None:
    """A written publish is unknown in time, a waiting one refused, and after the thaw none was executed twice."""
    pod = new_pod(own_redis.url, timeout=1)
    await pod.bus.start()
    await pod.subscribe()
    await until(lambda: pod.bus.up)
    own_redis.freeze()
    began = time.monotonic()
    pod.offer("written", KEPT)
    await asyncio.sleep(0.1)
    pod.offer("waiting", KEPT)
    await until(lambda: len(pod.settled) == 2)
    assert [settlement.outcome for settlement in pod.settled] == [Outcome.UNKNOWN, Outcome.REFUSED]
    assert 0.9 < time.monotonic() - began < 5
    pod.offer("while it is down")
    assert [settlement.outcome for settlement in pod.settled[2:]] == [Outcome.REFUSED]
    own_redis.thaw()
    await until(lambda: pod.bus.up)
    assert (await pod.publish("after", KEPT)).outcome is Outcome.ACCEPTED
    assert await pod.kept() == ["written", "after"]


async def test_a_retry_with_a_key_after_a_lost_reply_is_safe(road: Road, new_pod: NewPod) -> None:
    """A publish whose reply is lost is unknown; with the same key the retry settles as the first one did in Redis."""
    pod = new_pod(road.url, timeout=1)
    await pod.bus.start()
    road.muting = b"EVALSHA"
    assert (await pod.publish("once", KEPT, key="k")).outcome is Outcome.UNKNOWN
    road.muting = b"no command"
    await until(lambda: pod.bus.up)
    settlement = await pod.publish("once", KEPT, key="k")
    assert settlement.position
    assert settlement.position.offset == 1
    assert await pod.kept() == ["once"]


async def test_a_cut_connection_settles_every_publish(road: Road, new_pod: NewPod) -> None:
    """Each publish settles once, at whatever moment the connection ends."""
    pod = new_pod(road.url)
    await pod.bus.start()
    for number in range(30):
        for _ in range(20):
            pod.offer("x", KEPT if number % 2 else None)
        await asyncio.sleep(0.001 * (number % 7))
        if number % 3 == 0:
            road.cut()
        await asyncio.sleep(0.05)
    await until(lambda: len(pod.settled) == 600)
    await until(lambda: pod.bus.up)
    accepted = sum(settlement.position is not None for settlement in pod.settled)
    top = (await pod.bus.history(ROOM, Query(0), KEPT)).top.offset
    unknown = sum(settlement.outcome is Outcome.UNKNOWN for settlement in pod.settled)
    assert accepted <= top <= accepted + unknown


async def test_an_error_reply_is_a_refusal(own_redis: RedisServer, new_pod: NewPod) -> None:
    """Without memory, or without a replica that is required, a publish is refused at once and not kept."""
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    await pod.publish("before", KEPT)
    own_redis.do("CONFIG", "SET", "maxmemory", "1")
    assert (await pod.publish("no room", KEPT, key="k")).outcome is Outcome.REFUSED
    own_redis.do("CONFIG", "SET", "maxmemory", "0")
    own_redis.do("CONFIG", "SET", "min-replicas-to-write", "1")
    assert (await pod.publish("no replica", KEPT)).outcome is Outcome.REFUSED
    own_redis.do("CONFIG", "SET", "min-replicas-to-write", "0")
    settlement = await pod.publish("after", KEPT, key="k")
    assert settlement.position
    assert settlement.position.offset == 2
    assert await pod.kept() == ["before", "after"]


async def test_a_master_that_becomes_a_replica_is_not_used(own_redis: RedisServer, new_pod: NewPod) -> None:
    """A master that became a replica refuses publishes, and is used again once it is a master."""
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    own_redis.do("REPLICAOF", "127.0.0.1", "1")
    assert (await pod.publish("to a replica", KEPT)).outcome is Outcome.REFUSED
    await until(lambda: not pod.bus.up)
    own_redis.do("REPLICAOF", "NO", "ONE")
    await until(lambda: pod.bus.up)
    assert (await pod.publish("to the master", KEPT)).outcome is Outcome.ACCEPTED
    assert await pod.kept() == ["to the master"]


async def test_forgotten_scripts_are_loaded_again_in_order(own_redis: RedisServer, new_pod: NewPod) -> None:
    """Publishes and reads succeed in their order after Redis has lost the scripts."""
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    own_redis.do("SCRIPT", "FLUSH")
    for number in range(10):
        pod.offer(str(number), KEPT)
    await until(lambda: len(pod.settled) == 10)
    assert {settlement.outcome for settlement in pod.settled} == {Outcome.ACCEPTED}
    own_redis.do("SCRIPT", "FLUSH")
    assert await pod.kept() == list("0123456789")
    assert await pod.bus.positions([ROOM])


async def test_a_full_pipeline_refuses(own_redis: RedisServer, new_pod: NewPod) -> None:
    """Publishes to a Redis that does not keep up are refused beyond a limit of bytes."""
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    own_redis.freeze()
    big = "x" * 2**20
    for _ in range(50):
        pod.offer(big)
    refused = len(pod.settled)
    assert 10 < refused < 25
    assert {settlement.outcome for settlement in pod.settled} == {Outcome.REFUSED}
    own_redis.thaw()
    await until(lambda: len(pod.settled) == 50)
    assert sum(settlement.outcome is Outcome.ACCEPTED for settlement in pod.settled) == 50 - refused


async def test_a_cancelled_read_does_not_shift_the_replies(own_redis: RedisServer, new_pod: NewPod) -> None:
    """Reads that are cancelled at any moment leave the replies to the others right."""
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    rooms = [RoomName(f"room.{number}") for number in range(20)]
    for room in rooms:
        pod.bus.publish(Message(room, room.encode(), "now"), kept=KEPT)

    async def read(room: RoomName) -> bool:
        page = await pod.bus.history(room, Query(5), KEPT)
        return [message.room for message in page.messages] == [room]

    for round_ in range(50):
        reads = [asyncio.create_task(read(room)) for room in rooms]
        await asyncio.sleep(0.0003 * (round_ % 5))
        for cancelled in reads[::3]:
            cancelled.cancel()
        answers = await asyncio.gather(*reads, return_exceptions=True)
        assert all(answer is True for answer in answers if not isinstance(answer, asyncio.CancelledError))


async def test_close_settles_every_publish(own_redis: RedisServer, new_pod: NewPod) -> None:
    """Close waits a moment for replies; then written publishes are unknown and waiting ones refused."""
    for _ in range(5):
        pod = new_pod(own_redis.url)
        await pod.bus.start()
        began = time.monotonic()
        pod.offer("quick", KEPT)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await pod.bus.close()
        # A machine that stood still took the moment away. It does not do so each time.
        if time.monotonic() - began < 0.5:
            break
    assert [settlement.outcome for settlement in pod.settled] == [Outcome.ACCEPTED]
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    own_redis.freeze()
    pod.offer("slow", KEPT)
    await asyncio.sleep(0.01)
    pod.offer("waiting", KEPT)
    await pod.bus.close()
    own_redis.thaw()
    assert [settlement.outcome for settlement in pod.settled] == [Outcome.REFUSED, Outcome.UNKNOWN]


async def test_rooms_that_nobody_wants_any_more_are_forgotten_while_redis_does_not_answer(
    own_redis: RedisServer, new_pod: NewPod
) -> None:
    """Clients that ask for ever new rooms, and go or are refused, leave nothing that Redis would have to hear of."""
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    await pod.subscribe()
    own_redis.freeze()
    for number in range(10_000):
        room = RoomName(f"room.{number}")
        pod.bus.subscribe(room, pod.subscriber(room))
        if number % 100:
            pod.bus.unsubscribe(room)
        if number % 1000 == 0:
            await asyncio.sleep(0)
    [node] = pod.bus._nodes.nodes.values()
    assert len(node.listener._changed) <= 200
    own_redis.thaw()
    wanted = pod.bus.keys.room(RoomName("room.9900")).channel
    await until(lambda: own_redis.do("PUBSUB", "NUMSUB", wanted) == [wanted, 1])
