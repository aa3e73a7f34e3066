"""The nodes of the bus: which one has which partition, and what moves when that changes.

A single Redis, or the master that sentinels name, is one node that has every partition. On a Cluster each primary that
has any of our partitions is one. When a partition moves, its waiting commands move along in their order. Its rooms are
subscribed to at the new node, and doubted. Discovery finds out which node has what, and calls `assign`.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from forestay.bus.redis.client.address import HostPort
from forestay.bus.redis.client.command import Command, ErrorReply, Failure
from forestay.bus.redis.client.connection import pack
from forestay.bus.redis.client.link import NodeAccess
from forestay.bus.redis.client.node import Node
from forestay.bus.redis.client.pipeline import Pipeline
from forestay.bus.redis.client.probe import ProbeChannel
from forestay.bus.redis.client.report import Report
from forestay.bus.redis.client.subscription import Receiver, Subscription
from forestay.bus.redis.keys import PARTITIONS
from forestay.core.ports.tasks import Tasks


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What is the same for every node."""

    cluster: bool
    """Whether nodes may redirect commands to each other."""
    access: Callable[[HostPort], NodeAccess]
    probe_channel: Callable[[int], ProbeChannel]
    """The pod's channel in a partition."""
    probe_interval: float
    """Seconds between two probes."""


class Nodes:
    def __init__(self, options: NodeOptions, receiver: Receiver, report: Report, tasks: Tasks) -> None:
        self._options = options
        self._receiver = receiver
        self._report = report
        self._tasks = tasks
        self._nodes: dict[HostPort, Node] = {}
        self._subscriptions: list[dict[bytes, Subscription]] = [{} for _ in range(PARTITIONS)]
        self._closing: set[asyncio.Task[None]] = set()
        self.up = False
        """Whether every partition has a node and every node works."""
        self.routes: list[Node | None] = [None] * PARTITIONS
        """The node of each partition; None while it is unknown."""

    @property
    def nodes(self) -> Mapping[HostPort, Node]:
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

    def assign(self, shares: Mapping[HostPort, frozenset[int]]) -> None:
        """Use the nodes in `shares` from now on, each with its partitions."""
        for host, share in shares.items():
            node = self._nodes.get(host) or self._start_node(host, min(share))
            self._move(share, node)
            node.listener.retry()
        unassigned = frozenset(range(PARTITIONS)).difference(*shares.values())
        for partition in unassigned:
            self.routes[partition] = None
        for host in self._nodes.keys() - shares.keys():
            self._close_node(host)
        for node in self._nodes.values():
            share = shares[node.host]
            if node.probe_partition not in share:
                node.move_probe(self._options.probe_channel(min(share)))
        self._update_state("the nodes have changed")

    async def close(self) -> None:
        self.up = False
        self.routes = [None] * PARTITIONS
        for host in list(self._nodes):
            self._close_node(host)
        if self._closing:
            await asyncio.wait(self._closing)

    # Called by the nodes.

    def node_up(self) -> None:
        self._update_state("")

    def node_down(self, node: Node, reason: str) -> None:
        self._report.topology_stale.set()
        self._update_state(f"{node.host}: {reason}")

    def redirected(self, node: Node, pipeline: Pipeline, commands: Sequence[tuple[Command, ErrorReply]]) -> None:
        """Send the commands where the replies say, before those that wait for the same partition, and these as well."""
        moved: dict[HostPort, set[int]] = {}
        for command, error in commands:
            host = error.redirect(node.host) if self._options.cluster else None
            if host is None:
                self._report.error_reply(error)
                command.settle(Failure.REFUSED)
                continue
            other = self._nodes.get(host) or self._start_node(host, command.partition)
            target = other.reading if pipeline is node.reading else other.writing
            if error.kind == "ASK":
                target.offer(Command(pack("ASKING"), _ignore, command.partition))
            else:
                moved.setdefault(host, set()).add(command.partition)
            target.offer(command)
        for host, partitions in moved.items():
            self._move(partitions, self._nodes[host])
        self._report.topology_stale.set()

    def _start_node(self, host: HostPort, partition: int) -> Node:
        options = self._options
        channel = options.probe_channel(partition)
        node = Node(options.access(host), self, self._receiver, self._report, channel, options.probe_interval)
        self._nodes[host] = node
        node.start()
        return node

    def _close_node(self, host: HostPort) -> None:
        task = self._tasks.once("redis_node_close", self._nodes.pop(host).close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

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
                subscription.interrupt()
                node.listener.add(subscription)

    def _update_state(self, reason: str) -> None:
        """Report when the bus as a whole comes up or goes down."""
        up = None not in self.routes and all(node.up for node in self._nodes.values())
        if up and not self.up:
            self.up = True
            self._report.connected()
        elif self.up and not up:
            self.up = False
            self._report.lost(reason)


def _ignore(_: object) -> None:
    """Takes the reply to ASKING. The command after it has its own."""
