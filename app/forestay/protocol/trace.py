"""Trace context as it arrives from strangers: well formed, or dropped.

The two strings are W3C Trace Context's. This module checks their form and nothing else: whose trace a message belongs
to is decided where spans are made.
"""

import re
from typing import NamedTuple

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII).fullmatch
# The last bit of the flags.
_ODD = frozenset("13579bdf")
_TRACESTATE = re.compile(r"[\x20-\x7e]{1,512}", re.ASCII).fullmatch


class TraceContext(NamedTuple):
    """One message's place in a trace, carried as one field from the caller to the last socket."""

    traceparent: str
    tracestate: str | None = None
    """Never reaches another user."""

    @property
    def sampled(self) -> bool:
        """Whether the trace is kept, as far as whoever handed it on knows."""
        return self.traceparent[-1] in _ODD

    @property
    def trace_id(self) -> str:
        """32 hex digits."""
        return self.traceparent[3:35]


def parse_trace(traceparent: str | None, tracestate: str | None = None) -> TraceContext | None:
    """The context, or None where `traceparent` is missing or malformed. A bad `tracestate` is dropped alone."""
    if traceparent is None or not _TRACEPARENT(traceparent):
        return None
    return TraceContext(traceparent, tracestate if tracestate and _TRACESTATE(tracestate) else None)
