"""Several pods on one Redis are one gateway to those who are connected to it."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Client, Gateway, call, gateway, token
from tests.support.local_redis import RedisServer

ROOMS = """
[[rooms]]
pattern = "log.*"
[rooms.history]
size = 10
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

NewPod = Callable[..., Awaitable[Gateway]]


@pytest.fixture
async def new_pod(redis: RedisServer, tmp_path: Path) -> AsyncIterator[NewPod]:
    """Makes pods of one gateway, with rooms as above."""
    rooms = tmp_path / "rooms.toml"
    rooms.write_text(ROOMS)
    url = f"{redis.url}?prefix=t{secrets.token_hex(6)}"
    async with AsyncExitStack() as stack:

        async def make(**given: object) -> Gateway:
            values = {"bus_url": url, "rooms_file": str(rooms), "presence_grace": 0} | given
            pod: Gateway = await stack.enter_async_context(gateway(**values))
            # The others learn of it with their next sign of life.
            for other in pods:
                await other.running._pod.heartbeat.send()
            pods.append(pod)
            return pod

        pods: list[Gateway] = []
        yield make


async def test_a_message_reaches_the_room_on_every_pod(new_pod: NewPod) -> None:
    """Text and binary in one order; `echo: false` leaves out the sender and nobody else."""
    one, two = await new_pod(), await new_pod()
    alice, bob = await one.join("alice", "plain"), await two.join("bob", "plain")
    await alice.say({"type": "broadcast", "room": "plain", "payload": 1, "echo": False})
    await alice.send(b"\x82\x88\0\0\0\0\0\0\0\x07data")
    await alice.say({"type": "broadcast", "room": "plain", "payload": 2})
    heard = [await bob.raw() for _ in range(3)]
    assert heard[1] == b"\0\0\0\x07data"
    assert [b'"payload":1' in heard[0], b'"payload":2' in heard[2]] == [True, True]
    assert await alice.raw() == b"\0\0\0\x07data"
    assert (await alice.hear("broadcast"))["payload"] == 2


async def test_what_was_missed_is_had_from_any_pod(new_pod: NewPod) -> None:
    """Whoever comes back with `since` hears the rest in order and goes on live, or is told that it cannot."""
    one, two = await new_pod(), await new_pod()
    alice = await one.join("alice", "log.a")
    acks = [await ack(alice, n) for n in range(5)]
    bob = await two.connect("bob")
    joined = await bob.ask({"type": "join", "room": "log.a", "since": acks[1]})
    assert joined["payload"] == {"recovered": True} | acks[4]
    assert [(await bob.hear("broadcast"))["payload"] for _ in range(3)] == [2, 3, 4]
    await ack(alice, 5)
    assert (await bob.hear("broadcast"))["payload"] == 5
    for number in range(20):
        await ack(alice, number)
    late = await two.connect("late")
    joined = await late.ask({"type": "join", "room": "log.a", "since": acks[1]})
    assert joined["payload"]["recovered"] is False
    assert await late.silent()
    page = await late.ask({"type": "history", "room": "log.a", "limit": 3})
    assert [one["payload"] for one in page["payload"]["messages"]] == [17, 18, 19]
    assert page["payload"]["more"] is True


async def ack(client: Client, payload: object, **fields: object) -> dict[str, Any]:
    """Say something to the log that is heard back; where it stands."""
    await client.say({"type": "broadcast", "room": "log.a", "payload": payload, "id": "1", **fields})
    answers = {heard["type"]: heard for heard in [await client.hear(), await client.hear()]}
    position: dict[str, Any] = answers["ack"]["payload"]
    return position


async def test_the_same_key_is_one_message_on_whatever_pod(new_pod: NewPod) -> None:
    """A backend that does not know whether it was heard asks another pod, and gets the first answer."""
    one, two = await new_pod(), await new_pod()
    alice = await one.join("alice", "log.a")
    said = [
        await call(pod, "POST", "/v1/rooms/log.a/messages", b'{"payload": "once", "key": "k1"}')
        for pod in (one, two, one)
    ]
    assert said[0] == said[1] == said[2]
    assert said[0][0] == 200
    assert (await alice.hear("broadcast"))["payload"] == "once"
    assert await alice.silent()


async def test_a_personal_room_is_on_every_pod(new_pod: NewPod) -> None:
    """Each of a user's connections hears what a backend says to the user, and one that was away gets it later."""
    one, two = await new_pod(), await new_pod()
    phone, laptop = await one.join("alice", "@me"), await two.join("alice", "@me")
    _, placed = await call(one, "POST", "/v1/users/alice/messages", b'{"payload": "first"}')
    for client in (phone, laptop):
        heard = await client.hear("broadcast")
        assert (heard["room"], heard["payload"]) == ("@me", "first")
    await call(two, "POST", "/v1/users/alice/messages", b'{"payload": "second"}')
    tablet = await two.connect("alice")
    assert (await tablet.ask({"type": "join", "room": "@me", "since": placed}))["payload"]["recovered"] is True
    assert (await tablet.hear("broadcast"))["payload"] == "second"


async def test_who_is_there_is_known_on_every_pod(new_pod: NewPod) -> None:
    """In `joined`, in `presence` and over HTTP; with what the token lets others know."""
    one, two = await new_pod(), await new_pod()
    alice = await one.join("alice", "chat.a", info={"name": "Alice", "age": 7})
    bob = await two.connect("bob")
    joined = await bob.ask({"type": "join", "room": "chat.a"})
    members = [
        {"user": "alice", "info": {"name": "Alice", "age": 7}, "connections": 1},
        {"user": "bob", "connections": 1},
    ]
    assert joined["payload"]["members"] == {"count": 2, "users": 2, "members": members}
    assert (await alice.hear("user-joined"))["payload"] == {"user": "bob"}
    await two.join("alice", "chat.a")
    page = await bob.ask({"type": "presence", "room": "chat.a", "limit": 1})
    assert page["payload"] == {"count": 3, "users": 2, "members": [members[0] | {"connections": 2}], "next": "alice"}
    page = await bob.ask({"type": "presence", "room": "chat.a", "after": "alice"})
    assert page["payload"] == {"count": 3, "users": 2, "members": [members[1]]}
    status, listed = await call(one, "GET", "/v1/rooms/chat.a/presence?limit=5")
    assert (status, listed["users"]) == (200, 2)
    await bob.say({"type": "leave", "room": "chat.a"})
    assert (await alice.hear("user-left"))["payload"] == {"user": "bob"}


async def test_presence_needs_the_right_and_the_feature(new_pod: NewPod) -> None:
    """Without `p` a client may be there and may not see who else is."""
    pod = await new_pod()
    client = await pod.connect("alice", rooms={"chat.*": "r", "plain": "rwph"})
    assert (await client.ask({"type": "join", "room": "chat.a"}))["payload"] == {}
    for room in ("chat.a", "plain", "@me"):
        refused = await client.ask({"type": "presence", "room": room})
        assert refused["payload"]["code"] == "forbidden"
    assert (await call(pod, "GET", "/v1/rooms/plain/presence"))[0] == 403


async def test_a_reconnect_within_the_grace_is_no_news(new_pod: NewPod) -> None:
    """Neither on the same pod nor on another; who stays away is told of once it is over."""
    one, two = await new_pod(presence_grace=1), await new_pod(presence_grace=1)
    alice = await one.join("alice", "chat.a")
    bob = await two.join("bob", "chat.a")
    assert (await alice.hear("user-joined"))["payload"] == {"user": "bob"}
    await bob.close()
    bob = await one.join("bob", "chat.a")
    await bob.close()
    assert await alice.silent()
    assert (await alice.hear("user-left"))["payload"] == {"user": "bob"}
    assert await alice.silent()


async def test_what_a_dead_pod_had_is_gone_after_its_lease(new_pod: NewPod) -> None:
    """Its users leave, told once by a pod that lives; their places under the limit are free."""
    limits: dict[str, object] = {"presence_lease": 3, "max_connections_per_user": 1}
    one, two = await new_pod(**limits), await new_pod(**limits)
    alice = await one.join("alice", "chat.a")
    await two.join("bob", "chat.a")
    assert (await alice.hear("user-joined"))["payload"] == {"user": "bob"}
    died = time.monotonic()
    for chore in two.running._chores:
        chore.cancel()
    assert (await alice.hear("user-left"))["payload"] == {"user": "bob"}
    assert time.monotonic() - died < 3 + 5
    again = await one.join("bob", "chat.a")
    assert (await alice.hear("user-joined"))["payload"] == {"user": "bob"}
    assert await again.silent()
    assert await alice.silent()


@pytest.mark.parametrize("policy", ["reject", "replace"])
async def test_a_users_connections_are_limited_on_all_pods_together(new_pod: NewPod, policy: str) -> None:
    """The new one or the oldest is ended with 4409, on whatever pod it is."""
    limits = {"max_connections_per_user": 2, "user_limit_policy": policy}
    one, two = await new_pod(**limits), await new_pod(**limits)
    first, second = await one.connect("alice"), await two.connect("alice")
    if policy == "reject":
        third = await Client.open(two.port, token("alice"))
        assert (await third.ended()).code == 4409
        await first.close()
        async with asyncio.timeout(10):
            while (await (await Client.open(two.port, token("alice"))).ended_or_welcome()) != "welcome":
                await asyncio.sleep(0.05)
    else:
        third = await two.connect("alice")
        assert (await first.ended()).code == 4409
        assert await third.silent()
    assert await second.silent()


async def test_a_revoked_token_is_good_on_no_pod(new_pod: NewPod) -> None:
    """Who has it is ended with 4403, who brings it gets 401, who renews with it hears bad_token; others stay."""
    one, two = await new_pod(), await new_pod()
    mine, other = await two.connect("alice", jti="t1"), await two.connect("alice", jti="t2")
    assert await call(one, "POST", "/v1/revocations", b'{"jti": "t1"}') == (200, {})
    assert (await mine.ended()).code == 4403
    assert await other.silent()
    for pod in (one, two, await new_pod()):
        assert (await Client.open_or_refused(pod.port, token("alice", jti="t1"))).status == 401
    refused = await other.ask({"type": "auth", "payload": {"token": token("alice", jti="t1")}})
    assert refused["payload"]["code"] == "bad_token"


async def test_a_users_tokens_up_to_now_are_revoked(new_pod: NewPod) -> None:
    """One without `iat` counts as older; what is issued later is good."""
    one, two = await new_pod(), await new_pod()
    now = time.time()
    old, older = await one.connect("alice", iat=now - 5), await two.connect("alice")
    bob = await two.connect("bob")
    assert await call(two, "POST", "/v1/revocations", b'{"user": "alice"}') == (200, {})
    assert (await old.ended()).code == (await older.ended()).code == 4403
    assert await bob.silent()
    assert (await Client.open_or_refused(one.port, token("alice"))).status == 401
    assert (await Client.open_or_refused(one.port, token("alice", iat=time.time() + 5))).status == 101


async def test_a_lost_word_of_a_revocation_is_found_by_looking(new_pod: NewPod) -> None:
    """With the next sign of life at the latest."""
    one, two = await new_pod(presence_lease=3), await new_pod(presence_lease=3)
    mine = await two.connect("alice", jti="t1")
    two.running._pod.control.close()
    await call(one, "POST", "/v1/revocations", b'{"jti": "t1"}')
    assert (await mine.ended()).code == 4403


@pytest.mark.parametrize(
    "body", [b"{}", b'{"jti": "a", "user": "b"}', b'{"jti": ""}', b'{"user": 1}', b'{"user": "a", "before": "now"}']
)
async def test_a_revocation_says_whom_it_is_about(new_pod: NewPod, body: bytes) -> None:
    """A token or a user, not both."""
    status, problem = await call(await new_pod(), "POST", "/v1/revocations", body)
    assert (status, problem["code"]) == (400, "bad_message")


async def test_a_users_connections_are_seen_and_ended_everywhere(new_pod: NewPod) -> None:
    """Whichever pod is asked; a pod that does not answer is admitted."""
    one, two = await new_pod(), await new_pod()
    first, second = await one.join("alice", "plain"), await two.join("alice", "chat.a")
    _, listed = await call(one, "GET", "/v1/users/alice/connections")
    assert listed["complete"] is True
    connections: Any = listed["connections"]
    assert sorted(one["rooms"] for one in connections) == [["chat.a"], ["plain"]]
    assert len({one["pod"] for one in connections}) == 2
    assert await call(two, "DELETE", "/v1/users/alice/connections") == (200, {"ended": 2, "complete": True})
    assert (await first.ended()).code == (await second.ended()).code == 4403
    two.running._pod.control.close()
    _, listed = await call(one, "GET", "/v1/users/alice/connections")
    assert listed == {"connections": [], "complete": False}


async def test_open_rooms_are_listed_with_their_members(new_pod: NewPod) -> None:
    """Of all pods, in pages, without anybody's personal room."""
    one, two = await new_pod(), await new_pod()
    for pod, room in ((one, "a"), (one, "b"), (two, "b"), (two, "c"), (one, "@me")):
        await pod.join("alice", room)
    assert await call(one, "GET", "/v1/rooms?limit=2") == (
        200,
        {"rooms": [{"room": "a", "members": 1}, {"room": "b", "members": 2}], "complete": True, "next": "b"},
    )
    assert (await call(two, "GET", "/v1/rooms?limit=2&after=b"))[1]["rooms"] == [{"room": "c", "members": 1}]
    assert (await call(two, "GET", "/v1/rooms?limit=0"))[0] == 400


async def test_a_pod_that_stops_leaves_nothing_behind(new_pod: NewPod, redis: RedisServer) -> None:
    """The last one takes everything along; before, the others tell who is gone."""
    settings: dict[str, object] = {"max_connections_per_user": 5, "close_timeout": 0.1}
    one, two = await new_pod(**settings), await new_pod(**settings)
    alice = await one.join("alice", "chat.a")
    await two.join("bob", "chat.a")
    await alice.hear("user-joined")
    await two.running.stop(asyncio.Event())
    assert (await alice.hear("user-left"))["payload"] == {"user": "bob"}
    await one.running.stop(asyncio.Event())
    prefix = one.running._settings.bus_url.get_secret_value().partition("prefix=")[2]
    assert redis.do("KEYS", f"{prefix}:*") == []
