"""Counts what happens to each message. The core adds to these numbers directly, and a scrape reads them.

What happens less often is told to an Observer. A call with arguments for every message would cost more than the numbers
that come of it.
"""

from collections.abc import Sequence
from typing import Final

from forestay.core.facts.histogram import Histogram
from forestay.protocol.message import Message
from forestay.protocol.timestamps import StampReader

PUBLISH_BUCKETS: Final[tuple[float, ...]] = (
    0.0005,
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    1.0,
    2.0,
    5.0,
    10.0,
)
"""Seconds until the bus answers a publish: from a Redis nearby to the timeout."""

LATENCY_BUCKETS: Final[tuple[float, ...]] = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds from pod to pod. The time in a message has milliseconds, so finer bounds would mean nothing. The upper bounds
are for messages that fill a gap."""

WAIT_BUCKETS: Final[tuple[float, ...]] = (0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
"""Seconds that a message waits for its pass. The rest of a room is capped; the delay of a busy loop is not."""

BATCH_BUCKETS: Final[tuple[float, ...]] = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
"""Messages in one write."""

PASS_BUCKETS: Final[tuple[float, ...]] = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
"""Seconds of a delivery pass. A room of a thousand members takes about ten milliseconds."""

Arrival = tuple[Message, int, float]
"""A message, the number of members it is for, and the time when it came from the bus, by `Runtime.perf`."""


class Traffic:
    """The numbers of one pod. They only grow."""

    def __init__(self, *, exemplars: bool = False) -> None:
        """`exemplars`: keep the trace contexts of messages. Without tracing they come from the clients, unchanged."""
        self.exemplars = exemplars
        self._broadcasts = 0
        self._others: dict[str, int] = {}
        """What clients sent besides broadcasts, see `received`."""
        self.received_bytes = 0
        self.accepted = Histogram(PUBLISH_BUCKETS)
        """Seconds from the moment when a message came to the moment when the bus had it."""
        self.refused = Histogram(PUBLISH_BUCKETS)
        """The same for those that the bus refused."""
        self.unknown = Histogram(PUBLISH_BUCKETS)
        """The same for those whose outcome is not known."""
        self.deliveries = 0
        """Messages times the members that they were queued for."""
        self.latency = Histogram(LATENCY_BUCKETS)
        """Seconds from the moment when a pod accepted a message to its last write on this pod."""
        self.early = 0
        """Messages whose latency was negative by the clocks."""
        self.waits = Histogram(WAIT_BUCKETS)
        self.batches = Histogram(BATCH_BUCKETS)
        self.passes = Histogram(PASS_BUCKETS)
        self.writes = 0
        self.written_bytes = 0
        self._stamps = StampReader()

    def receive(self, kind: str, size: int) -> None:
        """A client sent a message of `size` bytes. `kind`: see `received`."""
        if kind == "broadcast":
            self._broadcasts += 1
        else:
            self._others[kind] = self._others.get(kind, 0) + 1
        self.received_bytes += size

    @property
    def received(self) -> dict[str, int]:
        """Messages from clients by the type of the request, `binary` or `unreadable`."""
        return {"broadcast": self._broadcasts, **self._others}

    def write(self, arrivals: Sequence[Arrival], started: float, unix: float) -> bool:
        """A pass has written the messages of one room to its members on this pod. Whether one of them has a trace.

        `started`: when the pass began, by `Runtime.perf`. `unix`: when its last write was done, Unix seconds.
        """
        self.batches.observe(float(len(arrivals)))
        traced = False
        for message, _, arrived in arrivals:
            trace = message.trace
            if trace is not None:
                traced = True
            self.waits.observe(started - arrived)
            accepted = self._stamps.unix_seconds(message.timestamp)
            if accepted is None:
                continue
            seconds = unix - accepted
            if seconds < 0.0:
                # The clocks of the two nodes differ, and the true latency is unknown. Count it as zero.
                self.early += 1
                seconds = 0.0
            self.latency.observe(seconds)
            if trace is not None and self.exemplars:
                self.latency.illustrate(seconds, trace, unix)
        return traced

    def flush(self, writes: int, size: int, seconds: float) -> None:
        """A pass has ended: the number of writes, their bytes, and how long it took."""
        self.writes += writes
        self.written_bytes += size
        self.passes.observe(seconds)
