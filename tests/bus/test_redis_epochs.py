"""A room gets a new epoch when Redis may have lost writes, and what is left stays readable."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from forestay.bus.redis.registry import RedisRegistry
from forestay.bus.redis.scripts import POSITIONS, PUBLISH
from forestay.core.ports.bus import BusLost, Query
from forestay.core.rules.policies import Retention
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from tests.bus.redis_pod import KEPT, ROOM, NewPod, until
from tests.servers.incarnations import NO_ID, facts
from tests.support.local_redis import QUICK, SHARDED, RedisServer

EMPTY = RoomName("chat.empty")

needs_proof = pytest.mark.skipif(not SHARDED, reason="Redis 6.2 does not show what it took from masters")


async def test_a_restart_from_an_old_snapshot_makes_a_new_epoch(own_redis: RedisServer, new_pod: NewPod) -> None:
    """Offsets are used again after the restart, so the epoch is new and a page since the old one is not whole."""
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    for text in "abc":
        await pod.publish(text, KEPT)
    own_redis.do("SAVE")
    await pod.publish("lost", KEPT)
    before = await pod.top()
    own_redis.kill()
    own_redis.start()
    await until(lambda: "lost" in pod.events)
    await until(lambda: pod.bus.up)
    positions = await pod.bus.positions([ROOM])
    page = await pod.bus.history(ROOM, Query(10, since=before), KEPT)
    assert before.offset == 4
    assert page.top.offset == 3
    assert page.top.epoch != before.epoch
    assert positions == {ROOM: page.top}
    assert not page.whole
    assert await pod.kept() == ["a", "b", "c"]
    settlement = await pod.publish("d", KEPT)
    assert settlement.position == Position(page.top.epoch, 4)
    resumed = await pod.bus.history(ROOM, Query(10, since=page.top), KEPT)
    assert resumed.whole
    assert [message.payload for message in resumed.messages] == [b"d"]
    assert {message.position.epoch for message in page.messages if message.position} == {page.top.epoch}


async def test_a_restart_without_data_starts_at_zero(own_redis: RedisServer, new_pod: NewPod) -> None:
    """Offsets start again at 0, in a new epoch."""
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    await pod.publish("a", KEPT)
    before = await pod.top()
    own_redis.kill()
    own_redis.start()
    await until(lambda: "lost" in pod.events)
    await until(lambda: pod.bus.up)
    assert await pod.bus.positions([ROOM]) == {}
    after = await pod.top()
    assert after.offset == 0
    assert after.epoch != before.epoch


async def test_a_clean_restart_keeps_entries(tmp_path: Path, new_pod: NewPod) -> None:
    """With an append-only file the entries are there, and the epoch is new: Redis cannot prove that none is missing."""
    server = RedisServer(tmp_path, "--save", "", "--appendonly", "yes")
    server.start()
    try:
        pod = new_pod(server.url)
        await pod.bus.start()
        for text in "ab":
            await pod.publish(text, KEPT)
        before = await pod.top()
        server.do("CONFIG", "SET", "appendfsync", "always")
        server.kill()
        server.start()
        await until(lambda: "lost" in pod.events)
        await until(lambda: pod.bus.up)
        after = await pod.top()
        assert after.offset == before.offset
        assert after.epoch != before.epoch
        assert await pod.kept() == ["a", "b"]
    finally:
        server.close()


async def test_entries_without_an_epoch_are_deleted(own_redis: RedisServer, new_pod: NewPod) -> None:
    """Entries whose epoch was evicted are deleted: their offsets would be in the way of the new ones."""
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    for text in "abc":
        await pod.publish(text, KEPT)
    before = await pod.top()
    names = pod.bus.keys.room(ROOM)
    own_redis.do("DEL", names.meta)
    settlement = await pod.publish("d", KEPT)
    assert settlement.position
    assert settlement.position.offset == 1
    assert settlement.position.epoch != before.epoch
    assert await pod.kept() == ["d"]


async def test_a_page_with_evicted_entries_is_not_whole(own_redis: RedisServer, new_pod: NewPod) -> None:
    """The epoch stays if only entries were evicted, and pages that miss some are not whole."""
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    for text in "abc":
        await pod.publish(text, KEPT)
    top = await pod.top()
    own_redis.do("DEL", pod.bus.keys.room(ROOM).stream)
    page = await pod.bus.history(ROOM, Query(10, since=Position(top.epoch, 1)), KEPT)
    assert (page.top, page.whole) == (top, False)
    await pod.publish("d", KEPT)
    hole = await pod.bus.history(ROOM, Query(10, since=Position(top.epoch, 2)), KEPT)
    assert not hole.whole


async def test_a_page_with_a_gap_is_not_whole(own_redis: RedisServer, new_pod: NewPod) -> None:
    """A page with a missing entry, or with one that cannot be decoded, is not whole; the latter is counted."""
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    for text in "abcd":
        await pod.publish(text, KEPT)
    top = await pod.top()
    own_redis.do("XDEL", pod.bus.keys.room(ROOM).stream, "3-0")
    page = await pod.bus.history(ROOM, Query(10, since=Position(top.epoch, 1)), KEPT)
    assert ([message.payload for message in page.messages], page.whole) == ([b"b", b"d"], False)
    own_redis.do("DEL", pod.bus.keys.room(ROOM).stream)
    own_redis.do("XADD", pod.bus.keys.room(ROOM).stream, "4-0", "m", b"\x99from the future")
    page = await pod.bus.history(ROOM, Query(10, since=Position(top.epoch, 3)), KEPT)
    assert (page.messages, page.whole) == ([], False)
    assert pod.events.count("garbage") == 1


async def test_a_page_of_planted_entries_is_the_last_one(own_redis: RedisServer, new_pod: NewPod) -> None:
    """Nobody can read on after a page without messages, so it does not say that there are more."""
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    await pod.publish("a", KEPT)
    top = await pod.top()
    for _ in range(5):
        own_redis.do("XADD", pod.bus.keys.room(ROOM).stream, "*", "m", b"\x99planted")
    for query in (Query(3), Query(3, since=top)):
        page = await pod.bus.history(ROOM, query, KEPT)
        assert (page.top, page.messages, page.more) == (top, [], False)


async def test_asking_for_positions_renews_the_expiry(own_redis: RedisServer, new_pod: NewPod) -> None:
    """Epoch and offset live 24 hours longer than the entries, and 24 hours from each question for the position."""
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    short = Retention(size=10, ttl=0.05)
    await pod.publish("a", short)
    names = pod.bus.keys.room(ROOM)
    left = own_redis.do("PTTL", names.meta)
    assert isinstance(left, int)
    assert 86_399_000 < left <= 86_400_050
    own_redis.do("PEXPIRE", names.meta, 5000)
    await pod.bus.positions([ROOM])
    left = own_redis.do("PTTL", names.meta)
    assert isinstance(left, int)
    assert 86_399_000 < left <= 86_400_000


@pytest.fixture
def lonely_redis(own_redis: RedisServer) -> RedisServer:
    """A Redis that takes replicas at once, and forgets them and its former id after a second without them."""
    own_redis.do("CONFIG", "SET", "repl-backlog-ttl", "1")
    own_redis.do("CONFIG", "SET", "repl-diskless-sync-delay", "0")
    return own_redis


@contextmanager
def replica_of(master: RedisServer, folder: Path) -> Iterator[RedisServer]:
    """A replica that has its master's data."""
    replica = RedisServer(folder, *QUICK, "--replicaof", "127.0.0.1", str(master.port))
    try:
        replica.start()
        replica.await_master()
        yield replica
    finally:
        replica.close()


@needs_proof
async def test_a_replica_that_comes_and_goes_changes_no_epoch(
    lonely_redis: RedisServer, new_pod: NewPod, tmp_path: Path
) -> None:
    """The id of the master is another one each time. Rooms with messages and rooms without keep their epochs."""
    pod = new_pod(lonely_redis.url)
    await pod.bus.start()
    await pod.publish("a", KEPT)
    before, empty = await pod.top(), await pod.top(EMPTY)
    ids = {facts(lonely_redis).id}
    replica = RedisServer(tmp_path / "replica", *QUICK, "--replicaof", "127.0.0.1", str(lonely_redis.port))
    for number in range(2, 6, 2):
        replica.start()
        replica.await_master()
        ids.add(facts(lonely_redis).id)
        assert (await pod.publish("b", KEPT)).position == Position(before.epoch, number)
        replica.close()
        await until(lambda: facts(lonely_redis).id not in ids)
        ids.add(facts(lonely_redis).id)
        assert (await pod.publish("c", KEPT)).position == Position(before.epoch, number + 1)
    assert len(ids) == 5
    assert await pod.top(EMPTY) == empty
    assert await pod.bus.positions([ROOM]) == {ROOM: Position(before.epoch, 5)}
    page = await pod.bus.history(ROOM, Query(10, since=before), KEPT)
    assert page.whole
    assert len(page.messages) == 4


async def test_a_master_that_was_a_replica_meanwhile_has_new_epochs(
    lonely_redis: RedisServer, new_pod: NewPod, tmp_path: Path
) -> None:
    """Its process is the same and its former id is forgotten, but its data were lost for those of another master."""
    with replica_of(lonely_redis, tmp_path / "other") as other:
        pod = new_pod(lonely_redis.url)
        await pod.bus.start()
        await pod.publish("a", KEPT)
        lonely_redis.do("WAIT", 1, 5000)
        other.do("REPLICAOF", "NO", "ONE")
        await pod.publish("only here", KEPT)
        before, empty, process = await pod.top(), await pod.top(EMPTY), facts(lonely_redis).process
        lonely_redis.do("REPLICAOF", "127.0.0.1", str(other.port))
        await asyncio.to_thread(lonely_redis.await_master)
        lonely_redis.do("REPLICAOF", "NO", "ONE")
        await until(lambda: facts(lonely_redis).former == NO_ID)
        assert facts(lonely_redis).process == process
        await until(lambda: pod.bus.up)
        after = await pod.top()
        assert (before.offset, after.offset) == (2, 1)
        assert after.epoch != before.epoch
        assert (await pod.top(EMPTY)).epoch != empty.epoch


@pytest.mark.parametrize(
    ("field", "value"), [("seen", "1"), ("process", "another"), ("taken", "7"), ("taken", ""), ("seen", "9999999999")]
)
async def test_an_incarnation_that_is_not_proved_to_go_on_makes_new_epochs(
    lonely_redis: RedisServer, new_pod: NewPod, tmp_path: Path, field: str, value: str
) -> None:
    """So it is after a time without any pod, in another process, and where more was taken from a master."""
    pod = new_pod(lonely_redis.url)
    await pod.bus.start()
    await pod.publish("a", KEPT)
    before, empty = await pod.top(), await pod.top(EMPTY)
    lonely_redis.do("HSET", pod.bus.keys.room(ROOM).seed, field, value)
    with replica_of(lonely_redis, tmp_path / "replica"):
        assert (await pod.top()).epoch != before.epoch
        assert (await pod.top(EMPTY)).epoch != empty.epoch


@needs_proof
async def test_a_pod_of_the_release_before_gives_new_epochs_and_no_more(
    lonely_redis: RedisServer, new_pod: NewPod, tmp_path: Path
) -> None:
    """It notes the incarnation and no origin. Pods of this release do not give another epoch because of that."""
    pod = new_pod(lonely_redis.url)
    await pod.bus.start()
    await pod.publish("a", KEPT)
    names = pod.bus.keys.room(ROOM)
    with replica_of(lonely_redis, tmp_path / "replica"):
        lonely_redis.do("HSET", names.meta, "run", facts(lonely_redis).id, "epoch", "given by the old one")
        assert (await pod.top()).epoch == "given by the old one"
        assert (await pod.publish("b", KEPT)).position == Position("given by the old one", 2)


@needs_proof
async def test_only_what_may_have_lost_pods_makes_them_wait_for_each_other(
    lonely_redis: RedisServer, new_pod: NewPod, tmp_path: Path
) -> None:
    """A first replica loses nothing. A master that was a replica meanwhile may have lost pods that had registered."""
    pod = new_pod(lonely_redis.url)
    await pod.bus.start()
    registry = RedisRegistry("one", pod.bus, 600.0)
    await registry.heartbeat(600)
    with pytest.raises(BusLost, match="a moment ago, or is new"):
        await registry.pods()
    lonely_redis.do("HSET", pod.bus.keys.seed(0), "since", "1", "changed", "1")
    await registry.heartbeat(600)
    assert await registry.pods() == ["one"]
    with replica_of(lonely_redis, tmp_path / "replica"):
        await registry.heartbeat(600)
        assert await registry.pods() == ["one"]
        # It keeps all data here, and nothing says so.
        lonely_redis.do("REPLICAOF", "127.0.0.1", str(lonely_redis.port))
        lonely_redis.do("REPLICAOF", "NO", "ONE")
        await until(lambda: pod.bus.up)
        await registry.heartbeat(600)
        with pytest.raises(BusLost, match="a moment ago, or is new"):
            await registry.pods()


async def test_without_info_in_scripts_the_replid_of_the_connection_is_used(own_redis: RedisServer) -> None:
    """Where scripts may not ask for INFO, a new replid in the arguments makes a new epoch."""

    def run(script: bytes, keys: list[str], *arguments: str) -> object:
        return own_redis.do("EVAL", script.replace(b"'INFO'", b"'NOINFO'"), len(keys), *keys, *arguments)

    keys, rest = ["{1}m", "{1}s", "{1}g"], ("60000", "10", "envelope", "channel", "PUBLISH")
    first, again = (run(PUBLISH.text, keys, "replid1", f"new{number}", *rest) for number in range(2))
    assert isinstance(first, list)
    assert again == [first[0], 2]
    assert run(POSITIONS.text, keys[::2], "replid1", "new", "1") == [first[0], 2]
    moved = run(POSITIONS.text, keys[::2], "replid2", "new", "1")
    assert isinstance(moved, list)
    assert moved[0] != first[0]
    assert run(PUBLISH.text, keys, "replid2", "new3", *rest) == [moved[0], 3]
