"""A full Redis refuses what would make it grow, before any effect, and lets pods leave, end and go on."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable

import pytest

from forestay.bus.redis.registry import RedisRegistry
from forestay.bus.redis.registry_scripts import REVOCATIONS_WHEN_FULL
from forestay.core.ports.bus import BusFull, Cause, Forgotten, Outcome, Query, Settlement
from forestay.core.ports.registry import Revocation
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.presence import Member
from tests.bus.redis_pod import KEPT, ROOM, NewPod, Pod, until
from tests.support.local_redis import RedisServer

FULL: int = 8 * 2**20
FAR: float = 2e9


def memory(server: RedisServer) -> int:
    line = next(line for line in server.text("INFO", "memory").splitlines() if line.startswith("used_memory:"))
    return int(line.partition(":")[2])


def keys(server: RedisServer) -> set[bytes]:
    found = server.do("KEYS", "*")
    assert isinstance(found, list)
    return set(found)


async def publish(pod: Pod, room: str, size: int, key: str | None = None) -> Settlement:
    settled: asyncio.Future[Settlement] = asyncio.get_running_loop().create_future()
    pod.bus.publish(
        Message(RoomName(room), b'"' + b"x" * size + b'"', "now", "ada"), settled.set_result, kept=KEPT, key=key
    )
    return await settled


async def put(registry: RedisRegistry, user: str, connections: int, room: RoomName = ROOM) -> Outcome:
    settled: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    registry.put(Member(user, connections), room, None, settled.set_result)
    return await settled


async def release(registry: RedisRegistry, user: str, connection: str) -> Outcome:
    settled: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    registry.release(user, connection, settled.set_result)
    return await settled


@pytest.fixture
async def pod(own_redis: RedisServer, new_pod: NewPod) -> Pod:
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    return pod


@pytest.mark.parametrize("key", [None, "k"])
async def test_new_rooms_do_not_grow_a_full_redis(own_redis: RedisServer, pod: Pod, key: str | None) -> None:
    """Publishes to new rooms are refused with the cause, and Redis stays within a tenth of its `maxmemory`."""
    own_redis.do("CONFIG", "SET", "maxmemory", FULL)
    settled = [await publish(pod, f"room{number}", 50_000, key) for number in range(300)]
    assert memory(own_redis) <= FULL * 1.1
    assert settled[0].outcome is Outcome.ACCEPTED
    assert settled[-1] == Settlement(Outcome.REFUSED, cause=Cause.FULL)
    accepted = {f"room{number}".encode() for number, one in enumerate(settled) if one.outcome is Outcome.ACCEPTED}
    rooms = {name.rpartition(b":")[2] for name in keys(own_redis) if b":m:" in name or b":s:" in name}
    assert rooms == accepted
    assert "full" in pod.events


async def test_one_room_does_not_grow_a_full_redis(own_redis: RedisServer, pod: Pod) -> None:
    """Publishes to a room that exists are refused too, and the room stays as it was."""
    own_redis.do("CONFIG", "SET", "maxmemory", FULL)
    settled = [await publish(pod, f"room{number % 40}", 50_000) for number in range(400)]
    assert memory(own_redis) <= FULL * 1.1
    assert settled[-1].cause is Cause.FULL
    for number in range(40):
        last = max((one.position.offset for one in settled[number::40] if one.position), default=0)
        assert (await pod.bus.history(RoomName(f"room{number}"), Query(0), KEPT)).top.offset == last


async def test_a_repeat_with_a_key_is_answered_in_a_full_redis(own_redis: RedisServer, pod: Pod) -> None:
    """The first answer comes again, since it needs no memory."""
    first = await publish(pod, ROOM, 10, "k")
    own_redis.do("CONFIG", "SET", "maxmemory", 1)
    assert await publish(pod, ROOM, 10, "k") == first


async def test_history_is_read_in_a_full_redis(own_redis: RedisServer, pod: Pod) -> None:
    """Also where a restart has made the epoch of the room a new one, which a full Redis cannot store."""
    await pod.publish("a", KEPT)
    own_redis.do("HSET", pod.bus.keys.room(ROOM).meta, "run", "another")
    own_redis.do("CONFIG", "SET", "maxmemory", 1)
    page = await pod.bus.history(ROOM, Query(10), KEPT)
    again = await pod.bus.history(ROOM, Query(10, since=page.top), KEPT)
    assert [message.payload for message in page.messages] == [b"a"]
    assert (again.top, again.whole) == (page.top, True)
    assert await pod.bus.positions([ROOM]) == {ROOM: page.top}


async def test_what_ends_works_in_a_full_redis(own_redis: RedisServer, pod: Pod) -> None:
    """Users leave, connections are released, dead pods are reaped, and leases go on."""
    one, two = RedisRegistry("one", pod.bus), RedisRegistry("two", pod.bus)
    for registry in (one, two):
        await registry.heartbeat(30)
        await put(registry, "ada", 2)
        await put(registry, f"only on {registry._pod}", 1)
        await registry.claim("ada", f"c {registry._pod}", 5, replace=False)
    own_redis.do("CONFIG", "SET", "maxmemory", 1)
    assert (await one.heartbeat(30)).known
    assert [await put(one, "ada", 1), await put(one, "only on one", 0)] == [Outcome.ACCEPTED] * 2
    assert await two.reap("two") == [(ROOM, "only on two")]
    page = await one.presence_page(ROOM, None, 10)
    assert [(member.user, member.connections) for member in page.members] == [("ada", 1)]
    assert await release(one, "ada", "c one") is Outcome.ACCEPTED
    assert await put(one, "ada", 0) is Outcome.ACCEPTED
    await one.retire(0)
    own_redis.do("CONFIG", "SET", "maxmemory", 0)
    assert keys(own_redis) == set()


async def test_a_history_is_deleted_in_a_full_redis(own_redis: RedisServer, pod: Pod) -> None:
    """It is what makes room again."""
    position = (await pod.publish("kept", KEPT)).position
    own_redis.do("CONFIG", "SET", "maxmemory", 1)
    assert await pod.bus.forget(ROOM) == Forgotten(1, position)
    assert await pod.kept() == []


async def test_what_grows_is_refused_in_a_full_redis(own_redis: RedisServer, pod: Pod) -> None:
    """A user that enters or connects is refused without any trace; so are members on a second pod."""
    one, two = RedisRegistry("one", pod.bus), RedisRegistry("two", pod.bus)
    await one.heartbeat(30)
    await put(one, "ada", 1)
    before = {name: own_redis.do("DUMP", name) for name in keys(own_redis)}
    own_redis.do("CONFIG", "SET", "maxmemory", 1)
    assert [await put(two, "ada", 1), await put(one, "bob", 1), await put(one, "ada", 2)] == [Outcome.REFUSED] * 3
    with pytest.raises(BusFull):
        await one.claim("ada", "c1", 5, replace=False)
    assert {name: own_redis.do("DUMP", name) for name in keys(own_redis)} == before


async def test_an_oldest_connection_yields_in_a_full_redis(own_redis: RedisServer, pod: Pod) -> None:
    """A claim that takes the place of another one needs no more memory."""
    registry = RedisRegistry("one", pod.bus)
    await registry.claim("ada", "first", 1, replace=True)
    own_redis.do("CONFIG", "SET", "maxmemory", 1)
    claim = await registry.claim("ada", "second", 1, replace=True)
    assert (claim.granted, list(claim.yielding)) == (True, ["first"])


async def test_a_token_is_revoked_in_a_full_redis(own_redis: RedisServer, pod: Pod) -> None:
    """A revocation ends something. So it is taken, but not without an end: there is a largest number of them."""
    registry = RedisRegistry("one", pod.bus)
    own_redis.do("CONFIG", "SET", "maxmemory", 1)
    for number in range(REVOCATIONS_WHEN_FULL):
        await registry.revoke(Revocation(jti=f"t{number}", until=FAR))
    with pytest.raises(BusFull):
        await registry.revoke(Revocation(jti="one too many", until=FAR))
    assert len((await registry.heartbeat(30)).revocations) == REVOCATIONS_WHEN_FULL


async def test_a_redis_that_evicts_stays_small_and_gives_no_epoch_twice(own_redis: RedisServer, pod: Pod) -> None:
    """With `allkeys-lru` publishes are accepted. A room that was evicted gets another epoch than before."""
    own_redis.do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    own_redis.do("CONFIG", "SET", "maxmemory", FULL)
    first = await publish(pod, "room0", 50_000)
    settled = [await publish(pod, f"room{number}", 50_000) for number in range(1, 300)]
    assert {one.outcome for one in settled} == {Outcome.ACCEPTED}
    assert memory(own_redis) <= FULL * 1.1
    assert first.position
    if not own_redis.do("EXISTS", pod.bus.keys.room(RoomName("room0")).meta):
        again = await publish(pod, "room0", 10)
        assert again.position
        assert again.position.epoch != first.position.epoch
    own_redis.do("DEL", pod.bus.keys.room(RoomName("room299")).meta)
    page = await pod.bus.history(RoomName("room299"), Query(10, since=settled[-1].position), KEPT)
    assert (page.whole, page.messages) == (False, [])


async def full(server: RedisServer) -> None:
    server.do("CONFIG", "SET", "maxmemory", 1)


async def without_replicas(server: RedisServer) -> None:
    server.do("CONFIG", "SET", "min-replicas-to-write", 1)


async def unable_to_store(server: RedisServer) -> None:
    """Its folder is gone, so its snapshot fails."""
    server.do("CONFIG", "SET", "save", "3600 1")
    [_, folder] = server.do("CONFIG", "GET", "dir")  # type: ignore[misc]
    shutil.rmtree(folder.decode())  # type: ignore[has-type]
    server.do("BGSAVE")
    await until(lambda: "rdb_last_bgsave_status:err" in server.text("INFO", "persistence"))


async def writable(server: RedisServer) -> None:
    server.do("CONFIG", "SET", "maxmemory", 0)
    server.do("CONFIG", "SET", "min-replicas-to-write", 0)
    server.do("CONFIG", "SET", "save", "")


@pytest.mark.parametrize("refuse", [full, without_replicas, unable_to_store])
async def test_a_list_of_users_is_degraded_while_redis_takes_no_users(
    own_redis: RedisServer, pod: Pod, refuse: Callable[[RedisServer], Awaitable[None]]
) -> None:
    """A page says so, and so does a heartbeat where it is answered. Asking changes nothing."""
    registry = RedisRegistry("one", pod.bus)
    assert not (await registry.heartbeat(30)).refusing
    assert await put(registry, "ada", 1) is Outcome.ACCEPTED
    before = await registry.presence_page(ROOM, None, 10)
    assert not before.degraded
    known = keys(own_redis)
    await refuse(own_redis)
    assert await put(registry, "bob", 1) is Outcome.REFUSED
    for room, users in ((ROOM, ["ada"]), (RoomName("chat.empty"), [])):
        page = await registry.presence_page(room, None, 10)
        assert (page.degraded, [member.user for member in page.members]) == (True, users)
    if refuse is full:
        assert (await registry.heartbeat(30)).refusing
    await writable(own_redis)
    assert keys(own_redis) == known
    assert await registry.presence_page(ROOM, None, 10) == before


async def test_a_list_of_users_is_degraded_until_each_pod_can_have_registered_again(
    own_redis: RedisServer, pod: Pod
) -> None:
    """Another Redis may have lost what was registered. A heartbeat repairs it."""
    registry = RedisRegistry("one", pod.bus)
    await registry.heartbeat(30)
    own_redis.kill()
    own_redis.start()
    await until(lambda: "lost" in pod.events)
    await until(lambda: pod.bus.up)
    assert (await registry.presence_page(ROOM, None, 10)).degraded
    assert (await registry.heartbeat(30)).lost_memory
    assert not (await registry.presence_page(ROOM, None, 10)).degraded
