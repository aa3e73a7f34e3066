"""A pod of the previous release and a pod of this tree are one gateway, as they are during a rollout or a rollback.

Both are processes of their own on one Redis. Every test runs in both directions. The previous release runs its own code
with the packages of this tree's environment, so a red test can also mean that its code does not fit a newer package.
"""

import asyncio
import json
import secrets
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest
import pytest_asyncio

from tests.support import releases
from tests.support.gateway import Client, Pod, call, close_clients, token
from tests.support.local_redis import RedisServer
from tests.support.process import Process
from tests.support.releases import Release

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEADLINE: Final = 20.0
"""Seconds for what another pod does by itself; it has to notice a death first, and the machine may be busy."""
HEARTBEAT: Final = 3.0
"""Seconds between two heartbeats of the pods that most tests share: a third of the lease."""
ROOMS: Final = """
[[rooms]]
pattern = "log.*"
trace = true
[rooms.history]
size = 50
ttl = 60

[[rooms]]
pattern = "@me"
[rooms.history]
size = 10
ttl = 60

[[rooms]]
pattern = "chat.*"
join_leave = true
"""
BOTH: Final = ("previous", "this")
DIRECTIONS: Final = {"previous-to-this": BOTH, "this-to-previous": BOTH[::-1]}

NewPod = Callable[..., AbstractAsyncContextManager[Process]]


@dataclass(frozen=True)
class Pair:
    """Two pods of different releases on one Redis."""

    here: Pod
    there: Pod
    tag: str

    @property
    def pods(self) -> tuple[Pod, Pod]:
        return self.here, self.there

    def name(self, kind: str) -> str:
        """A name of a room, a user or a token that no other test uses."""
        return f"{kind}.{self.tag}"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Release]:
    """The two releases by name."""
    previous = releases.previous(tmp_path_factory.mktemp("previous"))
    if previous is None:
        pytest.skip("git does not have the previous release here: it needs the repository with its history")
    return {"previous": previous, "this": releases.THIS}


@pytest.fixture(scope="module")
def new_gateway(
    both: dict[str, Release], redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], NewPod]:
    """Makes gateways: each is a function that starts pods of a release, all on one prefix of one Redis."""
    rooms = tmp_path_factory.mktemp("rooms") / "rooms.toml"
    rooms.write_text(ROOMS)

    def make() -> NewPod:
        shared = {
            "FORESTAY_BUS_URL": f"{redis.url}?prefix=t{secrets.token_hex(6)}",
            "FORESTAY_ROOMS_FILE": str(rooms),
            "FORESTAY_PRESENCE_LEASE": "3",
            "FORESTAY_DRAIN_WINDOW": "0",
            "FORESTAY_CLOSE_TIMEOUT": "0.1",
        }

        def start(release: str, **environ: str) -> AbstractAsyncContextManager[Process]:
            return both[release].serving(**shared | environ)

        return start

    return make


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(new_gateway: Callable[[], NewPod]) -> AsyncIterator[dict[str, Process]]:
    """One pod of each release that know each other; a user may have two connections, and the oldest yields."""
    start = new_gateway()
    settings = {
        "FORESTAY_PRESENCE_LEASE": f"{3 * HEARTBEAT}",
        "FORESTAY_PRESENCE_GRACE": "0",
        "FORESTAY_MAX_CONNECTIONS_PER_USER": "2",
        "FORESTAY_USER_LIMIT_POLICY": "replace",
        # This release signs its messages. The previous one knows no such setting, and reads them all the same.
        "FORESTAY_BUS_SECRET": secrets.token_hex(32),
    }
    async with together(*(start(one, **settings) for one in BOTH)) as pods:
        await know_each_other(*(process.pod for process in pods))
        yield dict(zip(BOTH, pods, strict=True))


@pytest_asyncio.fixture(params=DIRECTIONS.values(), ids=DIRECTIONS, loop_scope="module")
async def pair(request: pytest.FixtureRequest, running: dict[str, Process]) -> AsyncIterator[Pair]:
    """The running pods, `here` of one release and `there` of the other."""
    here, there = (running[release].pod for release in request.param)
    yield Pair(here, there, secrets.token_hex(4))
    await close_clients()


@asynccontextmanager
async def together(*starting: AbstractAsyncContextManager[Process]) -> AsyncIterator[list[Process]]:
    """Processes that start at the same time, to save some."""
    async with AsyncExitStack() as stack:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(stack.enter_async_context(one)) for one in starting]
        yield [task.result() for task in tasks]


async def know_each_other(*pods: Pod) -> None:
    """Wait until each pod counts on an answer of every other one, and knows of which release they are.

    That takes their heartbeats. A pod that finds a Redis of a few seconds does not say that it knows all pods.
    """
    witness = f"witness.{secrets.token_hex(4)}"
    clients = [await pod.connect(witness) for pod in pods]

    async def all_are_seen() -> bool:
        listed = [(await call(pod, "GET", f"/v1/users/{witness}/connections"))[1] for pod in pods]
        return all(one["complete"] and len(connections(one)) == len(pods) for one in listed)

    async def epochs_are_shared() -> bool:
        # This release gives a new room an epoch of which releases before know nothing, until it has seen their pods.
        for order in (clients, clients[::-1]):
            room = f"log.{secrets.token_hex(4)}"
            joined = [await client.ask({"type": "join", "room": room}) for client in order]
            for client in order:
                await client.ask({"type": "leave", "room": room})
            if len({one["payload"]["epoch"] for one in joined}) > 1:
                return False
        return True

    await until(all_are_seen)
    await until(epochs_are_shared)
    for client in clients:
        await client.close()


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again until `true`, with a deadline."""
    async with asyncio.timeout(DEADLINE):
        while not await true():
            await asyncio.sleep(0.05)


def connections(answer: dict[str, object]) -> list[dict[str, Any]]:
    listed = answer["connections"]
    assert isinstance(listed, list)
    return listed


def broadcast(room: str, payload: object, **fields: object) -> dict[str, object]:
    return {"type": "broadcast", "room": room, "payload": payload} | fields


async def publish(client: Client, room: str, payload: object, **fields: object) -> dict[str, Any]:
    """Publish to a room that `client` is in and that echoes; the position."""
    await client.say(broadcast(room, payload, id="1", **fields))
    heard = {one["type"]: one for one in [await client.hear(), await client.hear()]}
    assert heard["broadcast"]["payload"] == payload
    position: dict[str, Any] = heard["ack"]["payload"]
    return position


async def test_messages_reach_the_room_on_both_pods_in_one_order(pair: Pair) -> None:
    """Members on both pods hear the same order while both speak, text and binary."""
    room = pair.name("plain")
    alice, bob = await pair.here.join("alice", room), await pair.there.join("bob", room)
    for number in range(20):
        await alice.say(broadcast(room, f"alice {number}"))
        await bob.say(broadcast(room, f"bob {number}"))
        await alice.send(b"\x82\x88\0\0\0\0\0\0\0\7" + f"{number:04}".encode())
    heard = [[await client.raw() for _ in range(60)] for client in (alice, bob)]
    assert heard[0] == heard[1]
    assert [one[4:] for one in heard[1] if one.startswith(b"\0\0\0\7")] == [b"%04d" % number for number in range(20)]
    texts = [json.loads(one) for one in heard[1] if one.startswith(b"{")]
    for user in ("alice", "bob"):
        assert [one["payload"] for one in texts if one["from"] == user] == [f"{user} {n}" for n in range(20)]


async def test_a_message_without_echo_reaches_all_but_its_sender(pair: Pair) -> None:
    """The other pod delivers it, and the sender's own pod to its other members."""
    room = pair.name("plain")
    alice, bob, carol = [
        await pod.join(user, room) for pod, user in ((pair.here, "alice"), (pair.there, "bob"), (pair.here, "carol"))
    ]
    await alice.say(broadcast(room, 1, echo=False), broadcast(room, 2))
    assert [(await client.hear("broadcast"))["payload"] for client in (bob, bob, carol, carol)] == [1, 2, 1, 2]
    assert (await alice.hear("broadcast"))["payload"] == 2


async def test_what_was_missed_is_recovered_on_the_other_pod(pair: Pair) -> None:
    """`since` brings the missed messages in order and then live ones; a history page has the same messages."""
    room = pair.name("log")
    alice = await pair.here.join("alice", room)
    places = [await publish(alice, room, number) for number in range(5)]
    bob = await pair.there.connect("bob")
    joined = await bob.ask({"type": "join", "room": room, "since": places[1]})
    assert joined["payload"] == {"recovered": True} | places[4]
    assert [(await bob.hear("broadcast"))["payload"] for _ in range(3)] == [2, 3, 4]
    place = await publish(bob, room, 5)
    assert place == places[4] | {"offset": places[4]["offset"] + 1}
    heard = await alice.hear("broadcast")
    assert (heard["payload"], heard["from"], heard["offset"]) == (5, "bob", place["offset"])
    for client in (alice, bob):
        page = await client.ask({"type": "history", "room": room, "since": places[2]})
        assert [(one["payload"], one["from"]) for one in page["payload"]["messages"]] == [
            (3, "alice"),
            (4, "alice"),
            (5, "bob"),
        ]


async def test_a_key_is_published_once_on_both_pods(pair: Pair) -> None:
    """The other pod gives a retry with the same key the first answer, and publishes nothing."""
    room = pair.name("log")
    bob = await pair.there.join("bob", room)
    body = b'{"payload": "once", "key": "k"}'
    answers = [await call(pod, "POST", f"/v1/rooms/{room}/messages", body) for pod in pair.pods]
    assert answers[0] == answers[1]
    assert answers[0][0] == 200
    assert (await bob.hear("broadcast"))["payload"] == "once"
    assert await bob.silent()


async def test_the_release_before_hears_events_as_plain_messages(pair: Pair) -> None:
    """It shows no name, and takes the arguments as the payload; this release has the name, live and in the history."""
    room = pair.name("log")
    members = [await pod.join("bob", room) for pod in pair.pods]
    body = b'{"event": "chat message", "payload": ["hi", 1]}'
    alice = await pair.here.connect("alice")
    await alice.say(broadcast(room, ["hi", 1], event="chat message"))
    for pod in pair.pods:
        assert (await call(pod, "POST", f"/v1/rooms/{room}/messages", body))[0] == 200
    heard = [[await client.hear("broadcast") for _ in range(3)] for client in members]
    assert [[one["payload"] for one in each] for each in heard] == [[["hi", 1]] * 3] * 2
    assert {one.get("event") for each in heard for one in each} == {None, "chat message"}
    pages = [await client.ask({"type": "history", "room": room}) for client in members]
    assert [[one["payload"] for one in page["payload"]["messages"]] for page in pages] == [[["hi", 1]] * 3] * 2


async def test_a_trace_context_reaches_the_other_pod(pair: Pair) -> None:
    """A member there receives the sender's `traceparent`, live and with `since`."""
    room, sent = pair.name("log"), f"00-{'ab' * 16}-{'cd' * 8}-01"
    alice, bob = await pair.here.join("alice", room), await pair.there.join("bob", room)
    first = await publish(alice, room, 1)
    await publish(alice, room, 2, traceparent=sent)
    late = await pair.there.connect("late")
    await late.ask({"type": "join", "room": room, "since": first})
    await bob.hear("broadcast")
    for client in (bob, late):
        assert (await client.hear("broadcast"))["traceparent"].split("-")[1] == "ab" * 16


async def test_a_users_messages_reach_its_connections_on_both_pods(pair: Pair) -> None:
    """Also one that joins later with `since`."""
    user = pair.name("alice")
    clients = [await pod.join(user, "@me") for pod in pair.pods]
    _, place = await call(pair.here, "POST", f"/v1/users/{user}/messages", b'{"payload": "first"}')
    await call(pair.there, "POST", f"/v1/users/{user}/messages", b'{"payload": "second"}')
    for client in clients:
        assert [(await client.hear("broadcast"))["payload"] for _ in range(2)] == ["first", "second"]
    await clients[1].say({"type": "leave", "room": "@me"}, {"type": "join", "room": "@me", "since": place})
    await clients[1].hear("left")
    assert (await clients[1].hear("joined"))["payload"]["recovered"] is True
    assert (await clients[1].hear("broadcast"))["payload"] == "second"


async def test_presence_counts_the_members_on_both_pods(pair: Pair) -> None:
    """`joined`, `presence` and the API show users of both pods, and both pods hear who joins and leaves."""
    room = pair.name("chat")
    alice = await pair.here.join("alice", room, info={"name": "Alice"})
    bob = await pair.there.connect("bob")
    joined = await bob.ask({"type": "join", "room": room})
    members = [{"user": "alice", "info": {"name": "Alice"}, "connections": 1}, {"user": "bob", "connections": 1}]
    assert joined["payload"]["members"] == {"count": 2, "users": 2, "members": members}
    assert (await alice.hear("user-joined"))["payload"] == {"user": "bob"}
    other = await pair.here.join("carol", room)
    assert (await bob.hear("user-joined"))["payload"] == {"user": "carol"}
    page = await bob.ask({"type": "presence", "room": room, "limit": 1})
    assert page["payload"] == {"count": 3, "users": 3, "members": members[:1], "next": "alice"}
    for pod in pair.pods:
        status, listed = await call(pod, "GET", f"/v1/rooms/{room}/presence?after=alice")
        assert status == 200
        assert listed["members"] == [members[1], {"user": "carol", "connections": 1}]
    await other.close()
    assert (await bob.hear("user-left"))["payload"] == {"user": "carol"}
    await bob.say({"type": "leave", "room": room})
    assert [(await alice.hear())["payload"]["user"] for _ in range(3)] == ["carol", "carol", "bob"]


async def test_the_oldest_connection_yields_on_the_other_pod(pair: Pair) -> None:
    """The pod of the new connection counts those on both, and the pod of the oldest ends it with 4409."""
    user = pair.name("alice")
    oldest, older = await pair.there.connect(user), await pair.here.connect(user)
    newest = await pair.here.connect(user)
    assert (await oldest.ended()).code == 4409
    assert await older.silent()
    assert await newest.silent()


async def test_a_revoked_token_is_refused_by_both_pods(pair: Pair) -> None:
    """Its connections are ended with 4403 on both pods, and others of the user are not."""
    user, revoked = pair.name("alice"), pair.name("token")
    mine = [await pod.connect(user, jti=revoked) for pod in pair.pods]
    other = await pair.there.connect("bob", jti=pair.name("other"))
    assert await call(pair.here, "POST", "/v1/revocations", json.dumps({"jti": revoked}).encode()) == (200, {})
    assert [(await client.ended()).code for client in mine] == [4403, 4403]
    for pod in pair.pods:
        assert (await Client.open_or_refused(pod.port, token(user, jti=revoked))).status == 401
    assert await other.silent()


async def test_a_revocation_does_not_wait_for_a_heartbeat(pair: Pair) -> None:
    """The other pod understands the message about it: five in turn take less time than three heartbeats."""
    async with asyncio.timeout(3 * HEARTBEAT):
        for number in range(5):
            revoked = pair.name(f"token-{number}")
            client = await pair.there.connect("alice", jti=revoked)
            await call(pair.here, "POST", "/v1/revocations", json.dumps({"jti": revoked}).encode())
            assert (await client.ended()).code == 4403


async def test_a_revoked_user_is_refused_by_both_pods(pair: Pair) -> None:
    """Connections of all the user's tokens are ended with 4403; a token that is issued later is accepted."""
    user = pair.name("alice")
    mine = [await pod.connect(user) for pod in pair.pods]
    assert await call(pair.here, "POST", "/v1/revocations", json.dumps({"user": user}).encode()) == (200, {})
    assert [(await client.ended()).code for client in mine] == [4403, 4403]
    for pod in pair.pods:
        assert (await Client.open_or_refused(pod.port, token(user))).status == 401
        later = token(user, iat=time.time() + 5)
        assert (await Client.open_or_refused(pod.port, later)).status == 101


async def test_a_users_connections_are_listed_and_ended_on_both_pods(pair: Pair) -> None:
    """The pod that is asked gets the answer of the other one, which ends its connections with 4403."""
    user, room = pair.name("alice"), pair.name("plain")
    clients = [await pod.join(user, room) for pod in pair.pods]
    status, listed = await call(pair.here, "GET", f"/v1/users/{user}/connections")
    assert (status, listed["complete"]) == (200, True)
    assert [one["rooms"] for one in connections(listed)] == [[room], [room]]
    assert len({one["pod"] for one in connections(listed)}) == 2
    ended = await call(pair.here, "DELETE", f"/v1/users/{user}/connections")
    assert ended == (200, {"ended": 2, "complete": True})
    assert [(await client.ended()).code for client in clients] == [4403, 4403]


async def test_open_rooms_of_both_pods_are_listed(pair: Pair) -> None:
    """With the members on both pods together."""
    rooms = [pair.name(kind) for kind in ("list-a", "list-b", "list-c")]
    for pod, room in zip((*pair.pods, *pair.pods), (rooms[0], rooms[1], rooms[1], rooms[2]), strict=True):
        await pod.join("alice" if room == rooms[1] else "bob", room)
    status, listed = await call(pair.here, "GET", "/v1/rooms?limit=1000")
    assert (status, listed["complete"]) == (200, True)
    assert isinstance(listed["rooms"], list)
    counted = {one["room"]: one["members"] for one in listed["rooms"]}
    assert [counted[room] for room in rooms] == [1, 2, 1]


@pytest.mark.parametrize(("first", "second"), DIRECTIONS.values(), ids=DIRECTIONS)
async def test_a_pod_takes_over_from_one_that_drains(
    new_gateway: Callable[[], NewPod], first: str, second: str
) -> None:
    """A rollout: a pod that starts later has the messages and revocations, and a client that moves is no news."""
    start, grace = new_gateway(), {"FORESTAY_PRESENCE_GRACE": "3"}
    async with start(first, **grace) as leaving:
        bob = await leaving.pod.join("bob", "log.a")
        places = [await publish(bob, "log.a", number) for number in range(3)]
        assert await call(leaving.pod, "POST", "/v1/revocations", b'{"jti": "t1"}') == (200, {})
        async with start(second, **grace) as coming:
            await know_each_other(leaving.pod, coming.pod)
            alice = await coming.pod.join("alice", "chat.a")
            await bob.ask({"type": "join", "room": "chat.a"})
            assert (await alice.hear("user-joined"))["payload"] == {"user": "bob"}
            assert (await Client.open_or_refused(coming.pod.port, token("mallory", jti="t1"))).status == 401
            ending = asyncio.ensure_future(leaving.end(signal.SIGTERM))
            assert (await bob.hear("reconnect"))["payload"]["reason"] == "draining"
            assert (await bob.ended()).code == 1001
            bob = await coming.pod.join("bob", "chat.a")
            joined = await bob.ask({"type": "join", "room": "log.a", "since": places[0]})
            assert joined["payload"] == {"recovered": True} | places[2]
            assert [(await bob.hear("broadcast"))["payload"] for _ in range(2)] == [1, 2]
            assert await ending == 0, leaving.log

            async def is_alone() -> bool:
                # A pod that stopped is counted for the grace; after that it is reaped.
                _, page = await call(coming.pod, "GET", "/v1/rooms/chat.a/presence")
                return page["count"] == 2

            await until(is_alone)
            assert await alice.silent()


@pytest.mark.parametrize(("first", "second"), DIRECTIONS.values(), ids=DIRECTIONS)
async def test_a_pod_reaps_one_that_was_killed(new_gateway: Callable[[], NewPod], first: str, second: str) -> None:
    """Its users leave, and their places below the limit are free."""
    start = new_gateway()
    limit = {"FORESTAY_MAX_CONNECTIONS_PER_USER": "1", "FORESTAY_PRESENCE_GRACE": "0"}
    async with together(start(first, **limit), start(second, **limit)) as (here, dying):
        alice = await here.pod.join("alice", "chat.a")
        await dying.pod.join("bob", "chat.a")
        assert (await alice.hear("user-joined"))["payload"] == {"user": "bob"}
        refused = await Client.open(here.pod.port, token("bob"))
        assert (await refused.ended()).code == 4409
        await dying.end(signal.SIGKILL)
        assert (await alice.hear("user-left"))["payload"] == {"user": "bob"}
        bob = await here.pod.join("bob", "chat.a")
        assert (await alice.hear("user-joined"))["payload"] == {"user": "bob"}
        assert await bob.silent()
        status, page = await call(here.pod, "GET", "/v1/rooms/chat.a/presence")
        assert (status, page["count"]) == (200, 2)

        async def answers_are_complete() -> bool:
            return (await call(here.pod, "GET", "/v1/users/bob/connections"))[1]["complete"] is True

        # A pod of this release is not sure of the others in the first ten seconds of an installation.
        await until(answers_are_complete)
