"""Makes spans of what happens: one trace from the caller through the bus to the sockets of every pod.

A message's spans are made when its outcome is known and when it has been written, or a moment later, with the times
that these things had. What is not kept costs a random number and never reaches the SDK. Names of rooms and users stay
out unless they are asked for.
"""

import time
from asyncio import AbstractEventLoop
from functools import partial
from typing import NamedTuple

from opentelemetry.trace import SpanKind

from forestay.core.ports.bus import Outcome
from forestay.core.ports.observer import Arrival, Observer, RefusedMessage, Source
from forestay.core.ports.tracer import Leg
from forestay.ops.tracing import conventions as words
from forestay.ops.tracing.postponed import Postponed
from forestay.ops.tracing.sampling import Manner
from forestay.ops.tracing.spans import Attributes, Root, Spans, new_span_id, place_below
from forestay.protocol.codes import ErrorCode
from forestay.protocol.message import Message
from forestay.protocol.names import shown
from forestay.protocol.trace import TraceContext


class Tracing(Observer):
    """A Tracer, which watches what becomes of the messages that it follows."""

    def __init__(self, spans: Spans, manner: Manner, loop: AbstractEventLoop) -> None:
        self._spans = spans
        self._postponed = Postponed(loop)
        self._manner = manner
        self._sampling = manner.sampling
        self._clock = loop.time

    def close(self) -> None:
        """Make the spans of all that was."""
        self._postponed.catch_up()

    def handshake(self, outcome: str, since: float, trace: TraceContext | None) -> None:
        root = self._root(trace, trusted=False)
        if root is None:
            return
        status = 101 if outcome in ("ok", "lost") else int(outcome)
        attributes: Attributes = {
            words.HTTP_METHOD: "GET",
            words.HTTP_ROUTE: "/ws",
            words.URL_PATH: "/ws",
            words.URL_SCHEME: "http",
            words.PROTOCOL_NAME: "http",
            words.PROTOCOL_VERSION: "1.1",
            words.HTTP_STATUS: status,
        }
        if status >= 500 or outcome == "lost":
            attributes[words.ERROR_TYPE] = outcome
        self._end(words.HANDSHAKE, SpanKind.SERVER, root, since, attributes)

    def begin(self, message: Message, source: Source, pattern: str, *, shown: bool) -> Leg | None:
        caller, trusted = message.trace, source.connection is None
        root = self._root(caller, trusted=trusted)
        if root is not None:
            return _Kept(self, root, message, source, pattern, self._clock())
        # Nobody else needs to know of a trace that is not kept, but for receivers that are shown it.
        return _Unkept(self._unkept(caller, trusted=trusted)) if shown else None

    def refused(self, code: ErrorCode, source: Source, message: RefusedMessage | None) -> None:
        if message is None or message.offered:
            return
        root = self._root(message.trace, trusted=source.connection is None)
        if root is not None:
            attributes = _arrived(source, message.pattern) | {words.ERROR_TYPE: code}
            name = words.PROCESS if message.pattern is None else f"{words.PROCESS} {message.pattern}"
            self._end(name, SpanKind.CONSUMER, root, source.since, attributes)

    def reached(self, arrival: Arrival, pattern: str, dropped: int) -> None:
        trace = arrival[0].trace
        if trace is not None and trace.sampled:
            self._postponed.add(partial(self._spread, trace, arrival, pattern, dropped, self._now()))

    def settled(self, leg: "_Kept", outcome: Outcome) -> None:
        """The way in and the way to the bus are over."""
        self._postponed.add(partial(self._spoken, leg, outcome, self._now()))

    def _spread(self, trace: TraceContext, arrival: Arrival, pattern: str, dropped: int, written: "_Moment") -> None:
        """From the bus to the sockets."""
        message, recipients, came = arrival
        attributes: Attributes = {
            words.SYSTEM: self._manner.system,
            words.OPERATION: words.PROCESS,
            words.OPERATION_TYPE: "process",
            words.TEMPLATE: pattern,
            words.RECIPIENTS: recipients,
            words.DROPPED: dropped,
        }
        self._name(message, attributes)
        # Parent and link both: one message is one trace, and the convention's own way of saying it is the link.
        place = place_below(trace, linked=True)
        name = f"{words.PROCESS} {pattern}"
        self._spans.end(name, SpanKind.CONSUMER, place, written.back_to(came), attributes)

    def _spoken(self, leg: "_Kept", outcome: Outcome, ended: "_Moment") -> None:
        """From the client to the bus."""
        pattern, process = leg.pattern, leg.root.place()
        inward = _arrived(leg.source, pattern)
        onward: Attributes = {
            words.SYSTEM: self._manner.system,
            words.OPERATION: words.PUBLISH,
            words.OPERATION_TYPE: "send",
            words.TEMPLATE: pattern,
        }
        for attributes in (inward, onward):
            self._name(leg.message, attributes)
            if outcome is not Outcome.ACCEPTED:
                attributes[words.ERROR_TYPE] = outcome.name.lower()
        publish, offered, came = process.below(leg.span_id), leg.offered, leg.source.since
        self._spans.end(f"{words.PUBLISH} {pattern}", SpanKind.PRODUCER, publish, ended.back_to(offered), onward)
        self._spans.end(f"{words.PROCESS} {pattern}", SpanKind.CONSUMER, process, ended.back_to(came), inward)

    def _end(self, name: str, kind: SpanKind, root: Root, since: float, attributes: Attributes) -> None:
        """All that there is to the trace ends now. `since`: loop time."""
        self._spans.end(name, kind, root.place(), self._now().back_to(since), attributes)

    def _now(self) -> "_Moment":
        return _Moment(self._clock(), time.time_ns())

    def _root(self, caller: TraceContext | None, *, trusted: bool) -> Root | None:
        """Where our part of the trace of what `caller` did begins; None where it is not kept."""
        if caller is not None:
            if self._goes_on(trusted=trusted):
                return Root(int(caller.trace_id, 16), caller) if self._sampling.keeps(caller) else None
            # A stranger's state is for the stranger's own vendor: the ids are enough to find the trace.
            caller = TraceContext(caller.traceparent) if self._manner.heeds_callers else None
        return Root(self._sampling.new_id(kept=True), link=caller) if self._sampling.new_kept() else None

    def _unkept(self, caller: TraceContext | None, *, trusted: bool) -> TraceContext:
        """The context of a publish that leaves no trace: the caller's trace or a new one, with its flag 00."""
        if caller is not None and self._goes_on(trusted=trusted):
            trace, state = caller.trace_id, caller.tracestate
        else:
            trace, state = f"{self._sampling.new_id(kept=False):032x}", None
        return TraceContext(f"00-{trace}-{new_span_id():016x}-00", state)

    def _goes_on(self, *, trusted: bool) -> bool:
        """Whether a caller's own trace goes on through us."""
        manner = self._manner
        return manner.heeds_callers and (trusted or manner.continue_clients)

    def _name(self, message: Message, attributes: Attributes) -> None:
        if self._manner.names:
            attributes[words.DESTINATION] = shown(message.room)
            if message.sender is not None:
                attributes[words.USER] = message.sender


class _Moment(NamedTuple):
    """One time on two clocks."""

    loop: float
    unix: int
    """Nanoseconds."""

    def back_to(self, since: float) -> tuple[int, int]:
        """From a time of the loop until now, in Unix nanoseconds."""
        return self.unix - max(0, int((self.loop - since) * 1e9)), self.unix


class _Kept:
    """The way to the bus of a message whose trace is kept."""

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
        """Of the publish."""
        self.offered = offered
        """Loop time."""
        traceparent = f"00-{root.trace_id:032x}-{self.span_id:016x}-01"
        self.trace = TraceContext(traceparent, root.parent.tracestate if root.parent else None)

    def end(self, outcome: Outcome) -> None:
        self._tracing.settled(self, outcome)


class _Unkept(NamedTuple):
    """One that leaves no trace, although its receivers see a context."""

    trace: TraceContext

    def end(self, outcome: Outcome) -> None:
        """Nobody wants to know."""


def _arrived(source: Source, pattern: str | None) -> Attributes:
    attributes: Attributes = {
        words.SYSTEM: "http" if source.connection is None else "websocket",
        words.OPERATION: words.PROCESS,
        words.OPERATION_TYPE: "process",
    }
    if source.connection is not None:
        attributes[words.CLIENT_ID] = source.connection
    if pattern is not None:
        attributes[words.TEMPLATE] = pattern
    return attributes
