"""The bus on Redis: one server, one behind sentinels, or a Cluster.

A message to a room without history is published as it is. A message to a room with history goes through a script,
which gives it a position, keeps it and publishes it in one step. The folder `client` keeps the connections.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import count

from forestay.bus.redis.client.address import HostPort
from forestay.bus.redis.client.command import Command, ErrorReply, Failure, Settle
from forestay.bus.redis.client.connection import pack
from forestay.bus.redis.client.link import NodeAccess
from forestay.bus.redis.client.node import Node
from forestay.bus.redis.client.nodes import NodeOptions, Nodes
from forestay.bus.redis.client.probe import ProbeChannel
from forestay.bus.redis.client.report import Report
from forestay.bus.redis.client.subscription import PLAIN, SHARDED, Subscription
from forestay.bus.redis.client.tls import usable_address
from forestay.bus.redis.event_log import Adding, EventLog, tell_message
from forestay.bus.redis.guard import TRUSTING, Guard
from forestay.bus.redis.history import (
    Asker,
    forget_command,
    in_parts,
    page_command,
    positions_command,
    read_forgotten,
    read_page,
    read_positions,
)
from forestay.bus.redis.keys import KeySpace, RoomKeys, idempotency_key
from forestay.bus.redis.messages import MessageReceiver, encode_live
from forestay.bus.redis.scripts import PUBLISH
from forestay.bus.redis.settlements import settlement
from forestay.bus.redis.topology.dialer import Dialer
from forestay.bus.redis.topology.discovery import Discovery
from forestay.bus.redis.topology.sentinels import Sentinels
from forestay.core.ports.bus import BusFull, BusLost, Forgotten, Page, Query, Settled, Subscriber
from forestay.core.ports.observer import Observer
from forestay.core.ports.tasks import Tasks
from forestay.core.ports.webhooks import NO_EVENTS, EventBounds
from forestay.core.rules.policies import Retention
from forestay.protocol.message import Message, content_digest
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position


@dataclass(frozen=True, slots=True)
class BusLimits:
    """What bounds the bus. Times are in seconds."""

    timeout: float
    """For a reply."""
    probe_interval: float
    """From one probe to the next."""
    events: EventBounds = NO_EVENTS
    """How many events wait for the receiver of webhooks."""


class RedisBus:
    def __init__(
        self,
        url: str,
        *,
        limits: BusLimits,
        observer: Observer | None,
        new_id: Callable[[], str],
        tasks: Tasks,
        guard: Guard = TRUSTING,
    ) -> None:
        """`guard` decides which messages from Redis are believed.

        `new_id` makes names of letters, digits, `_` and `-`. `tasks` runs the links and discovery. Raises ValueError if
        `url` cannot be used.
        """
        address = usable_address(url)
        self._timeout = timeout = limits.timeout
        self._cluster = address.cluster
        self._pubsub = SHARDED if address.cluster else PLAIN
        self.keys = KeySpace(address.prefix, cluster=address.cluster)
        self._pod = new_id()
        self._epochs = count()
        self.older_pods = False
        """Whether a pod of a release is there that knows no first epoch. Written by the registry."""
        self._report = Report((observer or Observer()).bus)
        self._receiver = MessageReceiver(self._report, guard)
        self.guard = guard
        self.events = EventLog(self.keys, guard, limits.events, self._receiver.dropped)
        sentinels = Sentinels(address) if address.master is not None else None
        dialer = Dialer(address, sentinels, self._report, timeout)

        def access(host: HostPort) -> NodeAccess:
            return NodeAccess(host, dialer.to(host), tasks, timeout, self._pubsub)

        options = NodeOptions(address.cluster, access, self._probe_channel, limits.probe_interval)
        self._nodes = Nodes(options, self._receiver, self._report, tasks)
        self._discovery = Discovery(address, sentinels, self._nodes, self._report, tasks, limits.probe_interval)

    @property
    def up(self) -> bool:
        """Whether the pod's probes come back, on every node."""
        return self._nodes.up

    @property
    def round_trip(self) -> float | None:
        """Seconds that the last probe took, on the slowest node; None before the first one came back."""
        times = [node.round_trip for node in self._nodes.nodes.values() if node.round_trip is not None]
        return max(times, default=None)

    @property
    def incarnations(self) -> object:
        """A value that is another one after a node was restarted or replaced."""
        return frozenset((host, node.incarnation) for host, node in self._nodes.nodes.items())

    @property
    def publish_verb(self) -> bytes:
        """PUBLISH, or SPUBLISH on a Cluster."""
        return self._pubsub.publish

    def publish(
        self,
        message: Message,
        settled: Settled | None = None,
        *,
        kept: Retention | None = None,
        key: str | None = None,
        create: bool = True,
        told: bytes | None = None,
    ) -> None:
        def settle(reply: object) -> None:
            if settled is not None:
                settled(settlement(reply))

        keys = self.keys.room(message.room)
        node = self._nodes.routes[keys.partition]
        if node is None:
            settle(Failure.REFUSED)
            return
        adding = None if told is None else self.events.adding(keys.partition, told)
        if kept is not None:
            once = None if key is None else (idempotency_key(keys, message.sender, key), content_digest(message))
            envelope = self.guard.encode(keys.channel, message)
            data = self._publish_command(keys, envelope, kept, once, create=create, adding=adding)
        elif adding is not None:
            data = tell_message(adding, self.encode_live(keys, message), keys.channel, self._pubsub.publish)
        else:
            data = pack(self._pubsub.publish, keys.channel, self.encode_live(keys, message))
        done = settle if adding is None else self.events.waking(keys.partition, settle)
        node.writing.offer(Command(data, done, keys.partition))

    def encode_live(self, keys: RoomKeys, message: Message) -> bytes:
        """The data that a message without a position has on the channel of its room."""
        return encode_live(self.guard.encode(keys.channel, message))

    def new_epoch(self) -> str:
        """An epoch that no room has had. Commands carry one, in case that a room needs it or Redis has no seed."""
        return f"{self._pod}-{next(self._epochs):x}"

    def _asker(self, node: Node) -> Asker:
        return Asker(node.incarnation, self.new_epoch(), self.older_pods)

    def _publish_command(
        self,
        keys: RoomKeys,
        envelope: bytes,
        kept: Retention,
        once: tuple[bytes, bytes] | None,
        *,
        create: bool,
        adding: Adding | None,
    ) -> bytes:
        """`once`: the key under which Redis remembers the publish, and the digest of its content."""
        names = [keys.meta, keys.stream, keys.seed]
        rest: list[bytes | int | str] = [kept.bytes, int(create)] if kept.bytes or not create or once or adding else []
        if once is not None:
            names.append(once[0])
            rest.append(once[1])
        if adding is not None:
            names += adding.keys
            rest += adding.arguments
        run, ttl = self._node(keys.partition).incarnation, max(1, int(kept.ttl * 1000))
        arguments = (run, self.new_epoch(), ttl, kept.size, envelope, keys.channel, self._pubsub.publish)
        return pack(b"EVALSHA", PUBLISH.digest, len(names), *names, *arguments, *rest)

    def _probe_channel(self, partition: int) -> ProbeChannel:
        return ProbeChannel(partition, self.keys.probe(partition, self._pod))

    def subscribe(self, room: RoomName, subscriber: Subscriber) -> None:
        keys = self.keys.room(room)
        self._nodes.add(Subscription(room, keys.channel, keys.partition, subscriber))

    def unsubscribe(self, room: RoomName) -> None:
        keys = self.keys.room(room)
        self._nodes.remove(keys.partition, keys.channel)

    async def history(self, room: RoomName, query: Query, kept: Retention) -> Page:
        keys = self.keys.room(room)
        node = self._node(keys.partition)
        reply = await self._ask(node, page_command(keys, query, kept, self._asker(node)), keys.partition)

        def decode(envelope: bytes, position: Position) -> Message:
            return self.guard.decode(keys.channel, envelope, position, room, live=False)

        return read_page(reply, query, decode, self._receiver.dropped)

    async def forget(self, room: RoomName) -> Forgotten:
        keys = self.keys.room(room)
        node = self._node(keys.partition)
        return read_forgotten(await self._ask(node, forget_command(keys, node.incarnation), keys.partition))

    async def positions(self, rooms: Collection[RoomName]) -> Mapping[RoomName, Position]:
        found: dict[RoomName, Position] = {}
        keys = {room: self.keys.room(room) for room in rooms}
        parts = [asyncio.ensure_future(self._positions(part)) for part in in_parts(keys, cluster=self._cluster)]
        try:
            for part in await asyncio.gather(*parts):
                found |= part
        finally:
            for task in parts:
                task.cancel()
        return found

    async def _positions(self, rooms: Mapping[RoomName, RoomKeys]) -> dict[RoomName, Position]:
        keys = list(rooms.values())
        partition = keys[0].partition
        node = self._node(partition)
        data = positions_command(keys, self._asker(node))
        positions = read_positions(await self._ask(node, data, partition), len(rooms))
        return {room: position for room, position in zip(rooms, positions, strict=True) if position is not None}

    def write(self, partition: int, data: bytes, settle: Settle) -> None:
        """Send `data` in the order of publishes, to the node that has `partition`."""
        node = self._nodes.routes[partition]
        if node is None:
            settle(Failure.REFUSED)
        else:
            node.writing.offer(Command(data, settle, partition))

    async def read(self, partition: int, data: bytes) -> object:
        """Send `data` to the node that has `partition`, and return the reply. Raises BusLost."""
        return await self._ask(self._node(partition), data, partition)

    async def start(self) -> None:
        first_result = self._report.first_result()
        self._discovery.start()
        await asyncio.wait([first_result], timeout=self._timeout)
        error = first_result.result() if first_result.done() else None
        if error is not None:
            await self.close()
            raise BusLost(str(error)) from error

    async def close(self) -> None:
        await self._discovery.close()
        await self._nodes.close()

    def _node(self, partition: int) -> Node:
        node = self._nodes.routes[partition]
        if node is None:
            raise BusLost("no node is known to have the room")
        return node

    async def _ask(self, node: Node, data: bytes, partition: int) -> object:
        """The reply to a read. Raises BusLost."""
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()

        def settle(reply: object) -> None:
            # The caller may have been cancelled.
            if not answer.done():
                answer.set_result(reply)

        node.reading.offer(Command(data, settle, partition))
        reply = await answer
        if isinstance(reply, ErrorReply):
            raise BusFull("Redis has reached its maxmemory") if reply.full else BusLost(f"Redis replied {reply.kind}")
        if isinstance(reply, Failure):
            raise BusLost("Redis did not reply")
        return reply
