"""The trace context that an HTTP request brings along, from a backend or with a handshake."""

from aiohttp import web

from forestay.protocol.trace import TraceContext, parse_trace


def request_trace(request: web.BaseRequest) -> TraceContext | None:
    """The caller's context; None where there is none, or more than one."""
    parents = request.headers.getall("traceparent", [])
    states = request.headers.getall("tracestate", [])
    # A list may be split over several lines; a parent may not.
    return parse_trace(parents[0], ",".join(states)) if len(parents) == 1 else None


def trace_id(request: web.BaseRequest) -> str | None:
    """For a log line: what the caller will look for."""
    trace = request_trace(request)
    return None if trace is None else trace.trace_id
