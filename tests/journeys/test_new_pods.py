"""A pod is asked from the moment when it can hold a connection, on real Redis and several pods."""

import asyncio
from pathlib import Path

from forestay.bus.redis.keys import FIRST, KeySpace
from forestay.core.rules.lifecycle import State
from tests.support.gateway import PATIENCE, Client, call, token
from tests.support.local_redis import RedisServer, Road
from tests.support.pods import NewPod, pods

DISCONNECT = ("DELETE", "/v1/users/alice/connections")


async def test_an_older_pod_asks_a_pod_that_has_just_started(new_pod: NewPod) -> None:
    """The first connection of the new pod is found by all others at once, between two of their heartbeats."""
    older = [await new_pod() for _ in range(2)]
    for number in range(3):
        newest = await new_pod()
        for pod in older:
            client = await newest.connect("alice")
            assert await call(pod, *DISCONNECT) == (200, {"ended": 1, "complete": True})
            assert (await client.ended()).code == 4403
        status, info = await call(older[0], "GET", "/v1/info")
        assert (status, info["complete"], len(info["pods"])) == (200, True, 3 + number)  # type: ignore[arg-type]
        older.append(newest)


async def test_a_backend_disconnects_a_user_while_a_pod_starts(new_pod: NewPod) -> None:
    """An answer that says `complete` has ended each connection that was welcome before the question."""
    older = await new_pod()
    welcome, tried = asyncio.Event(), 0

    async def disconnect_again_and_again() -> tuple[int, bool]:
        """How many connections the first question found that was asked after the welcome, and `complete`."""
        nonlocal tried
        while True:
            there = welcome.is_set()
            _, answer = await call(older, *DISCONNECT)
            tried += 1
            if there or answer["ended"]:
                return int(str(answer["ended"])), bool(answer["complete"])

    for _ in range(5):
        asking = asyncio.create_task(disconnect_again_and_again())
        newest = await new_pod()
        # It listens, and a client is there before anything else happens.
        client = await Client.open(newest.port, token("alice"))
        await client.hear("welcome")
        welcome.set()
        async with asyncio.timeout(PATIENCE):
            assert await asking == (1, True)
            assert (await client.ended()).code == 4403
        welcome.clear()
    assert tried >= 5


async def test_a_pod_that_the_others_cannot_ask_takes_no_connection(redis: RedisServer, tmp_path: Path) -> None:
    """While Redis does not answer it, it listens, says why it is not ready, and refuses. Then it takes the client."""
    road = Road(redis.port)
    await road.open()
    road.hold()
    try:
        async with pods(redis, tmp_path, "") as make:
            pod = await make(bus_url=f"{road.url}?prefix=apart", bus_timeout=0.3, readiness_bus="degraded")
            refused = await Client.open_or_refused(pod.port, token("alice"))
            assert (refused.status, "retry-after" in refused.headers) == (503, True)
            status, body = await pod.probe("/readyz")
            assert (status, body["checks"]["starting"]["reason"]) == (503, "the bus has not been reached yet")
            road.let_go()
            async with asyncio.timeout(PATIENCE):
                while pod.running._pod.lifecycle.state is not State.READY:
                    await asyncio.sleep(0.01)
            client = await pod.connect("alice")
            assert await call(pod, *DISCONNECT) == (200, {"ended": 1, "complete": True})
            assert (await client.ended()).code == 4403
    finally:
        await road.close()


async def test_questions_and_revocations_come_before_the_first_connection(redis: RedisServer, tmp_path: Path) -> None:
    """A pod that hears nothing from the others yet does not register, and so takes no connection."""
    road = Road(redis.port)
    road.muting = b"\r\nsubscribe\r\n"
    await road.open()
    try:
        async with pods(redis, tmp_path, "") as make:
            other = await make(bus_url=f"{redis.url}?prefix=half")
            pod = await make(bus_url=f"{road.url}?prefix=half", bus_timeout=0.3)
            assert (await Client.open_or_refused(pod.port, token("alice"))).status == 503
            assert await other.running._pod.pods.registered() == {other.running._pod.pods.me}
    finally:
        await road.close()


async def test_a_pod_that_starts_with_an_empty_redis_does_not_know_all_others(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    """Redis forgot a pod that is still away. One that has started since says that it may not know all of them."""
    road = Road(own_redis.port)
    await road.open()
    try:
        async with pods(own_redis, tmp_path, "") as make:
            older = await make(bus_url=f"{road.url}?prefix=forgotten", presence_lease=3)
            client = await older.connect("alice")
            road.hold()
            own_redis.kill()
            own_redis.start()
            settling = 600.0
            newest = await make(settling, bus_url=f"{own_redis.url}?prefix=forgotten")
            assert await call(newest, *DISCONNECT) == (200, {"ended": 0, "complete": False})
            road.let_go()
            async with asyncio.timeout(PATIENCE):
                while older.running._pod.pods.alone:
                    await asyncio.sleep(0.05)
            # It was there before, and waits for nobody here.
            assert await call(older, *DISCONNECT) == (200, {"ended": 1, "complete": True})
            assert (await client.ended()).code == 4403
            client = await older.connect("alice")
            assert (await call(newest, *DISCONNECT))[1]["complete"] is False
            # Nobody was known to be asked, and all were.
            assert (await client.ended()).code == 4403
    finally:
        await road.close()


async def test_a_redis_that_is_emptied_does_not_know_all_pods(own_redis: RedisServer, tmp_path: Path) -> None:
    """After a FLUSHALL neither a new pod nor an older one knows the pods that have not registered again."""
    long = {"bus_url": f"{own_redis.url}?prefix=emptied", "presence_lease": 600.0}
    async with pods(own_redis, tmp_path, "") as make:
        older, unknown = await make(600.0, **long), await make(600.0, **long)
        # As if they had been there for an hour.
        seed = KeySpace("emptied").seed(FIRST)
        assert own_redis.do("HSET", seed, "since", "1", "changed", "1") == 0
        await older.running._pod.heartbeat.send()
        assert (await call(older, *DISCONNECT))[1]["complete"] is True
        # As if the other one had started a moment ago.
        pods_of_older = older.running._pod.pods
        pods_of_older.alive = (pods_of_older.me,)
        clients = [await unknown.connect("alice")]
        own_redis.do("FLUSHALL")
        newest = await make(600.0, **long)
        assert (await call(newest, *DISCONNECT))[1]["complete"] is False
        # Nobody was known to be asked, and all were.
        assert (await clients.pop().ended()).code == 4403
        for heartbeats in range(2):
            clients.append(await unknown.connect("alice"))
            assert (await call(older, *DISCONNECT))[1]["complete"] is False, heartbeats
            assert (await clients.pop().ended()).code == 4403
            await older.running._pod.heartbeat.send()


async def test_a_pod_that_left_is_not_waited_for(new_pod: NewPod) -> None:
    """Its connections have ended before it retires, so what the others answer is complete at once."""
    one, two = await new_pod(), await new_pod(presence_grace=30)
    client = await two.join("alice", "a")
    assert (await call(one, "GET", "/v1/info"))[1]["complete"] is True
    await two.running.stop(asyncio.Event())
    await client.close()
    status, answer = await call(one, "GET", "/v1/info")
    assert (status, answer["complete"], len(answer["pods"])) == (200, True, 1)  # type: ignore[arg-type]
