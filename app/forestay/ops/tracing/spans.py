"""Finished spans, as the loop makes them: what they share with others, their own ids and times.

The SDK's tracer opens a span, asks the sampler about it and keeps it until it is closed. Here both times and the
sampling decision are known when a span is made, and the tracer would take several times as long (`bench/tracing`). An
exporter's thread makes the SDK's object of a span, or its OTLP: see `readable.py` and `otlp.py`.
"""

import random
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import SpanContext, TraceFlags
from opentelemetry.util.types import AttributeValue

from forestay.protocol.trace import TraceContext

Attributes = Mapping[str, AttributeValue]


class Kind(IntEnum):
    """The kinds of spans, with their numbers in OTLP."""

    INTERNAL = 1
    SERVER = 2
    PRODUCER = 4
    CONSUMER = 5


class Shape:
    """What spans can have in common. A pod has many spans of few shapes."""

    __slots__ = ("attributes", "encoded", "failed", "kind", "name")

    def __init__(self, name: str, kind: Kind, attributes: Attributes, *, failed: bool = False) -> None:
        self.name = name
        self.kind = kind
        self.attributes = attributes
        """Those with few values."""
        self.failed = failed
        self.encoded: bytes | None = None
        """A place for an exporter to keep what it encoded."""


class Event(NamedTuple):
    """What happened during a span."""

    name: str
    attributes: Attributes
    time: int
    """Unix nanoseconds."""


class Place(NamedTuple):
    """The position of a span in a kept trace: its own ids, its parent and its link."""

    trace_id: int
    span_id: int
    parent_id: int = 0
    """0: it has no parent."""
    state: str | None = None
    """The trace's state, as a header has it."""
    parent: TraceContext | None = None
    """The parent, where it is a span of another process."""
    link: TraceContext | None = None

    def child(self, span_id: int) -> "Place":
        """The place of a child with the id `span_id`."""
        return Place(self.trace_id, span_id, self.span_id, self.state)


class Span(NamedTuple):
    """One finished span of a kept trace."""

    shape: Shape
    place: Place
    started: int
    """Unix nanoseconds."""
    ended: int
    texts: Attributes
    """The attributes that have a value for each client, room or user."""
    events: Sequence[Event] = ()

    @property
    def context(self) -> SpanContext:
        """The SDK's processor asks whether a span is kept. All of these are."""
        return _KEPT


_KEPT: Final = SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


class Spans:
    """Hands finished spans to the SDK's processors, which know no more of a span than its `context`."""

    def __init__(self, processors: Sequence[SpanProcessor]) -> None:
        self._takers = [processor.on_end for processor in processors]

    def end(self, span: Span) -> None:
        for take in self._takers:
            take(span)  # type: ignore[arg-type]


class Root(NamedTuple):
    """Where our part of a trace begins."""

    trace_id: int
    parent: TraceContext | None = None
    """The caller's span, where the trace is the caller's."""
    link: TraceContext | None = None
    """The span of a caller whose trace is not continued."""

    def place(self) -> Place:
        """The place of our first span."""
        if self.parent is not None:
            return place_below(self.parent)
        return Place(self.trace_id, new_span_id(), 0, None, None, self.link)


def place_below(parent: TraceContext, *, linked: bool = False) -> Place:
    """The place of a child of a remote span. `linked`: add a link to the parent as well."""
    trace_id, span_id = ids(parent)
    return Place(trace_id, new_span_id(), span_id, parent.tracestate, parent, parent if linked else None)


def ids(trace: TraceContext) -> tuple[int, int]:
    """The ids of the trace and of the span in a context."""
    text = trace.traceparent
    return int(text[3:35], 16), int(text[36:52], 16)


def new_span_id() -> int:
    return random.getrandbits(64) or 1
