"""Which traces are kept, as OTEL_TRACES_SAMPLER says, decided without the SDK: most messages are not kept.

The decision is the SDK's own, made from the same bits of the trace id: what is kept here is kept there. Asking it would
cost a message that leaves no trace several microseconds.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final, NamedTuple

from forestay.protocol.trace import TraceContext

_IDS: Final = 2**64
"""The low half of a trace id is what a ratio looks at."""

_RATIO: Final = "traceidratio"
_SHIPPED: Final = "parentbased_always_on"
_SAMPLERS: Final = ("always_on", "always_off", _RATIO)


class TraceParent(StrEnum):
    """What becomes of a client's own trace context."""

    LINK = "link"
    """A new trace, linked to it: strangers do not choose which traces are kept."""
    CHILD = "child"
    """The client's trace goes on through the gateway."""


@dataclass(frozen=True)
class Sampling:
    ratio: float
    """The share of new traces that is kept."""
    heeds_parent: bool
    """Whether a caller's decision about its own trace is taken over."""

    def new_kept(self) -> bool:
        """Whether to keep one more new trace."""
        return random.random() < self.ratio

    def new_id(self, *, kept: bool) -> int:
        """A trace id that this sampler, and every other one of the same ratio, keeps or does not keep."""
        low, bound = random.getrandbits(64), self.bound
        low = low * bound >> 64 if kept else bound + (low * (_IDS - bound) >> 64)
        return (random.getrandbits(64) or 1) << 64 | low

    def keeps(self, parent: TraceContext) -> bool:
        """Whether to keep the part of a caller's trace that is ours."""
        if self.heeds_parent:
            return parent.sampled
        return int(parent.traceparent[19:35], 16) < self.bound

    @cached_property
    def bound(self) -> int:
        return round(self.ratio * _IDS)


class Manner(NamedTuple):
    """What makes one gateway's traces differ from another's."""

    sampling: Sampling
    continue_clients: bool
    """A client's own trace goes on, and is not only linked to."""
    heeds_callers: bool
    """A caller's trace context is looked at at all: OTEL_PROPAGATORS has `tracecontext`."""
    names: bool
    """Rooms and users are named."""
    system: str
    """The bus: `redis` or `memory`."""


def parse_sampling(environ: Mapping[str, str]) -> Sampling:
    """What OTEL_TRACES_SAMPLER and its argument say; what cannot be understood is as shipped, as the SDK has it."""
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower() or _SHIPPED
    heeds_parent = name.startswith("parentbased_")
    root = name.removeprefix("parentbased_")
    if root not in _SAMPLERS:
        root, heeds_parent = "always_on", True
    if root == _RATIO:
        return Sampling(_ratio(environ.get("OTEL_TRACES_SAMPLER_ARG", "")), heeds_parent)
    return Sampling(float(root == "always_on"), heeds_parent)


def _ratio(text: str) -> float:
    try:
        ratio = float(text)
    except ValueError:
        return 1.0
    return ratio if 0.0 <= ratio <= 1.0 else 1.0
