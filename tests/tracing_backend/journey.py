"""Sends a client's and a backend's message through two real pods, and fetches the traces of both."""

import asyncio
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from forestay.protocol.trace import TraceContext
from tests.support.gateway import JSON, Client, token, upgrade
from tests.support.local_redis import QUICK, RedisServer
from tests.support.otlp_sink import Span
from tests.support.process import Process, serving
from tests.tracing_backend.jaeger import Jaeger

PODS = ("pod-a", "pod-b")
MEMBERS = (2, 3)
"""Members of the room on each pod."""
ROOM, PATTERN = "chat.lobby", "chat.*"
_ROOMS = f"""
[[rooms]]
pattern = "{PATTERN}"
trace = true
"""


@dataclass(frozen=True, slots=True)
class Journey:
    """The callers, and the spans that the tracing backend has of each."""

    client: TraceContext
    """The sending client's own context, in its handshake and in its message."""
    backend: TraceContext
    sent: list[Span]
    """The trace of the client's message, as its receivers saw it."""
    posted: list[Span]
    """The backend's own trace."""
    handshakes: list[Span]


async def travel(jaeger: Jaeger, folder: Path) -> Journey:
    """Starts Redis and two pods, publishes as a client on the first pod, and posts as a backend there."""
    redis = RedisServer(folder / "redis", *QUICK)
    await asyncio.to_thread(redis.start)
    try:
        async with AsyncExitStack() as stack:
            environ = jaeger.environ | _settings(folder, redis)
            pods = [await stack.enter_async_context(serving(**environ | {"POD_UID": uid})) for uid in PODS]
            return await _travelled(jaeger, pods)
    finally:
        redis.close()


async def _travelled(jaeger: Jaeger, pods: list[Process]) -> Journey:
    client, backend = _caller(), _caller()
    rooms = [[await _joined(pod, client) for _ in range(number)] for pod, number in zip(pods, MEMBERS, strict=True)]
    speaker, listener = rooms[0][0], rooms[1][0]
    # The first message takes longer and is not typical, so it is not shown.
    await _say(speaker, "warm up")
    await listener.hear("broadcast")
    await _say(speaker, "hello", traceparent=client.traceparent)
    heard = TraceContext((await listener.hear("broadcast"))["traceparent"])
    await _post(pods[0], backend)
    await listener.hear("broadcast")
    for member in (member for members in rooms for member in members):
        await member.close()
    return Journey(
        client,
        backend,
        await jaeger.trace(heard.trace_id, 4),
        await jaeger.trace(backend.trace_id, 4),
        await jaeger.named("forestay", "GET /ws", sum(MEMBERS)),
    )


def _settings(folder: Path, redis: RedisServer) -> dict[str, str]:
    rooms = folder / "rooms.toml"
    rooms.write_text(_ROOMS)
    return {"FORESTAY_BUS_URL": redis.url, "FORESTAY_ROOMS_FILE": str(rooms), "OTEL_SERVICE_NAME": "forestay"}


def _caller() -> TraceContext:
    """The context of a trace of another service."""
    return TraceContext(f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01")


async def _joined(pod: Process, caller: TraceContext) -> Client:
    client = await Client.request(pod.port, upgrade(token("alice"), traceparent=caller.traceparent))
    await client.hear("welcome")
    await client.say({"type": "join", "room": ROOM})
    await client.hear("joined")
    return client


async def _say(client: Client, text: str, **context: str) -> None:
    await client.say({"type": "broadcast", "room": ROOM, "payload": text} | context)
    await client.hear("broadcast")


async def _post(pod: Process, caller: TraceContext) -> None:
    url = f"http://127.0.0.1:{pod.internal_port}/v1/rooms/{ROOM}/messages"
    headers = JSON | {"traceparent": caller.traceparent}
    async with aiohttp.request("POST", url, data=b'{"payload": "hello"}', headers=headers) as response:
        assert response.status == 200
