"""Counts facts for the metrics: an observer that adds each fact to a number, beside the numbers of all messages.

All label values are known beforehand, so every series exists from the start, at 0. Nothing is counted by room, user or
address, and no client can add a series: an unknown label value is counted as `other`.
"""

from collections.abc import Iterable
from typing import Final

from forestay.core.facts.histogram import Histogram
from forestay.core.facts.source import Source
from forestay.core.facts.traffic import Traffic
from forestay.core.ports.bus import Outcome
from forestay.core.ports.hooks import FAILURES
from forestay.core.ports.observer import ACTIONS, Client, Observer, RefusedMessage
from forestay.core.rules.hooks import Hook
from forestay.core.rules.policies import Slow
from forestay.core.sessions.relocation import Reason
from forestay.ops.kubernetes.unanswered import Cause
from forestay.protocol.codes import ABNORMAL_CLOSURE, CloseCode, Ending, ErrorCode
from forestay.protocol.names import RoomName
from forestay.protocol.trace import TraceContext
from forestay.protocol.v1.reader import REQUEST_TYPES

LIFETIME_BUCKETS: Final = (1.0, 10.0, 60.0, 600.0, 3600.0, 21600.0, 86400.0)
"""Seconds from the welcome of a connection to its end."""

HOOK_BUCKETS: Final = (0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Seconds from a question to the application to its answer."""

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
        """`exemplars`: see Traffic."""
        self.traffic = Traffic(exemplars=exemplars)
        """What the core adds each message to."""
        codes = sorted(map(str, {int(code) for code in CloseCode} | {ABNORMAL_CLOSURE}))
        self.accepted = 0
        self.handshakes = LabelCounts(("ok", "lost", "400", "401", "403", "503"))
        self.refusals = LabelCounts(code for code in ErrorCode if code not in _NOT_ON_A_SOCKET)
        self.requests = LabelCounts(("ok", *ErrorCode, "failed"))
        self.keys_refused = LabelCounts(("missing", "unknown"))
        self.unknown_sessions = 0
        self.managed_by_action = {action: LabelCounts(("ok", "refused", "failed")) for action in ACTIONS}
        self.slow_by_policy = LabelCounts(Slow)
        self.bus_events = LabelCounts(BUS_EVENTS)
        self.gaps = 0
        self.gap_messages = 0
        self.resyncs = LabelCounts(("lost", "missed", "slow"))
        self.closes = {GATEWAY: LabelCounts((*codes, _OTHER)), CLIENT: LabelCounts((*codes, _OTHER))}
        self.lifetimes = Histogram(LIFETIME_BUCKETS)
        self.departures = {reason: LabelCounts(("client_closed", "server_closed", "aborted")) for reason in Reason}
        self.webhook_requests = LabelCounts(("delivered", "refused", "unreachable", "timeout", "gone"))
        self.webhook_outcomes = LabelCounts(("delivered", "dead", "dropped"))
        self.hooks = {hook: LabelCounts(("allowed", "refused", "told", *FAILURES)) for hook in Hook}
        self.hook_seconds = Histogram(HOOK_BUCKETS)
        self.cluster_faults = LabelCounts((*Cause, "gone", "brief"))

    @property
    def received_by_type(self) -> LabelCounts:
        """Messages from clients."""
        found = LabelCounts((*sorted(REQUEST_TYPES), "binary", "unreadable"))
        for kind, number in self.traffic.received.items():
            found.add(kind, number)
        return found

    @property
    def publish_seconds(self) -> dict[Outcome, Histogram]:
        """How long publishes took, by their outcome."""
        traffic = self.traffic
        return {
            Outcome.ACCEPTED: traffic.accepted,
            Outcome.REFUSED: traffic.refused,
            Outcome.UNKNOWN: traffic.unknown,
        }

    def connected(self, user: str) -> None:
        self.accepted += 1

    def handshake(self, outcome: str, since: float, trace: TraceContext | None) -> None:
        self.handshakes.add(outcome)

    def refused(
        self, code: ErrorCode, source: Source, message: RefusedMessage | None, room: str | None, client: Client | None
    ) -> None:
        self.refusals.add(code)

    def answered(self, outcome: str) -> None:
        self.requests.add(outcome)

    def key_refused(self, reason: str) -> None:
        self.keys_refused.add(reason)

    def unknown_session(self) -> None:
        self.unknown_sessions += 1

    def webhook_request(self, result: str) -> None:
        self.webhook_requests.add(result)

    def webhook_events(self, outcome: str, events: int) -> None:
        self.webhook_outcomes.add(outcome, events)

    def hook(self, hook: Hook, outcome: str, seconds: float) -> None:
        self.hooks[hook].add(outcome)
        self.hook_seconds.observe(seconds)

    def managed(self, action: str, result: str) -> None:
        self.managed_by_action[action].add(result)

    def slow(self, policy: str, client: Client) -> None:
        self.slow_by_policy.add(policy)

    def bus(self, event: str) -> None:
        self.bus_events.add(event)

    def gap_filled(self, room: RoomName, messages: int) -> None:
        self.gaps += 1
        self.gap_messages += messages

    def resynced(self, room: RoomName, reason: str, recipients: int, client: Client | None) -> None:
        self.resyncs.add(reason, recipients)

    def ended(self, client: Client, ending: Ending, seconds: float) -> None:
        self.closes[CLIENT if ending.by_client else GATEWAY].add(str(ending.code))
        self.lifetimes.observe(seconds)

    def relocated(self, reason: str, outcome: str) -> None:
        self.departures[Reason(reason)].add(outcome)

    def cluster(self, fault: str) -> None:
        """Counts a failed request to the cluster's API. `fault` comes from a closed set."""
        self.cluster_faults.add(fault)
