"""Pods that are killed with events in hand, and pods whose users are gone with them."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from secrets import token_hex

import pytest
from aiohttp import web

from tests.support.gateway import PATIENCE, Pod, call
from tests.support.local_redis import RedisServer
from tests.support.process import Process, serving
from tests.support.webhook_receiver import Receiver, receiver, settings_for

LEASE = 6.0


@pytest.fixture
async def told() -> AsyncIterator[Receiver]:
    async with receiver() as found:
        yield found


@pytest.fixture
async def two(told: Receiver, redis: RedisServer, tmp_path: Path) -> AsyncIterator[tuple[Process, Process]]:
    """Two processes on one Redis."""
    given = settings_for(told, tmp_path, bus_url=f"{redis.url}?prefix=t{token_hex(6)}", presence_lease=LEASE)
    environ = {f"FORESTAY_{name.upper()}": str(value) for name, value in given.items()}
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(serving(**environ)), await stack.enter_async_context(serving(**environ))


async def say(pod: Pod, count: int) -> set[int]:
    """Publish so many messages that are told. Returns their payloads."""
    for number in range(count):
        body = json.dumps({"payload": number}).encode()
        assert (await call(pod, "POST", f"/v1/rooms/told.{number % 7}/messages", body))[0] == 200
    return set(range(count))


async def test_events_of_a_killed_pod_are_delivered_by_another_within_the_lease(
    two: tuple[Process, Process], told: Receiver
) -> None:
    """Each at least once: those that it was sending, and those that it had taken and not sent."""
    held = asyncio.Event()

    async def never(request: web.Request) -> web.StreamResponse:
        await held.wait()
        return web.Response(status=503)

    told.answer = never
    said = await say(two[0].pod, 300)
    await told.until(lambda: len(told.requests) >= 4)
    senders = {id for _, body in told.requests for id in ids(body)}
    assert senders
    two[0].process.send_signal(signal.SIGKILL)
    killed = time.monotonic()

    async def good(request: web.Request) -> web.StreamResponse:
        return web.Response()

    told.answer = good
    # What the other pod is sending at this moment is answered with a failure, and sent again.
    held.set()
    await told.until(lambda: {data["payload"] for data in told.of("message")} == said)
    # Not after a second lease; the rest is for a busy machine.
    assert time.monotonic() - killed < 2 * LEASE


async def test_rooms_and_users_of_a_killed_pod_are_told_by_another(
    two: tuple[Process, Process], told: Receiver
) -> None:
    """A room is vacated and a user offline when the last pod with them died, and not while another pod has them."""
    await two[0].pod.join("ada", "told.a")
    await two[0].pod.join("bob", "told.b")
    staying = await two[1].pod.join("bob", "told.b")
    await told.until(lambda: len(told.of("room.occupied")) == 2 and len(told.of("user.online")) == 2)
    two[0].process.send_signal(signal.SIGKILL)
    await told.until(lambda: len(told.of("room.vacated", "user.offline")) == 2)
    assert sorted(map(str, told.of("room.vacated", "user.offline"))) == ["{'room': 'told.a'}", "{'user': 'ada'}"]
    await staying.close()
    await told.until(lambda: len(told.of("room.vacated", "user.offline")) == 4)


async def test_a_pod_that_stops_gives_its_events_to_the_others(two: tuple[Process, Process], told: Receiver) -> None:
    """They are delivered, although the pod that had them has ended."""

    async def down(request: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    told.answer = down
    said = await say(two[0].pod, 20)
    await told.until(lambda: bool(told.requests))
    assert await two[0].end() == 0

    async def good(request: web.Request) -> web.StreamResponse:
        return web.Response()

    told.answer = good
    await told.until(lambda: {data["payload"] for data in told.of("message")} == said, seconds=2 * PATIENCE)


def ids(body: bytes) -> list[str]:
    return [event["id"] for event in json.loads(body)["data"]["events"]]
