"""Makes the spans of messages and handshakes: one trace from the caller through the bus to the sockets of every pod.

A message's spans are made after its outcome is known and after it was written, with the times of these events. A trace
that is not kept costs one random number and never reaches the SDK. Names of rooms and users are left out by default.
"""

import time
from asyncio import AbstractEventLoop
from functools import lru_cache, partial
from typing import Final, NamedTuple

from forestay.core.facts.sampler import Sampler
from forestay.core.facts.source import Source
from forestay.core.facts.traffic import Arrival
from forestay.core.ports.bus import Outcome
from forestay.core.ports.observer import Client, Observer, RefusedMessage
from forestay.core.ports.tracer import Leg
from forestay.core.rules.policies import Policy
from forestay.ops.tracing import conventions as semconv
from forestay.ops.tracing.postponed import Postponed
from forestay.ops.tracing.sampling import TracingOptions
from forestay.ops.tracing.spans import Attributes, Kind, Root, Shape, Span, Spans, new_span_id, place_below
from forestay.protocol.codes import ErrorCode
from forestay.protocol.message import Message
from forestay.protocol.names import shown
from forestay.protocol.trace import TraceContext

_MAX_SHAPES: Final = 1024
"""A bound for each kind of span. A pod has fewer: patterns are few, and numbers of recipients come again."""


class Tracing(Observer):
    """A Tracer, and the Observer that makes the spans of handshakes and refusals."""

    def __init__(self, spans: Spans, options: TracingOptions, loop: AbstractEventLoop) -> None:
        self._spans = spans
        self._postponed = Postponed(loop)
        self._options = options
        self._sampling = options.sampling
        self._clock = time.perf_counter

    def close(self) -> None:
        """Makes the spans of all that happened so far."""
        self._postponed.run_now()

    def handshake(self, outcome: str, since: float, trace: TraceContext | None) -> None:
        root = self._root(trace, trusted=False, kept=self.sampler.kept())
        if root is None:
            return
        self._end(_handshake(outcome), root, since, {})

    @property
    def sampler(self) -> Sampler:
        """See the Tracer port."""
        return self._sampling.sampler

    def begin(self, message: Message, source: Source, policy: Policy, *, kept: bool) -> Leg | None:
        """See the Tracer port."""
        caller, trusted = message.trace, not source.by_client
        root = self._root(caller, trusted=trusted, kept=kept)
        if root is not None:
            return _Kept(self, root, message, source, policy.pattern, self._clock())
        # A trace that is not kept needs a context only where the receivers are shown it.
        return _Unkept(self._unkept(caller, trusted=trusted)) if policy.trace else None

    def refused(
        self, code: ErrorCode, source: Source, message: RefusedMessage | None, room: str | None, client: Client | None
    ) -> None:
        if message is None or message.offered:
            return
        root = self._root(message.trace, trusted=not source.by_client, kept=self.sampler.kept())
        if root is not None:
            shape = _process(_system(source), message.pattern, code)
            self._end(shape, root, source.since, _client(source))

    def reached(self, arrival: Arrival, pattern: str, dropped: int) -> None:
        trace = arrival[0].trace
        if trace is not None and trace.sampled:
            self._postponed.add(partial(self._delivered, trace, arrival, pattern, dropped, self._moment()))

    def settled(self, leg: "_Kept", outcome: Outcome) -> None:
        """Makes the spans of a message's way to the bus: its processing and its publish."""
        self._postponed.add(partial(self._published, leg, outcome, self._moment()))

    def _delivered(self, trace: TraceContext, arrival: Arrival, pattern: str, dropped: int, written: "_Moment") -> None:
        """Makes the span from the arrival on this pod to the write to the sockets."""
        message, recipients, arrived = arrival
        # Both parent and link: the parent keeps a message in one trace, and the conventions ask for the link.
        place = place_below(trace, linked=True)
        shape = _delivery(self._options.system, pattern, recipients, dropped)
        self._spans.end(Span(shape, place, *written.back_to(arrived), self._names(message)))

    def _published(self, leg: "_Kept", outcome: Outcome, ended: "_Moment") -> None:
        """Makes the spans from the arrival of the message to the bus's answer."""
        place, source, names = leg.root.place(), leg.source, self._names(leg.message)
        error = None if outcome is Outcome.ACCEPTED else outcome.name.lower()
        publish = _publish(self._options.system, leg.pattern, error)
        process = _process(_system(source), leg.pattern, error)
        self._spans.end(Span(publish, place.child(leg.span_id), *ended.back_to(leg.offered), names))
        self._spans.end(Span(process, place, *ended.back_to(source.since), {**_client(source), **names}))

    def _end(self, shape: Shape, root: Root, since: float, texts: Attributes) -> None:
        """Makes the only span of a trace, from `since` until now."""
        self._spans.end(Span(shape, root.place(), *self._moment().back_to(since), texts))

    def _moment(self) -> "_Moment":
        return _Moment(self._clock(), time.time_ns())

    def _root(self, caller: TraceContext | None, *, trusted: bool, kept: bool) -> Root | None:
        """The start of our part of the trace that `caller` belongs to; None where it is not kept.

        `kept`: whether it is kept where it is a new one.
        """
        if caller is not None:
            if self._continues(trusted=trusted):
                return Root(int(caller.trace_id, 16), caller) if self._sampling.keeps(caller) else None
            # A client's tracestate is for the client's own vendor. The ids are enough to find the trace.
            caller = TraceContext(caller.traceparent) if self._options.uses_caller_context else None
        return Root(self._sampling.new_id(kept=True), link=caller) if kept else None

    def _unkept(self, caller: TraceContext | None, *, trusted: bool) -> TraceContext:
        """The context of a publish whose trace is not kept: the caller's trace or a new one, with its flag 00."""
        if caller is not None and self._continues(trusted=trusted):
            trace, state = caller.trace_id, caller.tracestate
        else:
            trace, state = f"{self._sampling.new_id(kept=False):032x}", None
        return TraceContext(f"00-{trace}-{new_span_id():016x}-00", state)

    def _continues(self, *, trusted: bool) -> bool:
        """Whether a caller's trace is continued here."""
        options = self._options
        return options.uses_caller_context and (trusted or options.continue_clients)

    def _names(self, message: Message) -> Attributes:
        if not self._options.names:
            return {}
        names = {semconv.DESTINATION: shown(message.room)}
        return names if message.sender is None else {**names, semconv.USER: message.sender}


class _Moment(NamedTuple):
    """One moment on two clocks."""

    perf: float
    unix: int
    """Nanoseconds."""

    def back_to(self, since: float) -> tuple[int, int]:
        """The start and the end, in Unix nanoseconds, of a span from `since` (by `Runtime.perf`) until this moment."""
        return self.unix - max(0, int((self.perf - since) * 1e9)), self.unix


class _Kept:
    """A message on its way to the bus, whose trace is kept."""

    __slots__ = ("_tracing", "message", "offered", "pattern", "root", "source", "span_id", "trace")

    def __init__(
        self, tracing: Tracing, root: Root, message: Message, source: Source, pattern: str, offered: float
    ) -> None:
        self._tracing = tracing
        self.root = root
        self.message = message
        self.source = source
        self.pattern = pattern
        self.span_id = new_span_id()
        """The id of the publish span."""
        self.offered = offered
        """Loop time."""
        traceparent = f"00-{root.trace_id:032x}-{self.span_id:016x}-01"
        self.trace = TraceContext(traceparent, root.parent.tracestate if root.parent else None)

    def end(self, outcome: Outcome) -> None:
        self._tracing.settled(self, outcome)


class _Unkept(NamedTuple):
    """A message whose trace is not kept, although its receivers see a context."""

    trace: TraceContext

    def end(self, outcome: Outcome) -> None:
        """Does nothing."""


def _system(source: Source) -> str:
    return "http" if source.connection is None else "websocket"


def _client(source: Source) -> Attributes:
    return {} if source.connection is None else {semconv.CLIENT_ID: source.connection}


@lru_cache(_MAX_SHAPES)
def _process(system: str, pattern: str | None, error: str | None) -> Shape:
    attributes = _operation(system, semconv.PROCESS, semconv.PROCESS, pattern, error)
    name = semconv.PROCESS if pattern is None else f"{semconv.PROCESS} {pattern}"
    return Shape(name, Kind.CONSUMER, attributes, failed=error is not None)


@lru_cache(_MAX_SHAPES)
def _publish(system: str, pattern: str, error: str | None) -> Shape:
    attributes = _operation(system, semconv.PUBLISH, "send", pattern, error)
    return Shape(f"{semconv.PUBLISH} {pattern}", Kind.PRODUCER, attributes, failed=error is not None)


@lru_cache(_MAX_SHAPES)
def _delivery(system: str, pattern: str, recipients: int, dropped: int) -> Shape:
    attributes = _operation(system, semconv.PROCESS, semconv.PROCESS, pattern, None)
    counts = {semconv.RECIPIENTS: recipients, semconv.DROPPED: dropped}
    return Shape(f"{semconv.PROCESS} {pattern}", Kind.CONSUMER, {**attributes, **counts})


def _operation(system: str, name: str, type_of: str, pattern: str | None, error: str | None) -> Attributes:
    """The attributes of what is done with a message."""
    given = {semconv.SYSTEM: system, semconv.OPERATION: name, semconv.OPERATION_TYPE: type_of}
    more = {semconv.TEMPLATE: pattern, semconv.ERROR_TYPE: error}
    return given | {key: value for key, value in more.items() if value is not None}


@lru_cache(_MAX_SHAPES)
def _handshake(outcome: str) -> Shape:
    status = 101 if outcome in ("ok", "lost") else int(outcome)
    failed = status >= 500 or outcome == "lost"
    attributes: Attributes = {
        semconv.HTTP_METHOD: "GET",
        semconv.HTTP_ROUTE: "/ws",
        semconv.URL_PATH: "/ws",
        semconv.URL_SCHEME: "http",
        semconv.PROTOCOL_NAME: "http",
        semconv.PROTOCOL_VERSION: "1.1",
        semconv.HTTP_STATUS: status,
    }
    return Shape(
        semconv.HANDSHAKE,
        Kind.SERVER,
        {**attributes, semconv.ERROR_TYPE: outcome} if failed else attributes,
        failed=failed,
    )
