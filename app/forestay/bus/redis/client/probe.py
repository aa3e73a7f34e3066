"""Publishes a probe to the pod itself through a node, again and again, and checks that it comes back.

Only this proves that the bus works: a connection to a server that stopped, or a half-open one, looks like a connection
without traffic. A probe that Redis accepted and that does not come back shows that the subscriptions are lost.
"""

import asyncio
from time import perf_counter
from typing import NamedTuple, Protocol

from forestay.bus.redis.client.command import Command, ErrorReply
from forestay.bus.redis.client.connection import Misconfigured, pack
from forestay.bus.redis.client.pipeline import Pipeline
from forestay.bus.redis.client.report import Report


class ProbeChannel(NamedTuple):
    """The channel on which a pod publishes its probes, with its partition."""

    partition: int
    name: bytes


class ProbeOwner(Protocol):
    def probe_returned(self) -> None:
        """A probe came back."""

    def probe_missing(self) -> None:
        """No probe has come back for an interval."""

    def subscriptions_lost(self) -> None:
        """A probe was accepted and did not come back: the node sends nothing to the pod's subscriptions."""


class Probe:
    def __init__(
        self,
        pipeline: Pipeline,
        owner: ProbeOwner,
        report: Report,
        channel: ProbeChannel,
        verb: bytes,
        interval: float,
    ) -> None:
        """`verb`: PUBLISH or SPUBLISH. `interval`: seconds between two probes, and how long one may take."""
        self._loop = asyncio.get_running_loop()
        self._pipeline = pipeline
        self._owner = owner
        self._report = report
        self._channel = channel
        self._verb = verb
        self._interval = interval
        self._number = 0
        """The number of the last probe, which is its payload."""
        self._sent_at = 0.0
        self._accepted_at: float | None = None
        """When Redis had it; None until then."""
        self._under_way = False
        self._timer: asyncio.TimerHandle | None = None
        self.round_trip: float | None = None
        """Seconds that the last probe took; None before the first one came back."""

    @property
    def channel(self) -> ProbeChannel:
        return self._channel

    def move(self, channel: ProbeChannel) -> None:
        """Publish on `channel` from now on."""
        self._channel = channel

    def send(self) -> None:
        """Send a probe now, and one every interval from now on."""
        self.stop()
        self._number += 1
        self._sent_at = perf_counter()
        self._under_way, self._accepted_at = True, None
        self._timer = self._loop.call_later(self._interval, self._check)
        self._publish(self._number)

    def stop(self) -> None:
        """Send no more probes."""
        self._under_way = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def received(self, payload: bytes) -> None:
        """A probe came in. Only the last one counts."""
        if self._under_way and payload == b"%d" % self._number:
            self._under_way = False
            self.round_trip = perf_counter() - self._sent_at
            self._owner.probe_returned()

    def _publish(self, number: int) -> None:
        def settle(reply: object) -> None:
            if isinstance(reply, ErrorReply) and reply.kind == "NOPERM":
                self._report.connect_failed(Misconfigured(f"{reply}; allow the Redis user our channels"))
            if isinstance(reply, int) and number == self._number:
                self._accepted_at = self._loop.time()

        partition, channel = self._channel
        self._pipeline.offer(Command(pack(self._verb, channel, b"%d" % number), settle, partition))

    def _check(self) -> None:
        """The interval has ended."""
        if not self._under_way or self._accepted_at is None:
            if self._under_way:
                self._owner.probe_missing()
            self.send()
            return
        # A Redis that was paused sends the reply and the probe at once; allow some time to read the second one.
        wait = self._accepted_at + self._interval / 5 - self._loop.time()
        if wait > 0:
            self._timer = self._loop.call_later(wait, self._check)
            return
        self.stop()
        self._owner.probe_missing()
        self._report.probe_lost()
        self._owner.subscriptions_lost()
