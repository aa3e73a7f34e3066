"""The contract of the Registry port, tested with every registry."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from forestay.bus.memory.bus import Exchange, MemoryBus
from forestay.bus.memory.registry import MemoryRegistry, RegistryState
from forestay.bus.redis.bus import BusLimits, RedisBus
from forestay.bus.redis.client.connection import pack
from forestay.bus.redis.evaluation import write
from forestay.bus.redis.registry import RedisRegistry
from forestay.core.ports.bus import Bus, BusLost, Outcome
from forestay.core.ports.registry import HeartbeatReply, Registry, Revocation
from forestay.core.ports.verifier import TicketUse
from forestay.protocol.message import Kind, Message
from forestay.protocol.names import RoomName, personal_room
from forestay.protocol.presence import Member, PresencePage
from tests.support.gateway import PATIENCE
from tests.support.local_redis import Road, rights
from tests.support.subscriber import FunctionSubscriber
from tests.support.tasks import PlainTasks

ROOM, OTHER = RoomName("chat.lobby"), RoomName("chat.garden")
SHORT = 0.2
"""Seconds for which a ticket may open something."""


class Pod:
    """The registry of one pod, and the news that the pod has received."""

    def __init__(self, name: str, bus: Bus, registry: Registry) -> None:
        self.name = name
        self.bus = bus
        self.registry = registry
        self.news: list[tuple[str, str | None]] = []

    def _heard(self, message: Message) -> None:
        self.news.append((message.kind, message.sender))

    async def listen(self, room: RoomName = ROOM) -> None:
        confirmed = asyncio.Event()
        self.bus.subscribe(room, FunctionSubscriber(confirmed.set, self._heard))
        await confirmed.wait()

    async def put(self, user: str, connections: int, room: RoomName = ROOM, info: bytes | None = None) -> Outcome:
        settled: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        kind = Kind.USER_JOINED if connections else Kind.USER_LEFT
        news = Message(room, b"{}", "now", sender=user, kind=kind)
        self.registry.put(Member(user, connections, info), room, news, settled.set_result)
        return await settled

    async def release(self, user: str, connection: str) -> Outcome:
        settled: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.registry.release(user, connection, settled.set_result)
        return await settled

    async def hears(self, *news: tuple[str, str]) -> None:
        async with asyncio.timeout(10):
            while len(self.news) < len(news):
                await asyncio.sleep(0.005)
        assert self.news == list(news)


NewPod = Callable[[str], Awaitable[Pod]]


@pytest.fixture(params=["memory", "redis", "valkey", "tls", "cluster"])
async def new_pod(request: pytest.FixtureRequest) -> AsyncIterator[NewPod]:
    """Makes pods that share a registry of each kind, with a prefix of their own."""
    exchange, state, prefix = Exchange(), RegistryState(), f"t{secrets.token_hex(6)}"
    url, road = "", None
    if request.param != "memory":
        server = request.getfixturevalue(request.param)
        url = f"{server.url}?prefix={prefix}"
    if request.param == "tls":
        authority = request.getfixturevalue("authority")
        server.do("ACL", "SETUSER", prefix, "on", ">pw", *rights(prefix))
        road = Road(server.port, authority.tls())
        await road.open()
        url = f"rediss://{prefix}:pw@127.0.0.1:{road.port}?prefix={prefix}&ca={authority.ca}"
    pods: list[Pod] = []

    async def make(name: str) -> Pod:
        if url:
            redis = RedisBus(
                url,
                limits=BusLimits(30, 5),
                observer=None,
                new_id=lambda: secrets.token_urlsafe(9),
                tasks=PlainTasks(),
            )
            pods.append(Pod(name, redis, RedisRegistry(name, redis, 0.0)))
        else:
            memory = MemoryBus(exchange)
            pods.append(Pod(name, memory, MemoryRegistry(name, memory, state)))
        await pods[-1].bus.start()
        return pods[-1]

    yield make
    for pod in pods:
        await pod.bus.close()
    if road is not None:
        await road.close()


def counts(page: PresencePage) -> list[tuple[str, int]]:
    return [(member.user, member.connections) for member in page.members]


async def test_presence_is_the_sum_of_all_pods(new_pod: NewPod) -> None:
    """Connections add up, users are counted once, and a repeated `put` changes nothing."""
    one, two = await new_pod("one"), await new_pod("two")
    for _ in range(2):
        await one.put("ada", 2, info=b'{"name":"Ada"}')
        await two.put("ada", 1)
        await two.put("bob", 1)
    await one.put("zoe", 1, OTHER)
    page = await two.registry.presence_page(ROOM, None, 10)
    assert (page.connections, page.users, page.more) == (4, 2, False)
    assert counts(page) == [("ada", 3), ("bob", 1)]
    assert page.members[0].info == b'{"name":"Ada"}'
    assert page.members[1].info is None


async def test_a_room_after_its_last_member_is_empty(new_pod: NewPod) -> None:
    """A room is empty once the last connection has left, on whatever pod that was."""
    one, two = await new_pod("one"), await new_pod("two")
    await one.put("ada", 1)
    await two.put("ada", 3)
    await one.put("ada", 0)
    await one.put("ada", 0)
    assert counts(await one.registry.presence_page(ROOM, None, 10)) == [("ada", 3)]
    await two.put("ada", 0)
    assert await one.registry.presence_page(ROOM, None, 10) == PresencePage(0, 0, [], more=False)


async def test_a_large_room_is_read_in_pages(new_pod: NewPod) -> None:
    """Pages are in the order of the bytes of the names, whatever the names are."""
    pod = await new_pod("one")
    users = sorted(["a", "B", "ä", "a b", "{x}", "(", "[", "-", "+", *(f"user {n}" for n in range(20))], key=str.encode)
    for user in users:
        await pod.put(user, 1)
    found: list[str] = []
    after: str | None = None
    while True:
        page = await pod.registry.presence_page(ROOM, after, 7)
        found += [member.user for member in page.members]
        assert page.users == len(users)
        if not page.more:
            break
        after = found[-1]
    assert found == users


async def test_a_page_of_members_ends_where_its_budget_does(new_pod: NewPod) -> None:
    """What members show of themselves counts in bytes, and a page has one member whatever `max_bytes` says."""
    pod = await new_pod("one")
    users = [f"user-{number:02}" for number in range(20)]
    for user in users:
        await pod.put(user, 1, info=b'"' + b"x" * 1000 + b'"')
    page = await pod.registry.presence_page(ROOM, None, 15, 5500)
    alone = await pod.registry.presence_page(ROOM, users[3], 15, 10)
    last = await pod.registry.presence_page(ROOM, users[-2], 15, 10)
    names = [member.user for member in page.members]
    assert names == users[: len(names)]
    assert 4 <= len(names) <= 5
    assert (page.more, page.users, page.connections) == (True, 20, 20)
    assert ([member.user for member in alone.members], alone.more) == (users[4:5], True)
    assert ([member.user for member in last.members], last.more) == (users[-1:], False)


async def test_news_is_published_once_for_a_user(new_pod: NewPod) -> None:
    """News comes with the first connection of a user on any pod, and with the last one on all pods."""
    one, two = await new_pod("one"), await new_pod("two")
    await one.listen()
    for pod, connections in ((one, 1), (one, 2), (two, 1), (one, 0), (two, 2), (two, 0), (two, 0)):
        await pod.put("ada", connections)
    await two.put("bob", 1)
    await one.hears(("user-joined", "ada"), ("user-left", "ada"), ("user-joined", "bob"))


async def test_a_limit_holds_on_all_pods_together(new_pod: NewPod) -> None:
    """A connection counts until it is released, and the same one counts once."""
    one, two = await new_pod("one"), await new_pod("two")
    assert (await one.registry.claim("ada", "c1", 2, replace=False)).granted
    assert (await two.registry.claim("ada", "c2", 2, replace=False)).granted
    assert (await two.registry.claim("ada", "c2", 2, replace=False)).granted
    assert not (await one.registry.claim("ada", "c3", 2, replace=False)).granted
    assert (await one.registry.claim("bob", "c4", 2, replace=False)).granted
    assert await two.release("ada", "c2") is Outcome.ACCEPTED
    assert (await one.registry.claim("ada", "c3", 2, replace=False)).granted


async def test_a_claim_can_replace_the_oldest_connection(new_pod: NewPod) -> None:
    """The oldest connections are named, on whatever pod they are, and do not count any more."""
    one, two = await new_pod("one"), await new_pod("two")
    for number, pod in enumerate((one, two, one)):
        await pod.registry.claim("ada", f"c{number}", 0, replace=True)
    claim = await two.registry.claim("ada", "c3", 2, replace=True)
    assert (claim.granted, list(claim.yielding)) == (True, ["c0", "c1"])
    claim = await two.registry.claim("ada", "c4", 2, replace=True)
    assert list(claim.yielding) == ["c2"]


async def test_claims_at_once_do_not_pass_the_limit(new_pod: NewPod) -> None:
    """Claims of several pods at the same moment stay within the limit together."""
    pods = [await new_pod(name) for name in ("one", "two", "three")]
    claims = [pods[n % 3].registry.claim("ada", f"c{n}", 5, replace=False) for n in range(30)]
    assert sum(claim.granted for claim in await asyncio.gather(*claims)) == 5


async def test_pods_know_how_many_connections_each_has(new_pod: NewPod) -> None:
    """A heartbeat returns the number of each pod at its last heartbeat, without pods that retired."""
    one, two, three = [await new_pod(name) for name in ("one", "two", "three")]
    await one.registry.heartbeat(30, 100)
    await three.registry.heartbeat(30, 7)
    assert (await two.registry.heartbeat(30, 40)).load == {"one": 100, "two": 40, "three": 7}
    assert (await one.registry.heartbeat(30, 90)).load == {"one": 90, "two": 40, "three": 7}
    await one.registry.retire(5)
    await three.registry.retire(0)
    assert (await two.registry.heartbeat(30, 41)).load == {"two": 41}


async def expired(pod: Pod) -> HeartbeatReply:
    """The reply to the first heartbeat of `pod` that names a pod whose lease has ended."""
    async with asyncio.timeout(PATIENCE):
        while not (reply := await pod.registry.heartbeat(30)).expired:
            await asyncio.sleep(0.01)
    return reply


async def test_a_pod_without_heartbeats_is_reaped(new_pod: NewPod) -> None:
    """The users of a pod whose lease has ended leave once, and its connections do not count any more."""
    dead, alive = await new_pod("dead"), await new_pod("alive")
    assert not (await dead.registry.heartbeat(0.05)).known
    await alive.registry.heartbeat(30)
    await alive.listen()
    await dead.put("ada", 1)
    await dead.put("bob", 2)
    await alive.put("bob", 1)
    await dead.put("eve", 1, OTHER)
    await dead.put("me", 1, personal_room("x}:y"))
    await dead.registry.claim("ada", "c1", 1, replace=False)
    reply = await expired(alive)
    assert (reply.known, list(reply.pods), list(reply.expired)) == (True, ["alive"], ["dead"])
    gone = await alive.registry.reap("dead")
    assert sorted(gone) == sorted([(ROOM, "ada"), (OTHER, "eve"), (personal_room("x}:y"), "me")])
    assert await alive.registry.reap("dead") == []
    page = await alive.registry.presence_page(ROOM, None, 10)
    assert (page.connections, counts(page)) == (1, [("bob", 1)])
    assert (await alive.registry.claim("ada", "c2", 1, replace=False)).granted
    assert list((await alive.registry.heartbeat(30)).expired) == []
    assert not (await dead.registry.heartbeat(30)).known


async def test_a_pod_that_retires_is_counted_for_a_grace(new_pod: NewPod) -> None:
    """With a grace its lease ends then; without one nothing of it is left."""
    one, two = await new_pod("one"), await new_pod("two")
    for pod in (one, two):
        await pod.registry.heartbeat(30)
        await pod.put(pod.name, 1)
    await one.registry.retire(0)
    assert counts(await two.registry.presence_page(ROOM, None, 10)) == [("two", 1)]
    await two.registry.retire(0.05)
    assert list((await expired(one)).expired) == ["two"]


async def test_a_pod_is_registered_from_its_first_heartbeat_until_it_retires_or_is_reaped(new_pod: NewPod) -> None:
    """Every other pod finds it at once. One whose lease has ended may still have connections, until it is reaped."""
    one, two, three = await new_pod("one"), await new_pod("two"), await new_pod("three")
    await one.registry.heartbeat(30)
    assert await one.registry.pods() == ["one"]
    await two.registry.heartbeat(30)
    await three.registry.heartbeat(0.01)
    await asyncio.sleep(0.05)
    assert sorted(await one.registry.pods()) == ["one", "three", "two"]
    await two.registry.retire(30)
    assert sorted(await one.registry.pods()) == ["one", "three"]
    await one.registry.reap("three")
    assert await one.registry.pods() == ["one"]


@pytest.mark.parametrize("new_pod", ["redis", "cluster"], indirect=True)
async def test_a_registry_that_lost_its_data_does_not_name_the_pods(new_pod: NewPod) -> None:
    """A pod that has not come back to it would be missing. After the next heartbeat of the asking pod it names them."""
    one, two = await new_pod("one"), await new_pod("two")
    for pod in (one, two):
        with pytest.raises(BusLost):
            await pod.registry.pods()
        await pod.registry.heartbeat(30)
    assert isinstance(one.registry, RedisRegistry)
    keys = one.registry._keys
    for key in (keys.seed(0), keys.load(), keys.leases()):
        assert await write(one.registry._bus, 0, pack(b"DEL", key)) == 1
    for _ in range(2):
        with pytest.raises(BusLost):
            await one.registry.pods()
        await two.registry.heartbeat(30)
    assert (await one.registry.heartbeat(30)).lost_memory
    assert sorted(await one.registry.pods()) == ["one", "two"]


async def test_a_revocation_is_learned_once_by_every_pod(new_pod: NewPod) -> None:
    """Each pod gets a revocation with its next heartbeat, once, and new pods get all that have not ended."""
    one, two = await new_pod("one"), await new_pod("two")
    await one.registry.heartbeat(30)
    first = Revocation(jti="t1", until=time.time() + 60)
    second = Revocation(user="ada", before=5.5, until=time.time() + 60)
    await two.registry.revoke(first)
    assert list((await one.registry.heartbeat(30)).revocations) == [first]
    await two.registry.revoke(second)
    assert list((await one.registry.heartbeat(30)).revocations) == [second]
    assert list((await one.registry.heartbeat(30)).revocations) == []
    assert list((await two.registry.heartbeat(30)).revocations) == [first, second]
    assert list((await (await new_pod("three")).registry.heartbeat(30)).revocations) == [first, second]


async def test_a_revocation_that_has_ended_is_dropped_with_the_next_one(new_pod: NewPod) -> None:
    """So the number that is kept is that of the revocations in force, and not of all that ever were."""
    one = await new_pod("one")
    lasting = Revocation(jti="lasting", until=time.time() + 60)
    for number in range(50):
        await one.registry.revoke(Revocation(jti=f"t{number}", until=time.time() - 5))
    await one.registry.revoke(lasting)
    assert list((await one.registry.heartbeat(30)).revocations) == [lasting]
    assert list((await (await new_pod("two")).registry.heartbeat(30)).revocations) == [lasting]


async def test_recall_returns_the_entries_of_the_pod(new_pod: NewPod) -> None:
    """Recall returns the users and connections of this pod, and none of other pods."""
    one, two = await new_pod("one"), await new_pod("two")
    await one.put("ada", 2)
    await one.put("bob", 1, OTHER)
    await two.put("ada", 1)
    await two.put("eve", 1)
    for pod, connection in ((one, "c1"), (one, "c2"), (two, "c3")):
        await pod.registry.claim("ada", connection, 0, replace=False)
    recalled = await one.registry.recall()
    assert sorted(recalled.presence) == sorted([(ROOM, "ada"), (OTHER, "bob")])
    assert sorted(recalled.claims) == [("ada", "c1"), ("ada", "c2")]
    assert (await (await new_pod("three")).registry.recall()).presence == []


async def test_a_ticket_is_used_once(new_pod: NewPod) -> None:
    """On any pod. A look leaves it as it is, and so do all ways in which it may not be used."""
    one, two = (await new_pod("one")).registry, (await new_pod("two")).registry
    await one.keep_ticket("aa", b"held", 30.0, 3600.0)
    assert await two.use_ticket("bb", TicketUse.CONNECT, "") is None
    assert await two.use_ticket("aa", TicketUse.RESUME, "secret") is None
    assert await two.use_ticket("aa", TicketUse.RESUME, "") is None
    assert await two.use_ticket("aa", TicketUse.LOOK, "") == b"held"
    answers = await asyncio.gather(*(each.use_ticket("aa", TicketUse.CONNECT, "") for each in (one, two, one)))
    assert sorted(answers, key=str) == [None, None, b"held"]
    assert await one.use_ticket("aa", TicketUse.LOOK, "") is None


async def test_a_ticket_of_a_stream_stays_for_its_secret(new_pod: NewPod) -> None:
    """For the longest time, which begins with the ticket. Nothing else opens anything with it."""
    one, two = (await new_pod("one")).registry, (await new_pod("two")).registry
    await open_stream(one, two, "aa", 3600.0)
    await asyncio.sleep(1.1 * SHORT)
    for use, secret in ((TicketUse.CONNECT, ""), (TicketUse.STREAM, "secret"), (TicketUse.LOOK, "secret")):
        assert await one.use_ticket("aa", use, secret) is None
    assert await one.use_ticket("aa", TicketUse.RESUME, "other") is None
    for each in (one, two):
        assert await each.use_ticket("aa", TicketUse.RESUME, "secret") == b"held"
    await open_stream(one, two, "bb", SHORT)
    async with asyncio.timeout(PATIENCE):
        while await one.use_ticket("bb", TicketUse.RESUME, "secret") is not None:
            await asyncio.sleep(0.02)


async def open_stream(one: Registry, two: Registry, ticket: str, longest: float) -> None:
    """Keep a ticket for a short time, and open a stream with it. Where the machine stood still, do so again."""
    for _ in range(10):
        began = time.monotonic()
        await one.keep_ticket(ticket, b"held", SHORT, longest)
        held = await two.use_ticket(ticket, TicketUse.STREAM, "secret")
        if held is not None or time.monotonic() - began < SHORT:
            break
    assert held == b"held"


async def test_an_unused_ticket_ends(new_pod: NewPod) -> None:
    """And what is kept of those that have ended goes with the next one."""
    pod = await new_pod("one")
    await pod.registry.keep_ticket("aa", b"held", 0.05, 3600.0)
    await asyncio.sleep(0.1)
    assert await pod.registry.use_ticket("aa", TicketUse.STREAM, "secret") is None
    await pod.registry.keep_ticket("bb", b"held", 30.0, 30.0)
    if isinstance(pod.registry, MemoryRegistry):
        assert list(pod.registry._state.tickets) == ["bb"]
