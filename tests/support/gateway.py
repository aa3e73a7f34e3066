"""A real gateway on loopback, in the test's own loop, and a client that can break the rules of the protocol."""

import asyncio
import base64
import json
import os
import random
import struct
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import jwt

from forestay.core.rules.lifecycle import State
from forestay.pod import inputs as preparation
from forestay.pod import server
from forestay.pod.development import Development
from forestay.pod.tasks import Supervisor
from forestay.settings import settings

SECRET: Final = "a secret for tests only, of more than 32 bytes"
API_KEY: Final = "an api key for tests only, of more than 32 bytes"
PATIENCE: Final = 30.0
"""Seconds. No step takes this long unless it is broken, also on a busy machine."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A running pod, in this process or another, as clients and backends reach it."""

    port: int
    internal_port: int

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def internal(self) -> str:
        return f"http://127.0.0.1:{self.internal_port}"

    async def connect(self, user: str = "alice", **claims: object) -> "Client":
        """A client of `user` that has read its welcome."""
        client = await Client.open(self.port, token(user, **claims))
        await client.hear("welcome")
        return client

    async def join(self, user: str, room: str, **claims: object) -> "Client":
        """A client of `user` that is in `room`."""
        client = await self.connect(user, **claims)
        await client.say({"type": "join", "room": room})
        await client.hear("joined")
        return client

    async def probe(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status and body of `/livez`, `/readyz` or `/startupz`."""
        return await probe(self.internal_port, path)


@dataclass(frozen=True, slots=True)
class Gateway(Pod):
    """A pod in the test's own loop."""

    running: server.Server


async def probe(port: int, path: str) -> tuple[int, dict[str, Any]]:
    """Status and body of a probe on the internal port `port`."""
    async with aiohttp.request("GET", f"http://127.0.0.1:{port}{path}") as response:
        return response.status, await response.json()


@asynccontextmanager
async def gateway(
    development: Development | None = None, settling: float = 0.0, /, **given: object
) -> AsyncIterator[Gateway]:
    """A pod with the shipped settings but for `given`, by their names in lower case. With an issuer: no secret.

    `settling`: as in `Server`. The Redis of a test has just started, and nobody shall wait for that.
    """
    environ = {"FORESTAY_API_KEY": API_KEY}
    if "jwks_url" not in given:
        environ["FORESTAY_JWT_SECRET"] = SECRET
    values = {"host": "127.0.0.1", "port": 0, "internal_port": 0} | given
    loaded = settings.load(environ, **values)
    parts = preparation.prepare(loaded, Supervisor(random.uniform), development)
    running = server.Server(loaded, parts, settling)
    await running.start()
    try:
        yield Gateway(running.port, running.internal_port, running)
    finally:
        # The drain would wait for clients that are still connected: they do not answer close frames by themselves.
        await close_clients()
        if running._pod.lifecycle.state is not State.STOPPED:
            await running.stop(asyncio.Event())


KEY = {"Authorization": f"Bearer {API_KEY}"}
JSON = KEY | {"Content-Type": "application/json"}


async def call(
    pod: Pod, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, object]]:
    """Status and JSON of one request with the API key, unless `headers` say otherwise."""
    url = f"{pod.internal}{path}"
    async with aiohttp.request(method, url, data=body, headers=JSON if headers is None else headers) as response:
        text = await response.text()
        if response.status >= 400:
            assert response.content_type == "application/problem+json"
        # Of a stream, the first line.
        first, _, _ = text.partition("\n")
        return response.status, json.loads(first) if first else {}


def token(user: str = "alice", **claims: object) -> str:
    """A token that lasts an hour unless `claims` say otherwise."""
    return jwt.encode({"sub": user, "exp": time.time() + 3600} | claims, SECRET)


def upgrade(bearer: str | None, path: str = "/ws", **headers: str | None) -> bytes:
    """An upgrade request; a header given as None is left out, underscores are hyphens."""
    fields: dict[str, str | None] = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Authorization": None if bearer is None else f"Bearer {bearer}",
    }
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode("latin-1")


def frame(opcode: int, payload: bytes, *, fin: bool = True, masked: bool = True) -> bytes:
    """One client frame. The mask is all zeros: it is a mask, and the bytes stay readable."""
    head = struct.pack("!B", (0x80 if fin else 0) | opcode)
    bit, size = (0x80 if masked else 0), len(payload)
    if size < 126:
        head += struct.pack("!B", bit | size)
    elif size < 65536:
        head += struct.pack("!BH", bit | 126, size)
    else:
        head += struct.pack("!BQ", bit | 127, size)
    return head + (b"\0\0\0\0" if masked else b"") + payload


_OPEN: list["Client"] = []


async def close_clients() -> None:
    """Close the connections that a test left open."""
    while _OPEN:
        await _OPEN[-1].close()


class Closed(Exception):
    """The gateway closed the connection: with a code and a reason, or without a close frame (1006)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class Client:
    """A WebSocket client that sends raw bytes. It does nothing by itself, and does not even answer pings."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _OPEN.append(self)
        self.reader = reader
        self.writer = writer
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.body = b""

    @classmethod
    async def open_connection(cls, port: int, data: bytes = b"") -> "Client":
        """Connect and send `data`, without a look at the answer."""
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        client.writer.write(data)
        return client

    @classmethod
    async def request(cls, port: int, data: bytes) -> "Client":
        """Send an HTTP request and read the head of the answer, and the body of a refusal."""
        client = await cls.open_connection(port, data)
        head = (await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), PATIENCE)).decode("latin-1")
        status, *lines = head.split("\r\n")
        client.status = int(status.split()[1])
        client.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if client.status != 101:
            client.body = await asyncio.wait_for(client.reader.read(), PATIENCE)
            await client.close()
        return client

    @classmethod
    async def open(cls, port: int, bearer: str) -> "Client":
        client = await cls.request(port, upgrade(bearer))
        assert client.status == 101, client.body
        return client

    @classmethod
    async def open_or_refused(cls, port: int, bearer: str) -> "Client":
        """A client. Its `status` says whether the gateway accepted it."""
        return await cls.request(port, upgrade(bearer))

    async def ended_or_welcome(self) -> str:
        """The first message."""
        try:
            return str((await self.hear())["type"])
        except Closed as closed:
            return str(closed.code)

    async def say(self, *sentences: object) -> None:
        """Send text messages: objects as JSON, strings as they are."""
        for sentence in sentences:
            text = sentence if isinstance(sentence, str) else json.dumps(sentence)
            self.writer.write(frame(1, text.encode()))
        await self.writer.drain()

    async def send(self, data: bytes) -> None:
        """Send raw bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def read(self) -> tuple[int, bytes]:
        """The next frame: opcode and payload. Raises Closed."""
        try:
            first, second = await asyncio.wait_for(self.reader.readexactly(2), PATIENCE)
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack("!H", await self.reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
            payload = await self.reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Closed(1006, "") from None
        opcode = first & 0x0F
        if opcode == 8:
            raise Closed(struct.unpack("!H", payload[:2])[0], payload[2:].decode())
        return opcode, payload

    async def raw(self) -> bytes:
        """The next message that is no ping or pong, as bytes."""
        while True:
            opcode, payload = await self.read()
            if opcode in (1, 2):
                return payload

    async def hear(self, kind: str | None = None) -> dict[str, Any]:
        """The next JSON message; with `kind` it must have that type."""
        sentence: dict[str, Any] = json.loads(await self.raw())
        assert kind is None or sentence["type"] == kind, sentence
        return sentence

    async def ask(self, sentence: object) -> dict[str, Any]:
        """Send a request and return the next message."""
        await self.say(sentence)
        return await self.hear()

    async def silent(self) -> bool:
        """Whether no message is waiting: the answer to a ping comes before any other message."""
        heard = await self.ask({"type": "ping", "id": "silent?"})
        return bool(heard["type"] == "pong")

    async def ended(self) -> Closed:
        """Read until the gateway ends the connection."""
        while True:
            try:
                await self.read()
            except Closed as closed:
                return closed

    async def eof(self) -> bytes:
        """The bytes that come until the gateway closes the connection."""
        return await asyncio.wait_for(self.reader.read(), PATIENCE)

    async def close(self) -> None:
        """Close the TCP connection without a close frame."""
        # Where the next test has another loop, nobody could close it any more.
        if self in _OPEN:
            _OPEN.remove(self)
        self.writer.transport.abort()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            pass
