"""An application on loopback that is asked over HTTP. It verifies with the public library, and answers as a test says.

It writes bytes to the socket itself, because most tests need answers that no HTTP library would send.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from tests.support.webhook_receiver import SECRET


@dataclass(frozen=True)
class Question:
    """One request."""

    headers: Mapping[str, str]
    """By their names in lower case."""
    body: bytes
    connection: int
    """The number of the connection that it came on."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def type(self) -> str:
        kind: str = self.json["type"]
        return kind

    @property
    def data(self) -> Any:
        return self.json["data"]


Answer = Callable[[Question], Awaitable[bytes]]
"""Returns what is written. An empty answer closes the connection."""


def http(status: int, body: bytes = b"", **headers: str) -> bytes:
    """An HTTP answer."""
    fields = {"Content-Length": str(len(body)), **{name.replace("_", "-"): text for name, text in headers.items()}}
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {text}" for name, text in fields.items() if text), "", ""]
    return "\r\n".join(lines).encode() + body


def say(answer: object) -> bytes:
    """A status 200 with JSON."""
    return http(200, json.dumps(answer).encode(), Content_Type="application/json; charset=utf-8")


def always(written: bytes) -> Answer:
    """Answers each question in this way."""

    async def answer(question: Question) -> bytes:
        return written

    return answer


async def hang(question: Question) -> bytes:
    """Never answers."""
    await asyncio.Event().wait()
    raise AssertionError


@dataclass
class Application:
    """What was asked, and how it is answered."""

    answer: Answer
    """Answers questions from now on."""
    port: int = 0
    scheme: str = "http"
    secret: str = SECRET
    questions: list[Question] = field(default_factory=list)
    unsigned: list[Question] = field(default_factory=list)
    """Those that the public library does not verify."""
    connections: int = 0
    """How many there have been."""
    came: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hooks"

    @property
    def types(self) -> list[str]:
        return [question.type for question in self.questions]

    async def until(self, true: Callable[[], bool], seconds: float = 30.0) -> None:
        """Wait until `true()` after a question."""
        async with asyncio.timeout(seconds):
            while not true():
                self.came.clear()
                await self.came.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = self.connections
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = (line.partition(": ") for line in head.decode().split("\r\n")[1:-2])
                headers = {name.lower(): text for name, _, text in fields}
                body = await reader.readexactly(int(headers["content-length"]))
                question = Question(headers, body, connection)
                try:
                    Webhook(self.secret).verify(body, dict(headers))
                except WebhookVerificationError:
                    self.unsigned.append(question)
                self.questions.append(question)
                self.came.set()
                written = await self.answer(question)
                if not written:
                    break
                writer.write(written)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            # The gateway closed the connection.
            pass
        finally:
            writer.close()


@asynccontextmanager
async def application(answer: Answer | None = None, tls: ssl.SSLContext | None = None) -> AsyncIterator[Application]:
    """An application that allows everything, unless `answer` says otherwise."""
    found = Application(answer or always(http(204)), scheme="http" if tls is None else "https")
    running: set[asyncio.Task[None]] = set()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(found.serve(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
