"""What a backend forgets is gone on all pods, and no client takes a part of a history for all of it."""

import asyncio
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from tests.support.gateway import PATIENCE, call, gateway
from tests.support.local_redis import RedisServer
from tests.support.pods import NewPod, pods

ROOMS = """
[[rooms]]
pattern = "log.*"
presence = true
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
HISTORY = "/v1/rooms/log.a/history"


def joining(room: str, since: dict[str, Any]) -> dict[str, object]:
    """A request to join `room` and to get what was missed."""
    return {"type": "join", "room": room, "since": {"epoch": since["epoch"], "offset": since["offset"]}}


async def test_a_deleted_history_is_admitted(new_pod: NewPod) -> None:
    """Who has all of it is recovered, who has not is told; a member hears nothing but what comes next."""
    one, two = await new_pod(), await new_pod()
    member = await two.join("alice", "log.a")
    positions: list[dict[str, Any]] = []
    for number in range(3):
        body = f'{{"payload": {number}}}'.encode()
        positions.append((await call(one, "POST", "/v1/rooms/log.a/messages", body))[1])
        await member.hear("broadcast")
    last = positions[-1]
    assert await call(two, "DELETE", HISTORY) == (200, {"deleted": 3, **last})
    assert (await call(one, "GET", HISTORY))[1] == {"epoch": last["epoch"], "messages": [], "more": False}
    assert await member.silent()
    for pod in (one, two):
        for since, recovered in ((positions[1], False), (last, True)):
            client = await pod.connect("bob")
            joined = await client.ask(joining("log.a", since))
            assert (joined["payload"]["recovered"], joined["payload"]["offset"]) == (recovered, 3)
            assert await client.silent()
    assert (await call(one, "POST", "/v1/rooms/log.a/messages", b'{"payload": 3}'))[1] == {**last, "offset": 4}
    assert (await member.hear("broadcast"))["payload"] == 3
    client = await one.connect("bob")
    assert (await client.ask(joining("log.a", last)))["payload"]["recovered"] is True
    assert (await client.hear("broadcast"))["payload"] == 3


async def test_the_history_of_each_room_is_its_own(new_pod: NewPod) -> None:
    """No other room loses a message, and a room that never had one has no position."""
    pod = await new_pod()
    await call(pod, "POST", "/v1/rooms/log.b/messages", b'{"payload": 1}')
    assert await call(pod, "DELETE", HISTORY) == (200, {"deleted": 0})
    assert len((await call(pod, "GET", "/v1/rooms/log.b/history"))[1]["messages"]) == 1  # type: ignore[arg-type]


async def test_a_history_that_cannot_be_is_refused(new_pod: NewPod) -> None:
    """A room without history is 403, a bad name 400; each has its line in the log or none."""
    pod = await new_pod()
    with capture_logs() as logged:
        assert (await call(pod, "DELETE", "/v1/rooms/chat.a/history"))[0] == 403
        assert (await call(pod, "DELETE", "/v1/rooms/a%20b/history"))[0] == 400
        await call(pod, "POST", "/v1/rooms/log.a/messages", b'{"payload": 1}')
        await call(pod, "DELETE", HISTORY)
    lines = [line for line in logged if line["event"] == "audit"]
    assert [(line["action"], line["room"], line["result"], line.get("deleted")) for line in lines] == [
        ("forget_history", "chat.a", "forbidden", None),
        ("forget_history", "log.a", "ok", 1),
    ]


async def test_a_history_cannot_be_deleted_without_the_bus(tmp_path: Path) -> None:
    """The answer is 503, and a repeat is safe."""
    rooms = tmp_path / "rooms.toml"
    rooms.write_text(ROOMS)
    async with gateway(bus_url="redis://127.0.0.1:1", rooms_file=str(rooms), bus_timeout=0.2) as pod:
        status, problem = await call(pod, "DELETE", HISTORY)
        assert (status, problem["code"]) == (503, "unavailable")


async def test_a_user_is_forgotten_on_all_pods(new_pod: NewPod) -> None:
    """Its connections end, the others hear at once that it left, and its personal room has no messages."""
    one, two = await new_pod(presence_grace=60), await new_pod(presence_grace=60)
    bob = await one.join("bob", "chat.a")
    mine = [await pod.join("alice", "chat.a") for pod in (one, two)]
    assert (await bob.hear("user-joined"))["payload"]["user"] == "alice"
    position = (await call(one, "POST", "/v1/users/alice/messages", b'{"payload": "a secret"}'))[1]
    # She was here a moment ago too, and is within the grace.
    await (await two.join("alice", "log.a")).close()
    answer = await call(two, "DELETE", "/v1/users/alice")
    assert answer == (200, {"deleted": 1, "ended": 2, "complete": True})
    assert [(await client.ended()).code for client in mine] == [4403, 4403]
    assert (await bob.hear("user-left"))["payload"]["user"] == "alice"
    async with asyncio.timeout(PATIENCE):
        while (await call(one, "GET", "/v1/rooms/log.a/presence"))[1]["users"]:
            await asyncio.sleep(0.02)
    assert (await call(one, "GET", "/v1/users/alice/connections"))[1]["connections"] == []
    # Her token is as good as before, and what she missed cannot be had.
    back = await one.connect("alice")
    joined = await back.ask(joining("@me", {**position, "offset": 0}))
    assert (joined["payload"]["recovered"], joined["payload"]["offset"]) == (False, 1)
    assert await back.silent()


def about(user: str, redis: RedisServer) -> list[bytes]:
    """The keys whose name or value has `user`."""
    known: Any = redis.do("KEYS", "*")
    name = b":@" + urlsafe_b64encode(user.encode()).rstrip(b"=")
    values: Any = {key: redis.do("DUMP", key) for key in known}
    return [key for key, value in values.items() if key.endswith(name) or user.encode() in (value or b"")]


async def test_of_a_forgotten_user_redis_keeps_one_position(own_redis: RedisServer, tmp_path: Path) -> None:
    """That of its personal room. No other name and no value has the user, nor the text of its messages."""
    async with pods(own_redis, tmp_path, ROOMS) as make:
        pod = await make(presence_grace=60, max_connections_per_user=5)
        await pod.join("alice", "log.a")
        await call(pod, "POST", "/v1/users/alice/messages", b'{"payload": "a secret of alice"}')
        async with asyncio.timeout(PATIENCE):
            # Two of her presence, one of her connection, and two of her room.
            while len(about("alice", own_redis)) < 5:
                await asyncio.sleep(0.02)
            await call(pod, "DELETE", "/v1/users/alice")
            while len(left := about("alice", own_redis)) > 1:
                await asyncio.sleep(0.02)
        assert b":m:@" in left[0]


async def test_a_user_that_never_was_is_forgotten_too(new_pod: NewPod) -> None:
    """A repeat is safe. What no user can be called is refused, and a pod that does not answer is reported."""
    one, two = await new_pod(), await new_pod()
    assert await call(one, "DELETE", "/v1/users/nobody") == (200, {"deleted": 0, "ended": 0, "complete": True})
    assert (await call(one, "DELETE", "/v1/users/%0A"))[0] == 400
    two.running._pod.control.close()
    with capture_logs() as logged:
        assert (await call(one, "DELETE", "/v1/users/a%2Fb"))[1]["complete"] is False
    [line] = [line for line in logged if line["event"] == "audit"]
    assert (line["action"], line["user"], line["result"], line["complete"]) == ("forget_user", "a/b", "ok", False)
