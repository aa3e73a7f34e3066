"""Storms: a publisher without measure, and many clients that come back at the same moment."""

import asyncio
import json
import random
import secrets

from tests.support.gateway import Client, Closed, frame, token
from tests.support.local_redis import RedisServer
from tests.support.process import Process, serving

MEMBERS = 50
CLIENTS = 200


async def test_a_publisher_without_measure_is_refused_and_others_go_on() -> None:
    """Its room gets what the rate allows, it is told to wait and then ended; another room loses nothing."""
    # The members answer no ping, and a busy machine takes its time.
    async with serving(FORESTAY_PING_INTERVAL="300") as served:
        pod = served.pod
        crowd = [await pod.join(f"member-{number}", "storm.a") for number in range(MEMBERS)]
        greedy = await pod.connect("greedy")
        alice, bob = await pod.join("alice", "calm.a"), await pod.join("bob", "calm.a")
        storm = frame(1, b'{"type":"broadcast","room":"storm.a","payload":1,"id":"x"}') * 1000
        ended = asyncio.ensure_future(_flooded(greedy, storm))
        number = 0
        while not ended.done():
            await alice.say({"type": "broadcast", "room": "calm.a", "payload": number})
            assert (await bob.hear("broadcast"))["payload"] == number
            assert (await alice.hear("broadcast"))["payload"] == number
            number += 1
            await asyncio.sleep(0.01)
        code, refused = await ended
        assert (code, refused > 0) == (4429, True)
        # The crowd heard what was accepted, and is still there.
        await alice.say({"type": "broadcast", "room": "storm.a", "payload": "over"})
        for member in crowd:
            while (await member.hear("broadcast"))["payload"] != "over":
                pass


async def _flooded(greedy: Client, storm: bytes) -> tuple[int, int]:
    """Send `storm` again and again; the code of the end, and how many messages were refused."""

    async def send() -> None:
        try:
            while True:
                await greedy.send(storm)
        except ConnectionError:
            pass

    sending, refused = asyncio.ensure_future(send()), 0
    try:
        while True:
            heard = await greedy.hear()
            refused += heard["type"] == "error" and heard["payload"]["code"] == "rate_limited"
    except Closed as closed:
        return closed.code, refused
    finally:
        sending.cancel()


async def test_clients_that_all_come_back_at_once_are_let_in_by_and_by(redis: RedisServer) -> None:
    """Handshakes beyond the limit get 503 and a time to come back, which they obey; in the end all are in."""
    environ = {
        "FORESTAY_BUS_URL": f"{redis.url}?prefix=t{secrets.token_hex(6)}",
        "FORESTAY_MAX_CONNECTIONS_PER_USER": "1",
        "FORESTAY_HANDSHAKES": "2",
        "FORESTAY_PING_INTERVAL": "300",
    }
    async with serving(**environ) as served:
        resident = await served.pod.join("resident", "chat.a")
        waits: list[int] = []
        back = asyncio.gather(*(_back(served, f"user-{number}", waits) for number in range(CLIENTS)))
        asked = 0
        while not back.done():
            assert (await resident.ask({"type": "ping", "id": str(asked)}))["id"] == str(asked)
            asked += 1
            await asyncio.sleep(0.02)
        clients = await back
        assert waits
        # Callers that were refused at the same time must not come back at the same time.
        assert len(set(waits)) > 1
        for client in clients:
            assert await client.silent()


async def _back(served: Process, user: str, waits: list[int]) -> Client:
    """A client that comes back when it is told to."""
    while True:
        try:
            client = await Client.open_or_refused(served.port, token(user))
        except (asyncio.IncompleteReadError, ConnectionError):
            # Too many strangers at once: the one that waited longest goes, and comes again as after any loss.
            await asyncio.sleep(random.uniform(0.1, 1.0))
            continue
        if client.status == 101:
            await client.hear("welcome")
            return client
        assert (client.status, json.loads(client.body)["code"]) == (503, "unavailable")
        wait = int(client.headers["retry-after"])
        waits.append(wait)
        await asyncio.sleep(wait)
