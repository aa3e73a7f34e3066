"""Writes a line in the log for each request that changes something: which key asked for what, and what came of it."""

from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiohttp import web

from forestay.core.ports.observer import Observer
from forestay.core.rules.scopes import Grant
from forestay.edge.request_trace import trace_id
from forestay.protocol.codes import Refusal

log = structlog.get_logger(__name__)


class Audit:
    """Runs what backends do to clients."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    async def run(
        self,
        request: web.Request,
        grant: Grant,
        action: str,
        whom: Mapping[str, object],
        work: Callable[[], Awaitable[Mapping[str, object]]],
    ) -> Mapping[str, object]:
        """The result of `work`, which has one line in the log, whatever comes of it."""
        result, outcome = "failed", "failed"
        done: Mapping[str, object] = {}
        try:
            done = await work()
            result = outcome = "ok"
        except Refusal as refusal:
            result, outcome = refusal.code, "refused"
            raise
        finally:
            log.info("audit", key=grant.name, action=action, **whom, result=result, **done, trace_id=trace_id(request))
            self._observer.managed(action, outcome)
        return done
