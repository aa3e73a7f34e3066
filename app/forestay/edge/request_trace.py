"""Reads the trace context from the headers of an HTTP request."""

from typing import Final

from aiohttp import web
from multidict import istr

from forestay.protocol.trace import TraceContext, parse_trace

_PARENT: Final = istr("traceparent")
_STATE: Final = istr("tracestate")


def request_trace(request: web.BaseRequest) -> TraceContext | None:
    """The caller's trace context. None where the request has none, or more than one."""
    parents = request.headers.getall(_PARENT, [])
    if len(parents) != 1:
        return None
    # `tracestate` is a list, which may span several header lines. `traceparent` is a single value.
    return parse_trace(parents[0], ",".join(request.headers.getall(_STATE, [])))


def trace_id(request: web.BaseRequest) -> str | None:
    """The caller's trace id, for a log line: callers search for it."""
    trace = request_trace(request)
    return None if trace is None else trace.trace_id
