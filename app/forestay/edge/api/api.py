"""Serves the HTTP API for backends: checks the key, finds the handler of a path, and counts what came of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import structlog
from aiohttp import web

from forestay.core.cluster.all_pods import AllPods
from forestay.core.ports.observer import Observer
from forestay.core.rules.scopes import Grant
from forestay.core.sessions.backend import Backend
from forestay.edge.api.audit import Audit
from forestay.edge.api.handler import BodyLimits, Handler
from forestay.edge.api.keys import ApiKeys
from forestay.edge.api.looking import Looking
from forestay.edge.api.managing import Managing
from forestay.edge.api.pods import Pods
from forestay.edge.api.publishing import Publishing
from forestay.edge.api.reading import Reading
from forestay.edge.api.watching import NewWatcher, WatchPaths
from forestay.edge.api.webhooks import Webhooks, WebhookSource
from forestay.edge.problems import other_method, problem
from forestay.edge.request_trace import trace_id
from forestay.protocol.codes import ErrorCode, Refusal

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Core:
    """What the handlers ask of the core."""

    backend: Backend
    all_pods: AllPods
    watcher: NewWatcher


class Api:
    """The paths under `/v1`, on the internal port. Each of them requires an API key."""

    def __init__(
        self, core: Core, keys: ApiKeys, limits: BodyLimits, observer: Observer, webhooks: WebhookSource
    ) -> None:
        self._observer = observer
        self._keys = keys
        audit, backend, all_pods = Audit(observer), core.backend, core.all_pods
        self._watches = WatchPaths(backend, core.watcher)
        parts = (
            Publishing(backend, limits),
            Reading(backend, all_pods),
            Managing(backend, limits, audit),
            Pods(backend, all_pods, limits, audit),
            Looking(all_pods, audit),
            self._watches,
            Webhooks(webhooks, audit),
        )
        self.paths: dict[str, dict[str, Handler]] = {}
        """The handlers by path and method, see `Paths`."""
        for part in parts:
            for path, handlers in part.paths().items():
                self.paths.setdefault(path, {}).update(handlers)

    async def close(self) -> None:
        """End the streams, because the pod stops. Other requests are answered all the same."""
        await self._watches.close()

    def routes(self) -> list[web.AbstractRouteDef]:
        """The routes of aiohttp."""
        routes: list[web.AbstractRouteDef] = []
        for named, handlers in self.paths.items():
            # aiohttp's own form of a name has no braces, and a user may have some.
            path = named.replace("}", ":[^/]+}")
            routes += [web.route(method, path, self._guarded(handler)) for method, handler in handlers.items()]
            # aiohttp answers a HEAD where there is a GET.
            allowed = ", ".join(sorted({*handlers, "HEAD"} if "GET" in handlers else handlers))
            routes.append(web.route("*", path, self._guarded(partial(_other_method, allowed))))
        return [*routes, web.route("*", "/{slashes:/*}v1{rest:(/.*)?}", self._guarded(_not_found))]

    def _guarded(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            outcome = "failed"
            try:
                response = await handler(request, self._keys.check(request))
                outcome = "ok" if response.status < 400 else ErrorCode.NOT_FOUND
            except Refusal as refusal:
                outcome = refusal.code
                log.debug("request refused", code=refusal.code, reason=str(refusal), trace_id=trace_id(request))
                response = problem(refusal)
            finally:
                self._observer.answered(outcome)
            return response

        return guarded


async def _other_method(allowed: str, request: web.Request, grant: Grant) -> web.StreamResponse:
    return other_method(allowed)


async def _not_found(request: web.Request, grant: Grant) -> web.StreamResponse:
    if "//" in request.path:
        raise Refusal(
            ErrorCode.NOT_FOUND, "the path has two slashes in a row; write one, and no slash at the end of the base URL"
        )
    raise Refusal(ErrorCode.NOT_FOUND, "the API has no such path; docs/http-api.md lists them")
