"""Writes down each refusal with the connection and the trace that it belongs to, for whoever asked for every detail."""

import structlog

from app.core.observer import Observer
from app.protocol.codes import ErrorCode
from app.protocol.trace import TraceContext

log = structlog.get_logger(__name__)


class RefusalLog:
    """An Observer that logs at the level of debugging, and tells every fact to the next one."""

    def __init__(self, told: Observer) -> None:
        self._told = told
        # Facts that make no line go straight on.
        self.connected = told.connected
        self.received = told.received
        self.publishing = told.publishing
        self.published = told.published
        self.rejected = told.rejected
        self.delivered = told.delivered
        self.written = told.written
        self.flushed = told.flushed
        self.slow = told.slow
        self.bus = told.bus
        self.gap_filled = told.gap_filled
        self.resynced = told.resynced
        self.ended = told.ended
        self.relocated = told.relocated
        self.handshake = told.handshake

    def refused(self, code: ErrorCode, connection: str, trace: TraceContext | None) -> None:
        self._told.refused(code, connection, trace)
        trace_id = None if trace is None else trace.trace_id
        log.debug("message refused", code=code, connection=connection, trace_id=trace_id)
