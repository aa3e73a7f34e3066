"""Counts values by bucket and keeps the last trace of each bucket: two lists and a sum.

Observing is a search in a few numbers and two additions, because it happens for every message. A trace context is kept
as text and parsed only when an exemplar is read.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from time import time
from typing import NamedTuple

from forestay.protocol.trace import TraceContext

# The position of the span id in a `traceparent`, which has a fixed length.
_SPAN = slice(36, 52)


class Exemplar(NamedTuple):
    """One value of a bucket, and the trace to look at for it."""

    trace_id: str
    span_id: str
    value: float
    unix: float
    """When it was observed, Unix seconds."""


class Bucket(NamedTuple):
    """The number of values that were at most `bound`."""

    bound: str
    total: int
    exemplar: Exemplar | None


class Histogram:
    def __init__(self, bounds: tuple[float, ...], clock: Callable[[], float] = time) -> None:
        """`bounds`: ascending; one more bucket without a bound is added. `clock`: Unix seconds."""
        self._clock = clock
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._traced: dict[int, tuple[TraceContext, float, float]] = {}
        self.sum = 0.0

    def observe(self, value: float, trace: TraceContext | None = None) -> None:
        """Counts `value`, and keeps `trace` as the bucket's exemplar if that trace is sampled."""
        at = bisect_left(self._bounds, value)
        self._counts[at] += 1
        self.sum += value
        if trace is not None and trace.sampled:
            self._traced[at] = (trace, value, self._clock())

    @property
    def count(self) -> int:
        """The number of all values."""
        return sum(self._counts)

    def buckets(self) -> Iterator[Bucket]:
        """All buckets in ascending order. The last one has no bound."""
        total = 0
        for at, bound in enumerate((*map(str, self._bounds), "+Inf")):
            total += self._counts[at]
            traced = self._traced.get(at)
            yield Bucket(bound, total, None if traced is None else _exemplar(*traced))


def _exemplar(trace: TraceContext, value: float, unix: float) -> Exemplar:
    return Exemplar(trace.trace_id, trace.traceparent[_SPAN], value, unix)
