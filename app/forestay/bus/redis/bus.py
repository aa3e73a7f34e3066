"""The bus on Redis: one server, one behind sentinels, or a Cluster.

A message to a room without history is published as it is; one to a room with history goes through a script that gives
it its place, keeps it and publishes it in one step. Everything about connections lies behind the fleet.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from itertools import count
from pathlib import Path
from typing import Final

from forestay.bus.redis.client.address import parse_address
from forestay.bus.redis.client.command import Command, Fate, Then
from forestay.bus.redis.client.connection import Complaint, pack
from forestay.bus.redis.client.link import tell_bug
from forestay.bus.redis.client.node import Habits, Node
from forestay.bus.redis.client.nodes import Fleet
from forestay.bus.redis.client.report import Report
from forestay.bus.redis.client.subscription import Subscription
from forestay.bus.redis.history import page, question, standings, standings_question
from forestay.bus.redis.keys import Grammar, Names, idempotency_key
from forestay.bus.redis.messages import Ear, live
from forestay.bus.redis.scripts import PUBLISH
from forestay.bus.redis.topology.discovery import Course
from forestay.core.ports.bus import BusLost, Doubted, Heard, Outcome, Page, Query, Settled, Settlement
from forestay.core.ports.observer import Observer
from forestay.core.rules.policies import Retention
from forestay.protocol.envelope import encode
from forestay.protocol.message import Message, Position
from forestay.protocol.names import RoomName

# Rooms in one question. The script takes about a microsecond for each, and nobody else is served meanwhile.
_TOGETHER: Final = 500

_REFUSED: Final = Settlement(Outcome.REFUSED)
_UNKNOWN: Final = Settlement(Outcome.UNKNOWN)
_ACCEPTED: Final = Settlement(Outcome.ACCEPTED)


class RedisBus:
    def __init__(
        self, url: str, *, timeout: float, probe_interval: float, observer: Observer | None, new_id: Callable[[], str]
    ) -> None:
        """`timeout`: seconds for an answer. `probe_interval`: seconds between two words that the pod says to itself.

        `new_id` makes names of letters, digits, `_` and `-`. Raises ValueError where `url` cannot be used.
        """
        address = parse_address(url)
        if address.ca is not None and not Path(address.ca).is_file():
            raise ValueError(f"?ca= names no file: {address.ca}")
        self._timeout = timeout
        self._sharded = address.cluster
        self.say = b"SPUBLISH" if address.cluster else b"PUBLISH"
        self.grammar = Grammar(address.prefix)
        pod = self._pod = new_id()
        self._numbers = count()
        told = observer.bus if observer is not None else _uncounted
        self._ear = Ear(told)
        self._report = Report(told)
        self._course = Course(address, timeout, probe_interval)
        self._fleet = Fleet(
            self._course.dial,
            self._report,
            self._ear,
            lambda partition: self.grammar.probe(partition, pod),
            Habits(timeout, probe_interval, address.cluster),
        )
        self._keeping: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """Whether what this pod publishes comes back to it, on every node."""
        return self._fleet.up

    @property
    def round_trip(self) -> float | None:
        """Seconds that it took the last time, on the slowest node; None before the first time."""
        times = [node.round_trip for node in self._fleet.nodes.values() if node.round_trip is not None]
        return max(times, default=None)

    @property
    def incarnations(self) -> object:
        """Differs from what it was when a node was restarted or replaced."""
        return frozenset((place, node.incarnation) for place, node in self._fleet.nodes.items())

    def listen(self, heard: Heard, doubted: Doubted) -> None:
        self._ear.give_to(heard, doubted)

    def publish(
        self, message: Message, settled: Settled | None = None, *, kept: Retention | None = None, key: str | None = None
    ) -> None:
        def then(reply: object) -> None:
            if settled is not None:
                settled(_settlement(reply))

        names = self.grammar.of(message.room)
        node = self._fleet.routes[names.partition]
        if node is None:
            then(Fate.REFUSED)
        elif kept is None:
            data = pack(self.say, names.channel, live(encode(message)))
            node.writing.offer(Command(data, then, names.partition))
        else:
            once = None if key is None else idempotency_key(names, message.sender, key)
            data = self._keep(node, names, encode(message), kept, once)
            node.writing.offer(Command(data, then, names.partition))

    def _fresh(self) -> str:
        """An epoch that no room has had: each question brings one along, since it may find that the room needs it."""
        return f"{self._pod}-{next(self._numbers):x}"

    def _keep(self, node: Node, names: Names, envelope: bytes, kept: Retention, once: bytes | None) -> bytes:
        keys = (names.meta, names.stream) if once is None else (names.meta, names.stream, once)
        ttl = max(1, int(kept.ttl * 1000))
        facts = (node.incarnation, self._fresh(), ttl, kept.size, envelope, names.channel, self.say)
        return pack(b"EVALSHA", PUBLISH.digest, len(keys), *keys, *facts)

    def subscribe(self, room: RoomName, confirmed: Callable[[], None]) -> None:
        names = self.grammar.of(room)
        self._fleet.add(Subscription(room, names.channel, names.partition, confirmed))

    def unsubscribe(self, room: RoomName) -> None:
        names = self.grammar.of(room)
        self._fleet.remove(names.partition, names.channel)

    async def history(self, room: RoomName, query: Query, kept: Retention) -> Page:
        names = self.grammar.of(room)
        node = self._node(names.partition)
        data = question(names, query, kept, node.incarnation, self._fresh())
        reply = await self._ask(node, data, names.partition)
        return page(reply, query, self._ear.garbage)

    async def positions(self, rooms: Collection[RoomName]) -> Mapping[RoomName, Position]:
        found: dict[RoomName, Position] = {}
        asked = [asyncio.ensure_future(self._standings(together)) for together in self._together(rooms)]
        try:
            for part in await asyncio.gather(*asked):
                found |= part
        finally:
            for task in asked:
                task.cancel()
        return found

    def _together(self, rooms: Collection[RoomName]) -> list[list[RoomName]]:
        """`rooms` in parts that one script may ask about: on a Cluster, those of one partition."""
        parts: dict[int, list[RoomName]] = {}
        for room in rooms:
            parts.setdefault(self.grammar.of(room).partition if self._sharded else 0, []).append(room)
        return [part[at : at + _TOGETHER] for part in parts.values() for at in range(0, len(part), _TOGETHER)]

    async def _standings(self, rooms: list[RoomName]) -> dict[RoomName, Position]:
        names = [self.grammar.of(room) for room in rooms]
        partition = names[0].partition
        node = self._node(partition)
        data = standings_question([name.meta for name in names], node.incarnation, self._fresh())
        places = standings(await self._ask(node, data, partition), len(rooms))
        return {room: place for room, place in zip(rooms, places, strict=True) if place is not None}

    def write(self, partition: int, data: bytes, then: Then) -> None:
        """Do `data` in the order of publishes, on the node that has `partition`; `then` as Command says."""
        node = self._fleet.routes[partition]
        if node is None:
            then(Fate.REFUSED)
        else:
            node.writing.offer(Command(data, then, partition))

    async def read(self, partition: int, data: bytes) -> object:
        """The reply to a question to the node that has `partition`. Raises BusLost."""
        return await self._ask(self._node(partition), data, partition)

    async def start(self) -> None:
        first = self._report.first()
        self._keeping = asyncio.create_task(self._course.keep(self._fleet))
        self._keeping.add_done_callback(tell_bug)
        await asyncio.wait([first], timeout=self._timeout)
        wrong = first.result() if first.done() else None
        if wrong is not None:
            await self.close()
            raise BusLost(str(wrong)) from wrong

    async def close(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
            self._keeping = None
        await self._fleet.close()

    def _node(self, partition: int) -> Node:
        node = self._fleet.routes[partition]
        if node is None:
            raise BusLost("no node is known to have the room")
        return node

    async def _ask(self, node: Node, data: bytes, partition: int) -> object:
        """The reply to a read. Raises BusLost."""
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()

        def then(reply: object) -> None:
            # Whoever asked may have stopped waiting.
            if not answer.done():
                answer.set_result(reply)

        node.reading.offer(Command(data, then, partition))
        reply = await answer
        if isinstance(reply, Complaint):
            raise BusLost(f"Redis answered {reply.kind}")
        if isinstance(reply, Fate):
            raise BusLost("Redis did not answer")
        return reply


def _settlement(reply: object) -> Settlement:
    """What a reply to a publish means. A Complaint is a no: neither script nor PUBLISH complains half-way."""
    match reply:
        case int():
            return _ACCEPTED
        case [bytes() as epoch, int() as offset]:
            return Settlement(Outcome.ACCEPTED, Position(epoch.decode(), offset))
        case Fate.UNKNOWN:
            return _UNKNOWN
        case _:
            return _REFUSED


def _uncounted(event: str) -> None:
    """Nobody counts."""
