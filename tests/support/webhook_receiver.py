"""A receiver of webhooks on loopback, which verifies with the public library and answers as a test says."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from standardwebhooks import Webhook

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
POLICIES: Final = """
[[rooms]]
pattern = "plain.**"

[[rooms]]
pattern = "kept.**"
webhooks = ["occupied", "vacated", "message"]
[rooms.history]
size = 1000
ttl = 60

[[rooms]]
pattern = "@me"
webhooks = ["online", "offline", "message"]

[[rooms]]
pattern = "told.**"
webhooks = ["occupied", "vacated", "message"]
"""

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def ok(request: web.Request) -> web.StreamResponse:
    return web.Response()


def status(code: int, **headers: str) -> Answer:
    """Answers with this status."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=code, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return answer


@dataclass
class Receiver:
    """What came, and how it is answered."""

    port: int = 0
    answer: Answer = ok
    """Answers requests from now on."""
    requests: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)
    """Headers and bodies of all requests."""
    events: list[dict[str, Any]] = field(default_factory=list)
    """The events of the requests that were answered with a status below 300, in their order."""
    secret: str = SECRET
    scheme: str = "http"
    came: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        return [event["id"] for event in self.events]

    def of(self, *types: str) -> list[Any]:
        """The `data` of the events of these types."""
        return [event["data"] for event in self.events if event["type"] in types]

    async def until(self, true: Callable[[], bool], seconds: float = 30.0) -> None:
        """Wait until `true()` after a request."""
        async with asyncio.timeout(seconds):
            while not true():
                self.came.clear()
                await self.came.wait()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((dict(request.headers), body))
        Webhook(self.secret).verify(body, dict(request.headers))
        try:
            response = await self.answer(request)
            if response.status < 300:
                self.events += events_of(body)
        finally:
            self.came.set()
        return response


def events_of(body: bytes) -> list[dict[str, Any]]:
    """The events in the body of one request."""
    what = json.loads(body)
    return what["data"]["events"] if what["type"] == "batch" else [what]


@asynccontextmanager
async def receiver(tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[Receiver]:
    """A receiver that answers 200."""
    found = Receiver(scheme="http" if tls is None else "https")
    application = web.Application(client_max_size=2**24)
    application.router.add_post("/hook", found.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    await web.SockSite(runner, listening, ssl_context=tls).start()
    found.port = listening.getsockname()[1]
    try:
        yield found
    finally:
        await runner.cleanup()


def settings_for(found: Receiver, folder: Path, policies: str = POLICIES, **given: object) -> dict[str, object]:
    """The settings of a pod that tells `found`."""
    rooms = folder / "rooms.toml"
    rooms.write_text(policies)
    values = {"webhooks_url": found.url, "webhooks_secret": SECRET, "rooms_file": str(rooms), "presence_grace": 0}
    return values | given
