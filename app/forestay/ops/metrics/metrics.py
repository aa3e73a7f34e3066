"""Renders the metrics for Prometheus: turns counts and current readings into families at each scrape.

Exemplars appear in OpenMetrics only, because the older text format has no place for them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import time
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from forestay.core.ports.verifier import PublishedKeys
from forestay.core.ports.webhooks import Backlog
from forestay.core.sessions.relocation import Reason
from forestay.ops.metrics import process
from forestay.ops.metrics.accept import by_preference, kind_of
from forestay.ops.metrics.counts import Counts
from forestay.ops.metrics.families import counter, counters, gauge, gauges, histogram, histograms

_OPENMETRICS: Final = "application/openmetrics-text"
# The media ranges that the older text format fits.
_TEXT: Final = ("text/plain", "text/*", "*/*")

READY_REASONS: Final = ("ready", "starting", "draining", "tasks", "keys", "saturated", "lagging", "bus")
"""The label values of `forestay_ready`: that the pod is ready, or the first reason why it is not."""


@dataclass(frozen=True, slots=True)
class Readings:
    """Current values of a pod, read at each scrape."""

    version: str
    loop: str
    """The library of the event loop: `asyncio` or `uvloop`."""
    states: Callable[[], Mapping[str, int]]
    """Connections by state: `open`, `relocating`, `closing`. The first two count as connections."""
    wires: Callable[[], Mapping[str, int]]
    """Connections by the name of their wire, such as `v1`."""
    most_connections: int
    rooms: Callable[[], int]
    present: Callable[[], int]
    """Users in rooms with presence, each counted once per room."""
    bus_up: Callable[[], bool]
    bus_round_trip: Callable[[], float]
    """Seconds that the last probe through the bus took; 0 before the first one."""
    ready: Callable[[], str]
    """One of READY_REASONS."""
    lag: Callable[[], float]
    """The worst lag of the event loop within the last 30 to 60 seconds, in seconds."""
    fair_share: Callable[[], float]
    """Connections that this pod should have; 0 where that is unknown or balancing is off."""
    published_keys: Callable[[], PublishedKeys | None]
    """What is known of the issuer's key set; None where none is configured."""
    draining: Callable[[], bool]
    task_failures: Callable[[], Mapping[str, int]]
    """How often background tasks have failed, by the name of the task."""
    compression: Callable[[], Mapping[str, Mapping[str, int]]]
    """Bytes of messages, each once, `plain` and `compressed`: by direction, `sent` and `received`."""
    webhooks: Callable[[], Backlog]
    """What waited for the receiver of webhooks when this pod looked last."""
    hooks_under_way: Callable[[], int]
    hooks_waiting: Callable[[], int]
    broken_hooks: Callable[[], Mapping[str, bool]]
    """Whether the circuit breaker of each hook is open, or half open; empty where none has one."""
    dropped_lines: Callable[[], int]
    """Log lines that could not be written."""


def choose_format(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """The encoder and the content type for an `Accept` header: the older text format where nothing is wanted more.

    prometheus_client takes the first format that a header names, so it is given one at a time.
    """
    for media_range in by_preference(accept):
        kind = kind_of(media_range)
        encode, content_type = choose_encoder(media_range)
        if kind in _TEXT or (kind == _OPENMETRICS and content_type.startswith(_OPENMETRICS)):
            return encode, content_type
    return choose_encoder("")


class Metrics:
    """A Prometheus collector over the counts and the readings."""

    def __init__(self, counts: Counts, readings: Readings) -> None:
        self._counts = counts
        self._readings = readings
        self._started_at = process.started_at()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Returns the metrics as text in the best format that `accept` allows, and the content type."""
        encode, content_type = choose_format(accept)
        return encode(self._registry), content_type

    def collect(self) -> Iterable[Metric]:
        yield from self._pod()
        yield from self._connections()
        yield from self._messages()
        yield from self._delivery()
        yield from self._bus()
        yield from self._webhooks()
        yield from self._hooks()
        yield from self._process()

    def _pod(self) -> Iterable[Metric]:
        counts, readings = self._counts, self._readings
        yield gauges(
            "forestay_build_info", "Always 1; the label has the running version.", "version", {readings.version: 1}
        )
        yield gauges("forestay_event_loop_info", "Always 1; the label has the event loop.", "loop", {readings.loop: 1})
        reason = readings.ready()
        ready = {each: float(each == reason) for each in READY_REASONS}
        yield gauges("forestay_ready", "1 for the reason why the pod is ready or not ready.", "reason", ready)
        yield gauge("forestay_event_loop_lag_seconds", "Worst lag of the last 30 to 60 seconds.", readings.lag())
        yield counters("forestay_tasks_failed", "Failures of background tasks.", "task", readings.task_failures())
        yield counter("forestay_log_lines_dropped", "Log lines that could not be written.", readings.dropped_lines())
        yield counters("forestay_kubernetes_faults", "Failed cluster requests.", "cause", counts.cluster_faults)

    def _connections(self) -> Iterable[Metric]:
        counts, readings = self._counts, self._readings
        states = readings.states()
        current = states["open"] + states["relocating"]
        yield gauge("forestay_connections", "Open connections of this pod.", current)
        yield gauges("forestay_connections_by_state", "Connections by state.", "state", states)
        yield gauges("forestay_connections_by_wire", "Connections by wire.", "wire", readings.wires())
        yield gauge("forestay_connections_max", "Connections that this pod may have.", readings.most_connections)
        share = readings.fair_share()
        yield gauge("forestay_fair_share", "Connections that this pod should have; 0: unknown.", share)
        published = readings.published_keys()
        if published is not None:
            yield gauge("forestay_jwks_usable_keys", "Keys of the issuer's set that verify tokens.", published.usable)
            yield gauge("forestay_jwks_age_seconds", "Age of the issuer's set in use.", published.age)
        left = current if readings.draining() else 0
        yield gauge("forestay_drain_remaining", "Connections that a drain has yet to close.", left)
        drained = counts.departures[Reason.DRAINING]
        yield counters("forestay_drain_closed", "Connections ended in a drain.", "outcome", drained)
        moved = CounterMetricFamily(
            "forestay_relocated", "Ended after a reconnect request.", labels=["reason", "outcome"]
        )
        for why, outcomes in counts.departures.items():
            for outcome, count in outcomes.items():
                moved.add_metric([why, outcome], count)
        yield moved
        yield counter("forestay_connections_accepted", "Connections welcomed.", counts.accepted)
        yield counters(
            "forestay_handshakes",
            "Requests for a WebSocket or an event stream by answer.",
            "outcome",
            counts.handshakes,
        )
        closed = CounterMetricFamily("forestay_connections_closed", "Ended connections.", labels=["code", "by"])
        for by, codes in counts.closes.items():
            for code, count in codes.items():
                closed.add_metric([code, by], count)
        yield closed
        yield histogram("forestay_connection_lifetime_seconds", "How long ended connections lived.", counts.lifetimes)

    def _messages(self) -> Iterable[Metric]:
        counts, traffic = self._counts, self._counts.traffic
        yield counters("forestay_messages_received", "Messages from clients by type.", "type", counts.received_by_type)
        yield counter("forestay_received_bytes", "Bytes of messages from clients.", traffic.received_bytes)
        seconds = {outcome.name.lower(): histogram for outcome, histogram in counts.publish_seconds.items()}
        outcomes = {outcome: each.count for outcome, each in seconds.items()}
        yield counters("forestay_messages_published", "Messages given to the bus by outcome.", "outcome", outcomes)
        about = "Time from the arrival of a message to its outcome on the bus."
        yield histograms("forestay_publish_seconds", about, "outcome", seconds)
        yield counter("forestay_messages_delivered", "Messages times recipients on this pod.", traffic.deliveries)
        yield counters("forestay_messages_refused", "Refusals by error code.", "code", counts.refusals)
        yield counters("forestay_api_requests", "Requests of backends by answer.", "outcome", counts.requests)
        yield counters("forestay_api_keys_refused", "Requests without a known key.", "reason", counts.keys_refused)
        labels = ["action", "result"]
        managed = CounterMetricFamily("forestay_api_actions", "Changes that backends made.", labels=labels)
        for action, results in counts.managed_by_action.items():
            for result, count in results.items():
                managed.add_metric([action, result], count)
        yield managed
        unknown = counts.unknown_sessions
        yield counter("forestay_socketio_unknown_sessions", "Requests for sessions that are not here.", unknown)

    def _delivery(self) -> Iterable[Metric]:
        counts, traffic, readings = self._counts, self._counts.traffic, self._readings
        yield gauge("forestay_rooms", "Rooms with a member on this pod.", readings.rooms())
        yield gauge("forestay_presence_users", "Users in rooms with presence on this pod.", readings.present())
        yield histogram(
            "forestay_delivery_latency_seconds", "Time from accepted to written, across pods.", traffic.latency
        )
        yield counter("forestay_delivery_early", "Messages whose latency was negative by the clocks.", traffic.early)
        yield histogram("forestay_delivery_wait_seconds", "How long messages waited for their pass.", traffic.waits)
        yield histogram("forestay_delivery_batch_messages", "Messages of one room written together.", traffic.batches)
        yield histogram("forestay_delivery_pass_seconds", "Duration of delivery passes.", traffic.passes)
        yield counter("forestay_socket_writes", "Writes to client sockets in delivery passes.", traffic.writes)
        yield counter(
            "forestay_sent_bytes", "Bytes written to client sockets in delivery passes.", traffic.written_bytes
        )
        shrunk = CounterMetricFamily(
            "forestay_compression_bytes", "Bytes of compressed messages.", labels=["direction", "form"]
        )
        for direction, forms in readings.compression().items():
            for form, size in forms.items():
                shrunk.add_metric([direction, form], size)
        yield shrunk
        policies = counts.slow_by_policy
        yield counters("forestay_slow_consumers", "Clients that fell behind, by policy.", "policy", policies)
        yield counter("forestay_gaps_filled", "Gaps that were filled from a room's history.", counts.gaps)
        yield counter("forestay_gap_messages", "Messages that were read to fill gaps.", counts.gap_messages)
        yield counters("forestay_resyncs", "Members told that messages were lost, by reason.", "reason", counts.resyncs)

    def _bus(self) -> Iterable[Metric]:
        counts, readings = self._counts, self._readings
        yield gauge("forestay_bus_up", "1 while the bus returns the pod's probe messages.", readings.bus_up())
        yield gauge(
            "forestay_bus_round_trip_seconds", "Duration of the last probe through the bus.", readings.bus_round_trip()
        )
        yield counters("forestay_bus_events", "Events of the bus connection.", "event", counts.bus_events)

    def _webhooks(self) -> Iterable[Metric]:
        counts, now = self._counts, self._readings.webhooks()
        yield gauge("forestay_webhook_waiting", "Events that wait for the receiver, on all pods.", now.waiting)
        yield gauge("forestay_webhook_lag_seconds", "Age of the oldest event that waits, on all pods.", now.lag(time()))
        yield gauge("forestay_webhook_dead_letters", "Events that could not be delivered, on all pods.", now.dead)
        yield gauge("forestay_webhook_stopped", "1 after the receiver answered 410.", now.stopped)
        yield counters(
            "forestay_webhook_events", "Events that this pod is done with.", "outcome", counts.webhook_outcomes
        )
        requests = counts.webhook_requests
        yield counters("forestay_webhook_requests", "Requests to the receiver of webhooks.", "result", requests)

    def _hooks(self) -> Iterable[Metric]:
        counts, readings = self._counts, self._readings
        asked = CounterMetricFamily("forestay_hooks", "Questions to the application.", labels=["hook", "outcome"])
        for hook, outcomes in counts.hooks.items():
            for outcome, count in outcomes.items():
                asked.add_metric([hook, outcome], count)
        yield asked
        yield histogram("forestay_hook_seconds", "How long the application took to answer.", counts.hook_seconds)
        yield gauge("forestay_hooks_under_way", "Hooks that have not ended.", readings.hooks_under_way())
        yield gauge("forestay_hooks_waiting", "Events that wait to be told.", readings.hooks_waiting())
        broken = readings.broken_hooks()
        yield gauges("forestay_hook_circuit_open", "1 while the application is not asked.", "hook", broken)

    def _process(self) -> Iterable[Metric]:
        yield counter("process_cpu_seconds", "User and system CPU time.", process.cpu_seconds())
        yield gauge("process_max_fds", "Files that may be open.", process.max_files())
        memory, files = process.memory(), process.open_files()
        if memory is not None:
            yield gauge("process_virtual_memory_bytes", "Virtual memory.", memory.virtual)
            yield gauge("process_resident_memory_bytes", "Resident memory.", memory.resident)
        if files is not None:
            yield gauge("process_open_fds", "Open files, connections among them.", files)
        if self._started_at is not None:
            yield gauge("process_start_time_seconds", "When the process started, Unix time.", self._started_at)
