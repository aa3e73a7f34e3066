"""Counts values by bucket and keeps the last trace of each bucket.

Observing is a comparison or a search in a few numbers, and two additions, because it happens for every message. A trace
context is kept as text and parsed only when an exemplar is read.
"""

from bisect import bisect_left
from typing import NamedTuple

from forestay.protocol.trace import TraceContext


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
    def __init__(self, bounds: tuple[float, ...]) -> None:
        """`bounds`: ascending; one more bucket without a bound is added."""
        self._bounds = bounds
        self._least = bounds[0]
        self._counts = [0] * (len(bounds) + 1)
        self._traced: dict[int, tuple[TraceContext, float, float]] = {}
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Counts `value`."""
        self._counts[self._bucket(value)] += 1
        self.sum += value

    def illustrate(self, value: float, trace: TraceContext, unix: float) -> None:
        """Keeps `trace` as the exemplar of the bucket of `value`, if that trace is sampled. `unix`: Unix seconds."""
        if trace.sampled:
            self._traced[self._bucket(value)] = (trace, value, unix)

    def _bucket(self, value: float) -> int:
        # Most values of a pod that is not overloaded are in the first bucket.
        return 0 if value <= self._least else bisect_left(self._bounds, value)

    @property
    def count(self) -> int:
        """The number of all values."""
        return sum(self._counts)

    def buckets(self) -> list[Bucket]:
        """All buckets in ascending order. The last one has no bound."""
        found: list[Bucket] = []
        total = 0
        for at, bound in enumerate([*map(str, self._bounds), "+Inf"]):
            total += self._counts[at]
            traced = self._traced.get(at)
            found.append(Bucket(bound, total, None if traced is None else _exemplar(*traced)))
        return found


def _exemplar(trace: TraceContext, value: float, unix: float) -> Exemplar:
    return Exemplar(trace.trace_id, trace.span_id, value, unix)
