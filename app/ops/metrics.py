"""The observer that counts: facts become numbers, and numbers become Prometheus text when somebody asks.

Counting is an addition to a plain integer, because it happens for every message; the metric families are made when they
are scraped. Labels come from closed sets: never a room, a user or an address.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from app.core.ports import Outcome, Source
from app.core.relocation import Reason
from app.protocol.codes import ABNORMAL_CLOSURE, CloseCode, ErrorCode
from app.protocol.message import Message
from app.protocol.trace import TraceContext

PASS_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
"""Seconds of a delivery pass: a room of a thousand takes about ten milliseconds."""

LIFETIME_BUCKETS: Final = (1.0, 10.0, 60.0, 600.0, 3600.0, 21600.0, 86400.0)
"""Seconds that connections live."""

_KNOWN_CLOSES = {int(code) for code in CloseCode} | {ABNORMAL_CLOSURE}


class _Histogram:
    """Counts per bucket, and their sum."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def family(self, name: str, text: str) -> HistogramMetricFamily:
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        return HistogramMetricFamily(name, text, buckets=buckets, sum_value=self._sum)


READY_REASONS: Final = ("ready", "starting", "draining", "saturated", "lagging", "bus")
"""What `forestay_ready` has a series for: that the pod is ready, or the first reason why it is not."""


@dataclass(frozen=True, slots=True)
class Readings:
    """What can be asked, asked when scraped."""

    states: Callable[[], Mapping[str, int]]
    """Connections by state: `open`, `relocating`, `closing`. The first two are what counts as a connection."""
    most_connections: int
    rooms: Callable[[], int]
    bus_up: Callable[[], bool]
    ready: Callable[[], str]
    """One of READY_REASONS."""
    lag: Callable[[], float]
    """Seconds by which the event loop was late at worst since the last time this was asked."""
    fair_share: Callable[[], float]
    """Connections that this pod should have; 0 where that is not known or does not matter."""
    draining: Callable[[], bool]


class Metrics:
    """An Observer, and the collector of what it saw."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings
        self._cluster: Counter[str] = Counter()
        self._relocated: Counter[tuple[str, str]] = Counter()
        self._accepted = 0
        self._received: Counter[str] = Counter()
        self._received_bytes = 0
        self._published: Counter[Outcome] = Counter()
        self._delivered = 0
        self._writes = 0
        self._written_bytes = 0
        self._refused: Counter[ErrorCode] = Counter()
        self._bus: Counter[str] = Counter()
        self._slow: Counter[str] = Counter()
        self._closes: Counter[str] = Counter()
        self._handshakes: Counter[str] = Counter()
        self._passes = _Histogram(PASS_BUCKETS)
        self._lifetimes = _Histogram(LIFETIME_BUCKETS)
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def connected(self, user: str) -> None:
        self._accepted += 1

    def received(self, kind: str, size: int) -> None:
        self._received[kind] += 1
        self._received_bytes += size

    def publishing(self, message: Message, source: Source, pattern: str, *, traced: bool) -> TraceContext | None:
        return message.trace

    def published(self, message: Message, outcome: Outcome) -> None:
        self._published[outcome] += 1

    def rejected(self, code: ErrorCode, source: Source, pattern: str | None, trace: TraceContext | None) -> None:
        pass  # It is counted where it is told to the client.

    def written(self, message: Message, pattern: str, recipients: int, dropped: int, since: float) -> None:
        pass

    def delivered(self, message: Message, recipients: int) -> None:
        self._delivered += recipients

    def flushed(self, writes: int, size: int, seconds: float) -> None:
        self._writes += writes
        self._written_bytes += size
        self._passes.observe(seconds)

    def refused(self, code: ErrorCode) -> None:
        self._refused[code] += 1

    def slow(self, policy: str) -> None:
        self._slow[policy] += 1

    def bus(self, event: str) -> None:
        self._bus[event] += 1

    def ended(self, code: int, seconds: float) -> None:
        self._closes[str(code) if code in _KNOWN_CLOSES else "other"] += 1
        self._lifetimes.observe(seconds)

    def relocated(self, reason: str, outcome: str) -> None:
        self._relocated[reason, outcome] += 1

    def handshake(self, outcome: str, since: float, trace: TraceContext | None) -> None:
        self._handshakes[outcome] += 1

    def cluster(self, fault: str) -> None:
        """The cluster's API did not answer as it should; `fault` comes from a closed set."""
        self._cluster[fault] += 1

    def render(self, accept: str) -> tuple[bytes, str]:
        """The text for a scraper that sent `accept`, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def collect(self) -> Iterable[Metric]:
        yield from self._now()
        yield _counter("forestay_connections_accepted", "Connections welcomed.", self._accepted)
        yield _labelled("forestay_handshakes", "Upgrade requests by answer.", "outcome", self._handshakes)
        yield _labelled("forestay_messages_received", "Messages from clients by type.", "type", self._received)
        yield _counter("forestay_received_bytes", "Bytes of messages from clients.", self._received_bytes)
        published = {outcome.name.lower(): count for outcome, count in self._published.items()}
        yield _labelled("forestay_messages_published", "Messages given to the bus by outcome.", "outcome", published)
        yield _counter("forestay_messages_delivered", "Messages times recipients on this pod.", self._delivered)
        yield _counter("forestay_socket_writes", "Writes to client sockets.", self._writes)
        yield _counter("forestay_sent_bytes", "Bytes written to client sockets.", self._written_bytes)
        yield self._passes.family("forestay_delivery_pass_seconds", "Duration of delivery passes.")
        yield _labelled("forestay_messages_refused", "Refusals by error code.", "code", self._refused)
        yield _labelled("forestay_bus_events", "What happened to the bus.", "event", self._bus)
        yield _labelled("forestay_slow_consumers", "Clients that fell behind, by policy.", "policy", self._slow)
        yield _labelled("forestay_connections_closed", "Ended connections by close code.", "code", self._closes)
        yield self._lifetimes.family("forestay_connection_lifetime_seconds", "How long ended connections lived.")
        yield from self._departures()

    def _now(self) -> Iterable[Metric]:
        readings = self._readings
        states = readings.states()
        here = states["open"] + states["relocating"]
        yield GaugeMetricFamily("forestay_connections", "Open connections of this pod.", here)
        by_state = GaugeMetricFamily("forestay_connections_by_state", "Connections by state.", labels=["state"])
        for state, number in states.items():
            by_state.add_metric([state], number)
        yield by_state
        most = readings.most_connections
        yield GaugeMetricFamily("forestay_connections_max", "Connections that this pod may have.", most)
        yield GaugeMetricFamily("forestay_rooms", "Rooms with a member on this pod.", readings.rooms())
        yield GaugeMetricFamily("forestay_bus_up", "Whether the bus is heard back.", readings.bus_up())
        ready = GaugeMetricFamily("forestay_ready", "1 for why the pod is ready or not.", labels=["reason"])
        reason = readings.ready()
        for one in READY_REASONS:
            ready.add_metric([one], one == reason)
        yield ready
        share = readings.fair_share()
        yield GaugeMetricFamily("forestay_fair_share", "Connections that this pod should have; 0: not known.", share)
        late = readings.lag()
        yield GaugeMetricFamily("forestay_event_loop_lag_seconds", "Worst lag since the last scrape.", late)
        left = here if readings.draining() else 0
        yield GaugeMetricFamily("forestay_drain_remaining", "Connections that a drain has yet to close.", left)

    def _departures(self) -> Iterable[Metric]:
        drained = CounterMetricFamily("forestay_drain_closed", "Connections gone in a drain.", labels=["outcome"])
        moved = CounterMetricFamily(
            "forestay_relocated", "Connections gone after being asked to.", labels=["reason", "outcome"]
        )
        for (reason, outcome), count in sorted(self._relocated.items()):
            if reason == Reason.DRAINING:
                drained.add_metric([outcome], count)
            moved.add_metric([reason, outcome], count)
        yield drained
        yield moved
        yield _labelled("forestay_kubernetes_faults", "Answers of the cluster that were none.", "cause", self._cluster)


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, value)


def _labelled(name: str, text: str, label: str, counts: dict[str, int] | Counter[str] | Counter[ErrorCode]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family
