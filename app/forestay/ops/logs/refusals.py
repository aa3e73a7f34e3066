"""Logs each refusal with its connection and its trace, at debug level."""

import structlog

from forestay.core.facts.source import Source
from forestay.core.ports.observer import Client, Observer, RefusedMessage
from forestay.protocol.codes import ErrorCode

log = structlog.get_logger(__name__)


class RefusalLog(Observer):
    """Logs at debug level, because clients decide how many refusals there are."""

    def refused(
        self, code: ErrorCode, source: Source, message: RefusedMessage | None, room: str | None, client: Client | None
    ) -> None:
        trace = None if message is None else message.trace
        trace_id = None if trace is None else trace.trace_id
        log.debug("message refused", code=code, connection=source.connection, trace_id=trace_id)
