"""One Redis node that takes writes: a pipeline for writes, one for reads, a listener, and a probe that tests them.

The node is up while its probes come back and it can be read. Messages of rooms do not pass through this module.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from forestay.bus.redis.client.address import HostPort
from forestay.bus.redis.client.command import Command, ErrorReply
from forestay.bus.redis.client.link import Link, NodeAccess
from forestay.bus.redis.client.listener import Listener
from forestay.bus.redis.client.pipeline import Pipeline
from forestay.bus.redis.client.probe import Probe, ProbeChannel
from forestay.bus.redis.client.report import Report
from forestay.bus.redis.client.subscription import Receiver

# Reads in one batch. An answer may be a megabyte, and the next ones wait behind it.
_MAX_READS: Final = 32


class NodeOwner(Protocol):
    """Learns whether a node works, and which commands belong to other nodes."""

    def node_up(self) -> None: ...

    def node_down(self, node: "Node", reason: str) -> None: ...

    def redirected(self, node: "Node", pipeline: Pipeline, commands: Sequence[tuple[Command, ErrorReply]]) -> None:
        """As PipelineOwner says."""


class Node:
    def __init__(
        self,
        access: NodeAccess,
        owner: NodeOwner,
        receiver: Receiver,
        report: Report,
        channel: ProbeChannel,
        probe_interval: float,
    ) -> None:
        """`channel`: where the pod publishes its probes on this node. `probe_interval`: seconds between two of them."""
        self.host = access.host
        self._owner = owner
        self._listening = False
        self._probe_ok = False
        """Whether the last probe came back."""
        self.up = False
        self.incarnation = b""
        """That of the last connection, as Dialed says."""
        self.writing = Pipeline(access, self, report)
        self.reading = Pipeline(access, self, report, _MAX_READS)
        self._probe = Probe(self.writing, self, report, channel, access.pubsub.publish, probe_interval)
        self.listener = Listener(access, self, receiver, self._probe, report)

    @property
    def round_trip(self) -> float | None:
        """Seconds that the last probe took; None before the first one came back."""
        return self._probe.round_trip

    @property
    def probe_partition(self) -> int:
        return self._probe.channel.partition

    def start(self) -> None:
        for part in (self.writing, self.reading, self.listener):
            part.start()

    async def close(self) -> None:
        self._probe.stop()
        for part in (self.writing, self.reading, self.listener):
            await part.close()
        # A part that came up while others closed has started it again.
        self._probe.stop()

    def move_probe(self, channel: ProbeChannel) -> None:
        """Probe on `channel` from now on: the node has lost the slot of the old one."""
        old = self._probe.channel
        self._probe.move(channel)
        self.listener.probe_moved(old.name)

    def server_moved(self, host: HostPort) -> None:
        """The server is at `host` now: replace the connections that lead elsewhere."""
        for link in self._links:
            if link.host not in (None, host):
                link.reconnect(f"the server is now {host}")

    @property
    def _links(self) -> tuple[Link, ...]:
        return self.writing.link, self.reading.link, self.listener.link

    # Called by the probe.

    def probe_returned(self) -> None:
        self._probe_ok = True
        self._check_up()

    def probe_missing(self) -> None:
        self._down("the probe did not come back")

    def subscriptions_lost(self) -> None:
        self.listener.link.reconnect("the probe did not come back")

    # Called by the pipelines.

    def pipeline_up(self, incarnation: bytes) -> None:
        self.incarnation = incarnation
        self._reached()
        self._check_up()

    def pipeline_down(self, reason: str) -> None:
        self._down(reason)

    def redirected(self, pipeline: Pipeline, commands: Sequence[tuple[Command, ErrorReply]]) -> None:
        self._owner.redirected(self, pipeline, commands)

    # Called by the listener.

    def listening(self) -> None:
        self._listening = True
        self._reached()

    def not_listening(self, reason: str) -> None:
        self._listening = False
        self._down(reason)

    def _reached(self) -> None:
        """The server was reached: the other links need not wait, and a probe is sent before it is due."""
        for link in self._links:
            link.retry_now()
        if not self._probe_ok and self._listening and self.writing.up:
            self._probe.send()

    def _check_up(self) -> None:
        if not self.up and self._probe_ok and self.reading.up:
            self.up = True
            self._owner.node_up()

    def _down(self, reason: str) -> None:
        self._probe_ok = False
        if self.up:
            self.up = False
            self._owner.node_down(self, reason)
