"""Decides which traces are kept, as OTEL_TRACES_SAMPLER says, without the SDK.

The decision equals the SDK's, made from the same bits of the trace id. Calling the SDK would cost each message several
microseconds, and most messages are not kept.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final, NamedTuple

from forestay.core.facts.sampler import Sampler
from forestay.protocol.trace import TraceContext

_IDS: Final = 2**64
"""The number of values of a trace id's low half, which a ratio is applied to."""

_RATIO: Final = "traceidratio"
_DEFAULT: Final = "parentbased_always_on"
_SAMPLERS: Final = ("always_on", "always_off", _RATIO)


class TraceParent(StrEnum):
    """What to do with a client's own trace context."""

    LINK = "link"
    """Start a new trace with a link to it, so that clients do not choose which traces are kept."""
    CHILD = "child"
    """Continue the client's trace."""


@dataclass(frozen=True)
class Sampling:
    ratio: float
    """The share of new traces that are kept."""
    parent_based: bool
    """Whether to take over the caller's decision for the caller's trace."""

    @cached_property
    def sampler(self) -> Sampler:
        """Decides which new traces are kept."""
        return Sampler(self.ratio, random.random)

    def new_id(self, *, kept: bool) -> int:
        """A new trace id that this sampler and every other one of the same ratio keep, or do not keep."""
        low, bound = random.getrandbits(64), self.bound
        low = low * bound >> 64 if kept else bound + (low * (_IDS - bound) >> 64)
        return (random.getrandbits(64) or 1) << 64 | low

    def keeps(self, parent: TraceContext) -> bool:
        """Whether to keep our part of a caller's trace."""
        if self.parent_based:
            return parent.sampled
        return int(parent.traceparent[19:35], 16) < self.bound

    @cached_property
    def bound(self) -> int:
        return round(self.ratio * _IDS)


class TracingOptions(NamedTuple):
    """How a gateway makes traces."""

    sampling: Sampling
    continue_clients: bool
    """Continue a client's trace, instead of only linking to it."""
    uses_caller_context: bool
    """Use a caller's trace context: OTEL_PROPAGATORS has `tracecontext`."""
    names: bool
    """Put the names of rooms and users on spans."""
    system: str
    """The kind of bus: `redis` or `memory`."""


def parse_sampling(environ: Mapping[str, str]) -> Sampling:
    """Reads OTEL_TRACES_SAMPLER and its argument. An invalid value means the default, as in the SDK."""
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower() or _DEFAULT
    parent_based = name.startswith("parentbased_")
    root = name.removeprefix("parentbased_")
    if root not in _SAMPLERS:
        root, parent_based = "always_on", True
    if root == _RATIO:
        return Sampling(_ratio(environ.get("OTEL_TRACES_SAMPLER_ARG", "")), parent_based)
    return Sampling(float(root == "always_on"), parent_based)


def _ratio(text: str) -> float:
    try:
        ratio = float(text)
    except ValueError:
        return 1.0
    return ratio if 0.0 <= ratio <= 1.0 else 1.0
