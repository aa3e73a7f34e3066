"""Redis takes no users for a while: lists of users say that they may be wrong, and are right again afterwards."""

import asyncio
from pathlib import Path

from tests.faults.actors import PATIENCE, PRESENT, actors
from tests.support.local_redis import RedisServer


async def test_a_full_redis(own_redis: RedisServer, tmp_path: Path) -> None:
    """Who joins is missing in the list, on every pod, and is told so. Nobody has to join again afterwards."""
    async with actors(own_redis, tmp_path, pods=2) as group:
        ada, bob = [await pod.connect(user) for pod, user in zip(group.pods, ("ada", "bob"), strict=True)]
        here = await ada.ask({"type": "join", "room": PRESENT})
        assert "degraded" not in here["payload"]["members"]
        await asyncio.to_thread(own_redis.do, "CONFIG", "SET", "maxmemory", 1)
        joined = await bob.ask({"type": "join", "room": PRESENT})
        assert [member["user"] for member in joined["payload"]["members"]["members"]] == ["ada"]
        assert joined["payload"]["members"]["degraded"] is True
        listed = await ada.ask({"type": "presence", "room": PRESENT})
        assert listed["payload"]["degraded"] is True
        await asyncio.to_thread(own_redis.do, "CONFIG", "SET", "maxmemory", 0)
        for client in (ada, bob):
            async with asyncio.timeout(PATIENCE):
                while (listed := await client.ask({"type": "presence", "room": PRESENT}))["payload"].get("degraded"):
                    await asyncio.sleep(0.2)
            assert [member["user"] for member in listed["payload"]["members"]] == ["ada", "bob"]
