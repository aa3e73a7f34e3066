"""A core that is assembled as in production, on sockets that remember what was written to them."""

import asyncio
import itertools
import json
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from forestay import settings
from forestay.bus.memory.bus import MemoryBus
from forestay.bus.memory.registry import MemoryRegistry
from forestay.core.fanout.connection import Connection
from forestay.core.ports.observer import Observer
from forestay.core.ports.registry import Registry
from forestay.core.ports.tracer import Tracer
from forestay.core.rules.access import Identity, Rights
from forestay.core.rules.policies import Policies, Policy
from forestay.pod.wiring import Links, assemble
from forestay.protocol.codes import Ending, ErrorCode, Refusal

Result = TypeVar("Result")


class RecordingSocket:
    """A client's socket whose kernel takes everything, or nothing while `stuck`."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.waiting = 0
        self.stuck = False
        self.ending: Ending | None = None
        self.gone = False

    def write(self, data: bytes, /) -> None:
        assert self.ending is None, "written behind a close frame"
        self.writes.append(data)
        if self.stuck:
            self.waiting += len(data)

    def buffered(self) -> int:
        return self.waiting

    def closed(self) -> bool:
        return self.gone or self.ending is not None

    def close(self, ending: Ending) -> None:
        self.ending = ending

    def heard(self) -> list[dict[str, Any]]:
        """Every sentence written so far."""
        return [json.loads(text) for text in frames(b"".join(self.writes)) if text[:1] == b"{"]


def frames(data: bytes) -> list[bytes]:
    """The payloads of the frames in `data`."""
    found = []
    while data:
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
        found.append(data[start : start + size])
        data = data[start + size :]
    return found


class NoTokens:
    """A Verifier for tests in which nobody renews a token."""

    async def verify(self, token: str) -> Identity:
        raise Refusal(ErrorCode.BAD_TOKEN, "no")

    async def close(self) -> None:
        """Nothing to let go of."""


class Core:
    """One pod without listeners, inside the running loop."""

    def __init__(
        self,
        *policies: Policy,
        bus: MemoryBus | None = None,
        registry: Registry | None = None,
        observer: Observer | None = None,
        tracer: Tracer | None = None,
        **given: object,
    ) -> None:
        values = {"message_rate": 0, "flush_rest": 0, "jwt_secret": "x" * 32} | given
        loaded = settings.load({}, **values)
        self.bus = bus or MemoryBus()
        self.registry = registry or MemoryRegistry("p1", self.bus)
        links = Links("p1", self.bus, self.registry)
        self.pod = assemble(loaded, Policies(policies), links, NoTokens(), observer, tracer)
        self._numbers = itertools.count()

    def connect(self, user: str = "", rooms: dict[str, str] | None = None) -> tuple[Connection, RecordingSocket]:
        """A connection that was welcomed."""
        socket = RecordingSocket()
        rights = Rights({"**": "rw"} if rooms is None else rooms)
        identity = Identity(user or f"user-{next(self._numbers)}", rights, time.time() + 3600)
        return at_once(self.pod.sessions.welcome(identity, socket)), socket

    def say(self, connection: Connection, **sentence: object) -> None:
        self.pod.dispatcher.text(connection, json.dumps(sentence))

    def join(self, room: str, user: str = "") -> tuple[Connection, RecordingSocket]:
        connection, socket = self.connect(user)
        self.say(connection, type="join", room=room)
        return connection, socket


def at_once(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """The result of what needs not wait: nobody has to be asked."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    raise AssertionError("it waits for somebody")


async def passes() -> None:
    """Let every delivery that is due happen."""
    for _ in range(5):
        await asyncio.sleep(0)
