"""The nodes that the bus is made of, which of them has which partition, and what moves when that changes.

A single Redis, or the master that sentinels name, is one node that has everything. On a Cluster each primary that has
any of our partitions is one. When a partition moves, what waits for it moves along in its order, and its rooms are
subscribed to at the new node and doubted. Who is responsible is found out elsewhere and told here.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from forestay.bus.redis.client.address import Place
from forestay.bus.redis.client.command import Command, Fate
from forestay.bus.redis.client.connection import Away, Complaint, Misconfigured, pack
from forestay.bus.redis.client.link import Dial
from forestay.bus.redis.client.node import Habits, Node
from forestay.bus.redis.client.pipeline import Lane
from forestay.bus.redis.client.subscription import Ear, Subscription
from forestay.bus.redis.keys import PARTITIONS
from forestay.bus.redis.topology.cluster import target

Probe = Callable[[int], bytes]
"""The pod's own channel in a partition."""


class Owner(Protocol):
    """Who is told how the bus fares as a whole."""

    def works(self) -> None:
        """Every partition has a node, and every node works."""

    def fails(self, why: str) -> None: ...

    def deaf(self) -> None: ...

    def failed(self, error: Away | Misconfigured) -> None: ...

    def complained(self, complaint: Complaint) -> None: ...


class Fleet:
    def __init__(self, dial: Callable[[Place], Dial], owner: Owner, ear: Ear, probe: Probe, habits: Habits) -> None:
        """`dial`: how to reach the node at a place."""
        self._dial = dial
        self._owner = owner
        self._ear = ear
        self._probe = probe
        self._habits = habits
        self._nodes: dict[Place, Node] = {}
        self._subscriptions: list[dict[bytes, Subscription]] = [{} for _ in range(PARTITIONS)]
        self._leaving: set[asyncio.Task[None]] = set()
        self.up = False
        """Whether every partition has a node and every node works."""
        self.routes: list[Node | None] = [None] * PARTITIONS
        """Who has each partition; None where nobody does or nobody is known yet."""
        self.stale = asyncio.Event()
        """Set when something says that the nodes or their shares may have changed."""

    @property
    def nodes(self) -> Mapping[Place, Node]:
        return self._nodes

    def add(self, subscription: Subscription) -> None:
        self._subscriptions[subscription.partition][subscription.channel] = subscription
        node = self.routes[subscription.partition]
        if node is not None:
            node.listener.add(subscription)

    def remove(self, partition: int, channel: bytes) -> None:
        if self._subscriptions[partition].pop(channel, None) is not None:
            node = self.routes[partition]
            if node is not None:
                node.listener.remove(channel)

    def assign(self, shares: Mapping[Place, frozenset[int]]) -> None:
        """From now on the nodes are those in `shares`, each with its partitions."""
        for place, share in shares.items():
            node = self._nodes.get(place) or self._launch(place, min(share))
            self._move(share, node)
            node.listener.retry()
        orphans = frozenset(range(PARTITIONS)).difference(*shares.values())
        for partition in orphans:
            self.routes[partition] = None
        for place in self._nodes.keys() - shares.keys():
            self._retire(place)
        for node in self._nodes.values():
            share = shares[node.home]
            if node.probe_partition not in share:
                self._probe_anew(node, min(share))
        self._judge("the nodes have changed")

    async def close(self) -> None:
        self.up = False
        self.routes = [None] * PARTITIONS
        for place in list(self._nodes):
            self._retire(place)
        if self._leaving:
            await asyncio.wait(self._leaving)

    # What the nodes report.

    def node_up(self, node: Node) -> None:
        self._judge("")

    def node_down(self, node: Node, why: str) -> None:
        self.stale.set()
        self._judge(f"{node.home}: {why}")

    def failed(self, error: Away | Misconfigured) -> None:
        self.stale.set()
        self._owner.failed(error)

    def deaf(self) -> None:
        self._owner.deaf()

    def complained(self, complaint: Complaint) -> None:
        self._owner.complained(complaint)

    def displaced(self) -> None:
        self.stale.set()

    def elsewhere(self, node: Node, lane: Lane, commands: Sequence[tuple[Command, Complaint]]) -> None:
        """Send what `node` turned down where it said, ahead of what waits for the same partition, and that as well."""
        moved: dict[Place, set[int]] = {}
        for command, complaint in commands:
            place = target(complaint, node.home) if self._habits.sharded else None
            if place is None:
                self._owner.complained(complaint)
                command.then(Fate.REFUSED)
                continue
            other = self._nodes.get(place) or self._launch(place, command.partition)
            onwards = other.reading if lane is node.reading else other.writing
            if complaint.kind == "ASK":
                onwards.offer(Command(pack("ASKING"), _nothing, command.partition))
            else:
                moved.setdefault(place, set()).add(command.partition)
            onwards.offer(command)
        for place, partitions in moved.items():
            self._move(partitions, self._nodes[place])
        self.stale.set()

    def _launch(self, place: Place, partition: int) -> Node:
        probe = (partition, self._probe(partition))
        node = self._nodes[place] = Node(place, self._dial(place), self, self._ear, probe, self._habits)
        node.start()
        return node

    def _retire(self, place: Place) -> None:
        task = asyncio.create_task(self._nodes.pop(place).close())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _probe_anew(self, node: Node, partition: int) -> None:
        node.probe_on((partition, self._probe(partition)))

    def _move(self, partitions: frozenset[int] | set[int], node: Node) -> None:
        for partition in partitions:
            old = self.routes[partition]
            if old is node:
                continue
            self.routes[partition] = node
            if old is not None:
                for command in old.writing.withdraw(partition):
                    node.writing.offer(command)
                for command in old.reading.withdraw(partition):
                    node.reading.offer(command)
            for subscription in self._subscriptions[partition].values():
                if old is not None:
                    old.listener.remove(subscription.channel)
                if subscription.confirmed is None:
                    subscription.doubtful = True
                node.listener.add(subscription)

    def _judge(self, why: str) -> None:
        """Say so where the whole is up or down, and was not."""
        up = None not in self.routes and all(node.up for node in self._nodes.values())
        if up and not self.up:
            self.up = True
            self._owner.works()
        elif self.up and not up:
            self.up = False
            self._owner.fails(why)


def _nothing(_: object) -> None:
    """The reply to ASKING is of no interest: what follows it is answered."""
