"""How often a value fell between which bounds, and which trace was the last to do so: two lists and a sum.

Observing is a search in a handful of numbers and two additions, because it happens for every message. A trace is kept
as it came; it is taken apart when somebody looks.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from time import time
from typing import NamedTuple

from forestay.protocol.trace import TraceContext

# Where it lies in a `traceparent`, which has one length.
_SPAN = slice(36, 52)


class Exemplar(NamedTuple):
    """One value of a bucket whose trace can be looked at."""

    trace_id: str
    span_id: str
    value: float
    unix: float
    """When it was observed, Unix seconds."""


class Bucket(NamedTuple):
    """How many values in total were at most `bound`."""

    bound: str
    total: int
    exemplar: Exemplar | None


class Histogram:
    def __init__(self, bounds: tuple[float, ...], clock: Callable[[], float] = time) -> None:
        """`bounds`: ascending; beyond the last one there is always one more bucket. `clock`: Unix seconds."""
        self._clock = clock
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._traced: dict[int, tuple[TraceContext, float, float]] = {}
        self.sum = 0.0

    def observe(self, value: float, trace: TraceContext | None = None) -> None:
        """Count `value`; the trace that it belongs to is remembered if it is recorded."""
        at = bisect_left(self._bounds, value)
        self._counts[at] += 1
        self.sum += value
        if trace is not None and trace.sampled:
            self._traced[at] = (trace, value, self._clock())

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self._counts)

    def buckets(self) -> Iterator[Bucket]:
        """All of them, the one without a bound last."""
        total = 0
        for at, bound in enumerate((*map(str, self._bounds), "+Inf")):
            total += self._counts[at]
            traced = self._traced.get(at)
            yield Bucket(bound, total, None if traced is None else _exemplar(*traced))


def _exemplar(trace: TraceContext, value: float, unix: float) -> Exemplar:
    return Exemplar(trace.trace_id, trace.traceparent[_SPAN], value, unix)
