"""What collectors and scrapers look at: a gateway that has published messages, and what they ask it for."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import aiohttp
from aiohttp import web

from tests.support.gateway import Client, token
from tests.support.process import Process, serving

MESSAGES: Final = 5
"""Messages that a client has published, each with a trace that is kept."""

PATIENCE: Final = 120.0
"""Seconds until a program that runs has what it is sent."""

ROOM: Final = "chat.lobby"
CALLER: Final = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
"""The context of the client's own span, which it sends with each message."""


@dataclass
class Front:
    """What stands before `/metrics` and notes what is asked for and answered."""

    port: int
    forms: list[str] = field(default_factory=list)
    """The content types of the answers."""


@asynccontextmanager
async def gateway(endpoint: str) -> AsyncIterator[Process]:
    """A gateway that sends all its spans to an OTLP endpoint, and has published the messages."""
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_TRACES_SAMPLER": "always_on",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    async with serving(**environ) as process:
        client = await Client.open(process.port, token("ada"))
        await client.hear("welcome")
        await client.ask({"type": "join", "room": ROOM})
        for number in range(MESSAGES):
            await client.say({"type": "broadcast", "room": ROOM, "payload": number, "traceparent": CALLER})
            await client.hear("broadcast")
        yield process


@asynccontextmanager
async def front(process: Process) -> AsyncIterator[Front]:
    """Passes requests for the metrics on."""
    seen = Front(0)

    async def passed_on(request: web.Request) -> web.Response:
        headers: Mapping[str, str] = {"Accept": request.headers.get("Accept", "*/*")}
        url = f"http://127.0.0.1:{process.internal_port}/metrics"
        async with aiohttp.request("GET", url, headers=headers) as answer:
            seen.forms.append(answer.headers["Content-Type"])
            return web.Response(body=await answer.read(), headers={"Content-Type": answer.headers["Content-Type"]})

    app = web.Application()
    app.router.add_get("/metrics", passed_on)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    seen.port = runner.addresses[0][1]
    try:
        yield seen
    finally:
        await runner.cleanup()


async def settled(seen: Front, number: int = 2) -> None:
    """Until the metrics were asked for so often."""
    while len(seen.forms) < number:
        await asyncio.sleep(0.05)
