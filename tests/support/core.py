"""A core wired as in production, with transports that record what is written to them."""

import asyncio
import itertools
import json
import time
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from forestay.bus.memory.bus import MemoryBus
from forestay.bus.memory.registry import MemoryRegistry
from forestay.bus.memory.webhooks import MemoryEvents, MemoryWebhooks
from forestay.core.facts.traffic import Traffic
from forestay.core.fanout.connection import Connection
from forestay.core.ports.group_writer import GroupWriter
from forestay.core.ports.observer import Observer
from forestay.core.ports.registry import Registry
from forestay.core.ports.tracer import Tracer
from forestay.core.ports.webhooks import EventBounds
from forestay.core.rules.access import Identity, Rights
from forestay.core.rules.policies import Policies, Policy
from forestay.pod.hooks import Application
from forestay.pod.links import Links
from forestay.pod.wiring import Observed, assemble
from forestay.protocol.codes import Ending, ErrorCode, Refusal
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from forestay.protocol.requests import Binary, Unreadable
from forestay.protocol.v1.reader import Reader
from forestay.protocol.v1.wire import V1Wire
from forestay.protocol.wire import Wire
from forestay.settings import settings
from tests.support.line_wire import tail
from tests.support.tasks import PlainTasks

Result = TypeVar("Result")

V1 = V1Wire(time.time, Reader(512, 100))
"""For transports that are made without a pod."""


class RecordingTransport:
    """A client whose kernel takes everything, or nothing while `stuck`."""

    def __init__(self, wire: Wire = V1) -> None:
        self.wire = wire
        self.writes: list[bytes] = []
        self.waiting = 0
        self.held: list[bytes] | None = None
        """A write that is made beside the loop, and what waits for it; None where there is no such write."""
        self.stuck = False
        self.ending: Ending | None = None
        self.gone = False
        self.reading_held = False

    def write(self, data: bytes, /) -> None:
        assert self.ending is None, "written after the close"
        if self.held is not None:
            self.held.append(data)
        else:
            self._take(data)

    def release(self) -> None:
        """The write beside the loop is made. What waited for it follows, also where a close waits too."""
        held, self.held = self.held or [], None
        for data in held:
            self._take(data)

    def _take(self, data: bytes) -> None:
        self.writes.append(data)
        if self.stuck:
            self.waiting += len(data)

    def tail(self, positions: Mapping[RoomName, Position], /) -> bytes:
        assert self.wire.tailed, "only asked where the wire is tailed"
        return tail(positions)

    def buffered(self) -> int:
        return self.waiting + sum(len(data) for data in self.held or ())

    def closed(self) -> bool:
        return self.gone or self.ending is not None

    def hold_reading(self) -> None:
        self.reading_held = True

    def close(self, ending: Ending) -> None:
        self.ending = ending

    def heard(self) -> list[dict[str, Any]]:
        """Every JSON object written so far. For the v1 wire."""
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
    """A Verifier that refuses every token."""

    async def verify(self, token: str) -> Identity:
        raise Refusal(ErrorCode.BAD_TOKEN, "no")

    async def close(self) -> None:
        """There is nothing to close."""


class Core:
    """One pod without listeners, inside the running loop."""

    def __init__(
        self,
        *policies: Policy,
        bus: MemoryBus | None = None,
        registry: Registry | None = None,
        observer: Observer | None = None,
        tracer: Tracer | None = None,
        group_writer: GroupWriter | None = None,
        traffic: Traffic | None = None,
        application: Application | None = None,
        **given: object,
    ) -> None:
        # Clients of a test answer no ping, and a busy machine takes its time.
        values = {"message_rate": 0, "flush_rest": 0, "jwt_secret": "x" * 32, "ping_interval": 3600} | given
        loaded = settings.load({}, **values)
        self.events = MemoryEvents(EventBounds(1000, 2**20, "the receiver"))
        self.bus = bus or MemoryBus(events=self.events)
        self.registry = registry or MemoryRegistry("p1", self.bus)
        links = Links("p1", self.bus, self.registry, PlainTasks(), MemoryWebhooks(self.events, 30.0), application)
        self.traffic = traffic or Traffic()
        observed = Observed(observer, tracer, self.traffic)
        self.pod = assemble(loaded, Policies(policies), links, NoTokens(), observed, group_writer)
        self._numbers = itertools.count()

    def connect(
        self, user: str = "", rooms: dict[str, str] | None = None, wire: Wire | None = None
    ) -> tuple[Connection, RecordingTransport]:
        """A welcomed connection. `rooms`: its rights; default all of them."""
        transport = RecordingTransport(wire or self.pod.wires.plain)
        rights = Rights({"**": "rw"} if rooms is None else rooms)
        identity = Identity(user or f"user-{next(self._numbers)}", rights, time.time() + 3600)
        connection = at_once(self.pod.sessions.start(identity, transport))
        self.pod.sessions.greet(connection)
        return connection, transport

    def connect_again(self, beside: Connection, wire: Wire) -> tuple[Connection, RecordingTransport]:
        """One more connection of the client that has `beside`: they share a rate."""
        transport = RecordingTransport(wire)
        sessions = self.pod.sessions
        connection = at_once(sessions.start(beside.identity, transport, beside.bucket))
        sessions.greet(connection)
        return connection, transport

    def say(self, connection: Connection, **request: object) -> None:
        """The client sends a request, as JSON."""
        text = json.dumps(request)
        try:
            read = self.pod.wires.plain.reader.read(text.encode())
        except Unreadable as unreadable:
            self.pod.dispatcher.reject(connection, unreadable, len(text))
        else:
            self.pod.dispatcher.dispatch(connection, read, len(text))

    async def ask(self, connection: Connection, **request: object) -> None:
        """The client sends a request that has to wait, and it is carried out."""
        work = self.pod.dispatcher.dispatch(
            connection, self.pod.wires.plain.reader.read(json.dumps(request).encode()), 0
        )
        if work is not None:
            await work

    def send_binary(self, connection: Connection, data: bytes) -> None:
        """The client sends a binary message."""
        self.pod.dispatcher.dispatch(connection, Binary(data=data), len(data))

    def join(self, room: str, user: str = "", wire: Wire | None = None) -> tuple[Connection, RecordingTransport]:
        """A welcomed connection that has joined `room`."""
        connection, transport = self.connect(user, wire=wire)
        self.say(connection, type="join", room=room)
        return connection, transport


def at_once(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine that does not have to wait."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    raise AssertionError("the coroutine waits")


async def passes() -> None:
    """Let every pass run that is due."""
    for _ in range(5):
        await asyncio.sleep(0)
