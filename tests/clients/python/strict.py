"""A gateway that counts: it refuses what is beyond its rate, and notes what it refused."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from forestay_client import Client
from tests.support.gateway import token
from tests.support.stopwatch import stopwatch


class Strict:
    """Takes `rate` messages a second and `burst` at once. A join of many rooms costs one for each."""

    def __init__(self, **limits: float) -> None:
        self.limits = {"message_bytes": 65536, "rooms": 10_000} | limits
        self.rate = limits.get("rate", 0)
        self.url = ""
        self.heard: list[dict[str, Any]] = []
        """Every message, of all connections."""
        self.sizes: list[tuple[float, int]] = []
        """When each message came, and its bytes."""
        self.refused = 0
        self.refusals: list[int | None] = []
        """What to refuse besides, one for each message that is no ping: after how many milliseconds; None is not."""
        self.echoes = False
        """Whether it sends binary messages back."""
        self.understands = True
        """Whether it knows what a `join` is; if not, it answers it with one error."""
        self.close_after = 0
        """Close the connection with 4403 instead of taking more than so many messages."""
        self.statuses: list[int] = []
        """What the next handshakes are answered with."""
        self.connections: list[ServerConnection] = []
        self.ping_interval_ms = 25_000
        self.closed: list[int | None] = []

    def of(self, type: str) -> list[dict[str, Any]]:
        return [each for each in self.heard if each["type"] == type]

    @property
    def joined(self) -> list[str]:
        """The rooms of all joins."""
        return [place["room"] for each in self.of("join") for place in each.get("rooms", [each])]

    async def decide(self, connection: ServerConnection, _: Request) -> Response | None:
        return connection.respond(self.statuses.pop(0), "no") if self.statuses else None

    async def serve(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        welcome = {
            "connection": f"c{len(self.connections)}",
            "user": "alice",
            "ping_interval_ms": self.ping_interval_ms,
            "pong_timeout_ms": 2000,
            "reconnect_spread_ms": 10,
            "limits": self.limits,
        }
        tokens, at = float(self.limits.get("burst", self.rate)), time.monotonic()
        waiting = 0
        try:
            await connection.send(json.dumps({"type": "welcome", "payload": welcome}))
            async for text in connection:
                now = time.monotonic()
                self.sizes.append((now, len(text) if isinstance(text, bytes) else len(text.encode())))
                sentence = {"type": "binary"} if isinstance(text, bytes) else json.loads(text)
                self.heard.append(sentence)
                if self.echoes and isinstance(text, bytes):
                    await connection.send(text)
                if self.close_after and len(self.heard) > self.close_after:
                    await connection.close(4403, "enough")
                    return
                if not self.understands:
                    payload = {"code": "bad_message", "message": "no such field"}
                    await connection.send(json.dumps({"type": "error", "id": sentence["id"], "payload": payload}))
                    continue
                for place in sentence.get("rooms", [sentence]):
                    if self.rate:
                        tokens, at = min(self.limits.get("burst", self.rate), tokens + (now - at) * self.rate), now
                        if tokens < 1:
                            waiting += 1
                            self.refused += 1
                            await self._refuse(connection, sentence, place, waiting / self.rate * 1000)
                            continue
                        tokens, waiting = tokens - 1, 0
                    await self._answer(connection, sentence, place)
        except ConnectionClosed:
            pass
        finally:
            self.closed.append(connection.close_code)

    async def _answer(
        self, connection: ServerConnection, sentence: Mapping[str, Any], place: Mapping[str, Any]
    ) -> None:
        kind = sentence["type"]
        if kind != "ping" and self.refusals and (after := self.refusals.pop(0)) is not None:
            await self._refuse(connection, sentence, place, after)
            return
        answer = {"join": "joined", "ping": "pong", "leave": "left"}.get(kind, "ack")
        if kind != "binary":
            said: dict[str, Any] = {"type": answer, "id": sentence.get("id"), "room": place.get("room"), "payload": {}}
            await connection.send(json.dumps(said))

    async def _refuse(
        self, connection: ServerConnection, sentence: Mapping[str, Any], place: Mapping[str, Any], after: float
    ) -> None:
        payload = {"code": "rate_limited", "message": "too many", "retry_after_ms": int(after)}
        said: dict[str, Any] = {
            "type": "error",
            "id": sentence.get("id"),
            "room": place.get("room"),
            "payload": payload,
        }
        await connection.send(json.dumps(said))


@asynccontextmanager
async def strict(**limits: float) -> AsyncIterator[Strict]:
    """A counting gateway on a free port."""
    gateway = Strict(**limits)
    async with serve(
        gateway.serve,
        "127.0.0.1",
        0,
        process_request=gateway.decide,
        subprotocols=[Subprotocol("forestay.v1")],
        max_size=int(gateway.limits["message_bytes"]) or None,
        ping_interval=None,
        close_timeout=0.2,
    ) as server:
        gateway.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/ws"
        yield gateway


def client(gateway: Strict, **options: Any) -> Client:
    return Client(gateway.url, get_token=lambda: token("alice"), **options)


async def join_all(one: Client, names: Sequence[str]) -> float:
    """Join the rooms at once; the seconds that it took, without those in which the machine stood still."""
    with stopwatch() as watch:
        await asyncio.gather(*(one.room(name).join() for name in names))
        return watch.seconds
