"""Counts facts for the metrics: an observer that adds each fact to a number.

All label values are known beforehand, so every series exists from the start, at 0. Nothing is counted by room, user or
address, and no client can add a series: an unknown label value is counted as `other`.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from forestay.core.ports.bus import Outcome
from forestay.core.ports.observer import Arrival, Observer, RefusedMessage, Source
from forestay.core.rules.policies import Slow
from forestay.core.sessions.relocation import Reason
from forestay.ops.kubernetes.unanswered import Cause
from forestay.ops.metrics.histogram import Histogram
from forestay.protocol.codes import ABNORMAL_CLOSURE, CloseCode, ErrorCode
from forestay.protocol.message import Message, unix_seconds
from forestay.protocol.trace import TraceContext
from forestay.protocol.v1.reader import REQUEST_TYPES

PASS_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
"""Seconds of a delivery pass. A room of a thousand members takes about ten milliseconds."""

LIFETIME_BUCKETS: Final = (1.0, 10.0, 60.0, 600.0, 3600.0, 21600.0, 86400.0)
"""Seconds from the welcome of a connection to its end."""

LATENCY_BUCKETS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds from pod to pod. The time in a message has milliseconds, so finer bounds would mean nothing. The upper bounds
are for messages that fill a gap."""

PUBLISH_BUCKETS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds until the bus answers a publish: from a Redis nearby to the timeout."""

WAIT_BUCKETS: Final = (0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
"""Seconds that a message waits for its pass. The rest of a room is capped; the delay of a busy loop is not."""

BATCH_BUCKETS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
"""Messages in one write."""

GATEWAY, CLIENT = "gateway", "client"

# These codes are used over HTTP only.
BUS_EVENTS: Final = (
    "connected",
    "lost",
    "deaf",
    "resubscribed",
    "unreachable",
    "misconfigured",
    "garbage",
    "forged",
    "full",
    "refused",
)
"""What can happen to the bus, as docs/operating.md says."""

_NOT_ON_A_SOCKET: Final = {ErrorCode.NOT_FOUND, ErrorCode.TOO_LARGE}
_OTHER: Final = "other"


class LabelCounts(dict[str, int]):
    """One number for each known label value. Other values share the number `other`, which then appears."""

    def __init__(self, labels: Iterable[str]) -> None:
        super().__init__(dict.fromkeys(labels, 0))

    def add(self, label: str, number: int = 1) -> None:
        if label not in self:
            label = _OTHER
            self.setdefault(label, 0)
        self[label] += number


class Counts(Observer):
    def __init__(self, *, exemplars: bool = False) -> None:
        """`exemplars`: keep the trace contexts of messages. Without tracing they come from the clients, unchanged."""
        self._exemplars = exemplars
        codes = sorted(map(str, {int(code) for code in CloseCode} | {ABNORMAL_CLOSURE}))
        self.accepted = 0
        self.handshakes = LabelCounts(("ok", "lost", "400", "401", "403", "503"))
        self.received_by_type = LabelCounts((*sorted(REQUEST_TYPES), "binary", "unreadable"))
        self.received_bytes = 0
        self.publish_seconds = {outcome: Histogram(PUBLISH_BUCKETS) for outcome in Outcome}
        self.deliveries = 0
        self.latency = Histogram(LATENCY_BUCKETS)
        self.early = 0
        self.waits = Histogram(WAIT_BUCKETS)
        self.batches = Histogram(BATCH_BUCKETS)
        self.passes = Histogram(PASS_BUCKETS)
        self.writes = 0
        self.written_bytes = 0
        self.refusals = LabelCounts(code for code in ErrorCode if code not in _NOT_ON_A_SOCKET)
        self.requests = LabelCounts(("ok", *ErrorCode, "failed"))
        self.keys_refused = LabelCounts(("missing", "unknown"))
        self.unknown_sessions = 0
        self.managed_by_action = {
            action: LabelCounts(("ok", "refused", "failed")) for action in ("disconnect", "revoke")
        }
        self.slow_by_policy = LabelCounts(Slow)
        self.bus_events = LabelCounts(BUS_EVENTS)
        self.gaps = 0
        self.gap_messages = 0
        self.resyncs = LabelCounts(("lost", "missed", "slow"))
        self.closes = {GATEWAY: LabelCounts((*codes, _OTHER)), CLIENT: LabelCounts((*codes, _OTHER))}
        self.lifetimes = Histogram(LIFETIME_BUCKETS)
        self.departures = {reason: LabelCounts(("client_closed", "server_closed", "aborted")) for reason in Reason}
        self.cluster_faults = LabelCounts((*Cause, "gone", "brief"))

    def connected(self, user: str) -> None:
        self.accepted += 1

    def handshake(self, outcome: str, since: float, trace: TraceContext | None) -> None:
        self.handshakes.add(outcome)

    def received(self, kind: str, size: int) -> None:
        self.received_by_type.add(kind)
        self.received_bytes += size

    def published(self, message: Message, outcome: Outcome, seconds: float) -> None:
        self.publish_seconds[outcome].observe(seconds, message.trace if self._exemplars else None)

    def delivered(self, message: Message, recipients: int) -> None:
        self.deliveries += recipients

    def written(self, arrivals: Sequence[Arrival], started: float, unix: float) -> None:
        self.batches.observe(len(arrivals))
        for message, _, arrived in arrivals:
            self.waits.observe(started - arrived)
            accepted = unix_seconds(message.timestamp)
            if accepted is not None:
                self._observe_latency(unix - accepted, message.trace if self._exemplars else None)

    def _observe_latency(self, seconds: float, trace: TraceContext | None) -> None:
        if seconds < 0:
            # The clocks of the two nodes differ, and the true latency is unknown. Count it as zero.
            self.early += 1
            seconds = 0.0
        self.latency.observe(seconds, trace)

    def flushed(self, writes: int, size: int, seconds: float) -> None:
        self.writes += writes
        self.written_bytes += size
        self.passes.observe(seconds)

    def refused(self, code: ErrorCode, source: Source, message: RefusedMessage | None) -> None:
        self.refusals.add(code)

    def answered(self, outcome: str) -> None:
        self.requests.add(outcome)

    def key_refused(self, reason: str) -> None:
        self.keys_refused.add(reason)

    def unknown_session(self) -> None:
        self.unknown_sessions += 1

    def managed(self, action: str, result: str) -> None:
        self.managed_by_action[action].add(result)

    def slow(self, policy: str) -> None:
        self.slow_by_policy.add(policy)

    def bus(self, event: str) -> None:
        self.bus_events.add(event)

    def gap_filled(self, messages: int) -> None:
        self.gaps += 1
        self.gap_messages += messages

    def resynced(self, reason: str, recipients: int) -> None:
        self.resyncs.add(reason, recipients)

    def ended(self, code: int, seconds: float, *, by_client: bool) -> None:
        self.closes[CLIENT if by_client else GATEWAY].add(str(code))
        self.lifetimes.observe(seconds)

    def relocated(self, reason: str, outcome: str) -> None:
        self.departures[Reason(reason)].add(outcome)

    def cluster(self, fault: str) -> None:
        """Counts a failed request to the cluster's API. `fault` comes from a closed set."""
        self.cluster_faults.add(fault)
