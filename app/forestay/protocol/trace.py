"""Reads the trace context that a caller sends. A malformed one is dropped.

The two strings are those of W3C Trace Context. Only their form is checked here. The tracer decides which trace a
message belongs to.
"""

import re
from typing import NamedTuple

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII).fullmatch
# The last bit of the flags.
_ODD = frozenset("13579bdf")
_TRACESTATE = re.compile(r"[\x20-\x7e]{1,512}", re.ASCII).fullmatch


class TraceContext(NamedTuple):
    """The place of one message in a trace."""

    traceparent: str
    tracestate: str | None = None
    """It is never sent to another user."""

    @property
    def sampled(self) -> bool:
        """Whether the caller keeps the trace."""
        return self.traceparent[-1] in _ODD

    @property
    def trace_id(self) -> str:
        """32 hex digits."""
        return self.traceparent[3:35]

    @property
    def span_id(self) -> str:
        """16 hex digits."""
        return self.traceparent[36:52]


def parse_trace(traceparent: str | None, tracestate: str | None = None) -> TraceContext | None:
    """The context; None where `traceparent` is missing or malformed. A malformed `tracestate` alone is dropped."""
    if traceparent is None or not _TRACEPARENT(traceparent):
        return None
    return TraceContext(traceparent, tracestate if tracestate and _TRACESTATE(tracestate) else None)
