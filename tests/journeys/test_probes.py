"""The probes of a real process while its Redis fails and returns."""

import asyncio
import time

import pytest

from tests.support.gateway import Client, probe, token
from tests.support.local_redis import RedisServer
from tests.support.process import KEYS, Process, serving, start


def settings(server: RedisServer, **more: str) -> dict[str, str]:
    quick = {"FORESTAY_BUS_TIMEOUT": "1", "FORESTAY_BUS_PROBE_INTERVAL": "0.5", "FORESTAY_READINESS_GRACE": "1"}
    return {"FORESTAY_BUS_URL": server.url, "FORESTAY_DRAIN_WINDOW": "0"} | quick | more


async def until(served: Process, path: str, status: int) -> dict[str, object]:
    """Returns the body of the first answer with that status."""
    while True:
        found, body = await probe(served.internal_port, path)
        if found == status:
            return body
        await asyncio.sleep(0.05)


async def enters(served: Process, user: str) -> Client:
    client = await Client.open(served.port, token(user))
    await client.hear("welcome")
    return client


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_a_lost_redis_disconnects_nobody_and_restarts_nothing(own_redis: RedisServer, how: str) -> None:
    """With Redis lost the pod stays alive and ready, accepts clients, and recovers by itself."""
    async with serving(**settings(own_redis)) as served:
        client = await enters(served, "ada")
        getattr(own_redis, how)()
        while (body := (await probe(served.internal_port, "/readyz"))[1])["state"] != "degraded":
            assert body["ok"]
            await asyncio.sleep(0.05)
        lost = time.monotonic()
        slowest = 0.0
        while time.monotonic() - lost < 3:
            for path in ("/livez", "/readyz", "/startupz"):
                asked = time.monotonic()
                status, body = await probe(served.internal_port, path)
                slowest = max(slowest, time.monotonic() - asked)
                assert (status, body["state"]) == (200, "degraded")
        newcomer = await enters(served, "bob")
        refused = await newcomer.ask({"type": "broadcast", "room": "chat.a", "payload": 1, "id": "1"})
        assert refused["payload"]["code"] in ("unavailable", "outcome_unknown")
        if how == "kill":
            own_redis.start()
        else:
            own_redis.thaw()
        while (await probe(served.internal_port, "/readyz"))[1]["state"] != "ready":
            await asyncio.sleep(0.05)
        for one in (client, newcomer):
            assert (await one.ask({"type": "join", "room": "chat.a"}))["type"] == "joined"
            await one.close()
        # A probe that waited for Redis would take its timeout of 5 s. The machine is shared, so the bound is generous.
        assert slowest < 2
        assert await served.end() == 0


async def test_strict_is_unready_without_its_redis(own_redis: RedisServer) -> None:
    """With `strict` a lost Redis makes the pod unready, and its clients stay connected."""
    async with serving(**settings(own_redis, FORESTAY_READINESS_BUS="strict")) as served:
        client = await enters(served, "ada")
        own_redis.kill()
        body = await until(served, "/readyz", 503)
        assert body["failing"] == ["bus"]
        assert (await client.ask({"type": "ping"}))["type"] == "pong"
        assert (await probe(served.internal_port, "/livez"))[0] == 200
        own_redis.start()
        await until(served, "/readyz", 200)
        await client.close()


async def test_the_startup_probe_waits_for_redis(own_redis: RedisServer) -> None:
    """The startup probe fails until the first connection to Redis, and never again after it."""
    own_redis.kill()
    environ = KEYS | settings(own_redis)
    process = Process(await start("serve", "--host", "127.0.0.1", "--port", "0", "--internal-port", "0", **environ))
    try:
        await process.ready()
        body = await until(process, "/startupz", 503)
        assert body["failing"] == ["starting"]
        assert (await probe(process.internal_port, "/livez"))[0] == 200
        own_redis.start()
        await until(process, "/startupz", 200)
        own_redis.kill()
        while (await probe(process.internal_port, "/readyz"))[1]["state"] != "degraded":
            await asyncio.sleep(0.05)
        assert (await probe(process.internal_port, "/startupz"))[0] == 200
        assert await process.end() == 0
    finally:
        if process.process.returncode is None:
            process.process.kill()
            await process.end()
