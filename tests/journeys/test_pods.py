"""Several pods on one Redis behave as one gateway to their clients."""

import asyncio
import json
import time
from typing import Any

import pytest

from tests.support.gateway import Client, call, frame, token
from tests.support.local_redis import RedisServer
from tests.support.pods import NewPod

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


async def test_a_message_reaches_the_room_on_every_pod(new_pod: NewPod) -> None:
    """Text and binary arrive in one order on every pod; `echo: false` leaves out only the sender."""
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


async def test_a_message_in_front_of_a_close_frame_is_published(new_pod: NewPod) -> None:
    """The bus answers after the close. The close does not wait for that, and the message reaches the room."""
    one, two = await new_pod(), await new_pod()
    alice, bob = await one.connect("alice"), await two.join("bob", "plain")
    said = json.dumps({"type": "broadcast", "room": "plain", "payload": 1, "id": "1"}).encode()
    await alice.send(frame(1, said) + frame(1, b'{"type": "ping", "id": "2"}') + frame(8, b"\x03\xe8"))
    assert (await alice.hear("pong"))["id"] == "2"
    assert (await alice.ended()).code == 1000
    assert (await bob.hear("broadcast"))["payload"] == 1


async def test_missed_messages_come_from_any_pod(new_pod: NewPod) -> None:
    """A join with `since` on any pod gets the missed messages in order, or is not `recovered`."""
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
    """Publishes to the log and returns the position of the message."""
    await client.say({"type": "broadcast", "room": "log.a", "payload": payload, "id": "1", **fields})
    answers = {heard["type"]: heard for heard in [await client.hear(), await client.hear()]}
    position: dict[str, Any] = answers["ack"]["payload"]
    return position


async def test_the_same_key_is_one_message_on_every_pod(new_pod: NewPod) -> None:
    """A retry with the same key on another pod gets the first answer and adds no message."""
    one, two = await new_pod(), await new_pod()
    alice = await one.join("alice", "log.a")
    answers = [
        await call(pod, "POST", "/v1/rooms/log.a/messages", b'{"payload": "once", "key": "k1"}')
        for pod in (one, two, one)
    ]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0] == 200
    assert (await alice.hear("broadcast"))["payload"] == "once"
    assert await alice.silent()


async def test_a_personal_room_is_on_every_pod(new_pod: NewPod) -> None:
    """Each connection of a user receives the backend's message, and an absent one gets it later."""
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


async def test_presence_is_the_same_on_every_pod(new_pod: NewPod) -> None:
    """`joined`, `presence` and HTTP show the members of all pods, with the info of their tokens."""
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
    """Without the right `p` a client counts as present but cannot see the members."""
    pod = await new_pod()
    client = await pod.connect("alice", rooms={"chat.*": "r", "plain": "rwph"})
    assert (await client.ask({"type": "join", "room": "chat.a"}))["payload"] == {}
    for room in ("chat.a", "plain", "@me"):
        refused = await client.ask({"type": "presence", "room": room})
        assert refused["payload"]["code"] == "forbidden"
    assert (await call(pod, "GET", "/v1/rooms/plain/presence"))[0] == 403


async def test_a_reconnect_within_the_grace_is_not_announced(new_pod: NewPod) -> None:
    """A reconnect within the grace is not announced, on the same or another pod; a later leave is."""
    one, two = await new_pod(presence_grace=3), await new_pod(presence_grace=3)
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
    """After its lease a dead pod's users leave, announced once, and their places are free."""
    limits: dict[str, object] = {"presence_lease": 3, "max_connections_per_user": 1}
    one, two = await new_pod(**limits), await new_pod(**limits)
    alice = await one.join("alice", "chat.a")
    await two.join("bob", "chat.a")
    assert (await alice.hear("user-joined"))["payload"] == {"user": "bob"}
    died = time.monotonic()
    for task in two.running._periodic:
        task.cancel()
    assert (await alice.hear("user-left"))["payload"] == {"user": "bob"}
    assert time.monotonic() - died < 3 + 5
    again = await one.join("bob", "chat.a")
    assert (await alice.hear("user-joined"))["payload"] == {"user": "bob"}
    assert await again.silent()
    assert await alice.silent()


@pytest.mark.parametrize("policy", ["reject", "replace"])
async def test_a_users_connections_are_limited_on_all_pods_together(new_pod: NewPod, policy: str) -> None:
    """Above the user limit the newest or the oldest connection ends with 4409, on any pod."""
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
    """A revoked token ends its connections with 4403, and is refused at the handshake and at a renewal."""
    one, two = await new_pod(), await new_pod()
    mine, other = await two.connect("alice", jti="t1"), await two.connect("alice", jti="t2")
    assert await call(one, "POST", "/v1/revocations", b'{"jti": "t1"}') == (200, {})
    assert (await mine.ended()).code == 4403
    assert await other.silent()
    for pod in (one, two, await new_pod()):
        assert (await Client.open_or_refused(pod.port, token("alice", jti="t1"))).status == 401
    refused = await other.ask({"type": "auth", "payload": {"token": token("alice", jti="t1")}})
    assert refused["payload"]["code"] == "bad_token"


async def test_a_revocation_reaches_other_pods_at_once(new_pod: NewPod) -> None:
    """It does not wait for their heartbeat."""
    one, two = await new_pod(), await new_pod()
    two.running._cancel_periodic()
    mine = await two.connect("alice", jti="t1")
    assert await call(one, "POST", "/v1/revocations", b'{"jti": "t1"}') == (200, {})
    assert (await mine.ended()).code == 4403


async def test_a_users_tokens_up_to_now_are_revoked(new_pod: NewPod) -> None:
    """Revoking a user's tokens covers those issued before and those without `iat`, and no later ones."""
    one, two = await new_pod(), await new_pod()
    now = time.time()
    old, older = await one.connect("alice", iat=now - 5), await two.connect("alice")
    bob = await two.connect("bob")
    assert await call(two, "POST", "/v1/revocations", b'{"user": "alice"}') == (200, {})
    assert (await old.ended()).code == (await older.ended()).code == 4403
    assert await bob.silent()
    assert (await Client.open_or_refused(one.port, token("alice"))).status == 401
    assert (await Client.open_or_refused(one.port, token("alice", iat=time.time() + 5))).status == 101


async def test_a_lost_revocation_message_is_made_good_by_the_heartbeat(new_pod: NewPod) -> None:
    """A pod that missed a revocation message learns of it with its next heartbeat."""
    one, two = await new_pod(presence_lease=3), await new_pod(presence_lease=3)
    mine = await two.connect("alice", jti="t1")
    two.running._pod.control.close()
    await call(one, "POST", "/v1/revocations", b'{"jti": "t1"}')
    assert (await mine.ended()).code == 4403


@pytest.mark.parametrize(
    "body", [b"{}", b'{"jti": "a", "user": "b"}', b'{"jti": ""}', b'{"user": 1}', b'{"user": "a", "before": "now"}']
)
async def test_a_revocation_names_a_token_or_a_user(new_pod: NewPod, body: bytes) -> None:
    """A revocation request must name either a token or a user, and not both."""
    status, problem = await call(await new_pod(), "POST", "/v1/revocations", body)
    assert (status, problem["code"]) == (400, "bad_message")


async def test_a_users_connections_are_seen_and_ended_everywhere(new_pod: NewPod) -> None:
    """Any pod lists and ends a user's connections on all pods, and reports a pod that does not answer."""
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
    """The list has the rooms of all pods in pages, without personal rooms."""
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
    """A stopping pod's users leave on the others, and the last pod leaves no data of its own."""
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
