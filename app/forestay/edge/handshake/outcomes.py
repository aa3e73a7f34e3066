"""Reports how requests to connect end: each one to the observer, and the refused ones to the log."""

import structlog
from aiohttp import web

from forestay.core.ports.observer import Observer, TurnedAway
from forestay.edge.handshake.admission import Admission
from forestay.edge.handshake.refused import Refused
from forestay.edge.log_throttle import LogThrottle
from forestay.edge.request_trace import request_trace, trace_id

log = structlog.get_logger(__name__)


class Outcomes:
    """The outcomes of one way to connect."""

    def __init__(self, one: str, all_of_them: str, admission: Admission, observer: Observer | None) -> None:
        """`one`: what the log calls a refused request. `all_of_them`: what it calls many of them together."""
        self._one = one
        self._admission = admission
        self._observer = observer
        self._refused = LogThrottle(all_of_them)

    def report(self, outcome: str, request: web.BaseRequest, started_at: float) -> None:
        """Report to the observer. `outcome`: `ok`, `lost`, or the HTTP status of a refusal."""
        if self._observer is not None:
            self._observer.handshake(outcome, started_at, request_trace(request))

    def refused(self, request: web.BaseRequest, refused: Refused, started_at: float) -> None:
        """Report that `request` is refused."""
        self.report(str(refused.status), request, started_at)
        client = self._admission.client(request)
        if self._observer is not None:
            self._observer.turned_away(
                TurnedAway(refused.status, refused.refusal.code, str(refused), client, refused.user)
            )
        log.debug(
            self._one,
            client=client,
            status=refused.status,
            code=refused.refusal.code,
            reason=str(refused),
            trace_id=trace_id(request),
        )
        self._refused.count(f"{refused.status} {refused.refusal.code}", f"{refused} (client {client})")
