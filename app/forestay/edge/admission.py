"""Decides who may connect, in one order: capacity, origin, token. Counts the sockets of those who did.

The checks are the same for every way to connect. The caller checks the form of the request before them. Cheap checks
come first, so that a request that one of them refuses costs nothing more.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from forestay.core.fanout.hub import Hub
from forestay.core.ports.verifier import Verifier
from forestay.core.rules.access import Identity
from forestay.core.rules.lifecycle import Lifecycle
from forestay.edge.origins import Origins
from forestay.protocol.codes import ErrorCode, Refusal

# Seconds. Long enough that other pods, which have capacity, get the caller first.
_RETRY_AFTER: Final = 3.0


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """How many connections and handshakes a pod takes."""

    max_connections: int
    max_handshakes: int
    """Handshakes under way at the same time."""


class Refused(Exception):
    """A request to connect that is refused, with the HTTP status of the response."""

    def __init__(self, status: int, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.status = status
        self.refusal = refusal


class Admission:
    """Admits requests to connect, or refuses them: 503 draining or full, 403 origin, 401 token."""

    def __init__(
        self, limits: AdmissionLimits, origins: Origins, verifier: Verifier, lifecycle: Lifecycle, hub: Hub
    ) -> None:
        self._limits = limits
        self._origins = origins
        self._verifier = verifier
        self._lifecycle = lifecycle
        self._hub = hub
        self._under_way = 0
        self._sockets = 0
        self._all_closed = asyncio.Event()
        self._all_closed.set()

    @property
    def sockets(self) -> int:
        """The number of open sockets. Those that only wait for the answer to a close frame are included."""
        return self._sockets

    def opened(self) -> None:
        """Count a socket of an admitted caller, until `closed`."""
        self._sockets += 1
        self._all_closed.clear()

    def closed(self) -> None:
        """Stop counting a socket that was opened."""
        self._sockets -= 1
        if not self._sockets:
            self._all_closed.set()

    async def wait_closed(self, seconds: float) -> None:
        """Wait until every socket is closed, at most `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._all_closed.wait()
        except TimeoutError:
            pass

    async def admit(self, request: web.BaseRequest, token: str | None) -> Identity:
        """The identity of the caller, whose token is `token`. Raises Refused."""
        self._under_way += 1
        try:
            self._check_capacity()
            self._check_origin(request)
            if token is None:
                message = "the request has no token; send one as 'Authorization: Bearer <token>'"
                raise Refused(401, Refusal(ErrorCode.BAD_TOKEN, message))
            try:
                identity = await self._verifier.verify(token)
            except Refusal as refusal:
                raise Refused(503 if refusal.code is ErrorCode.UNAVAILABLE else 401, refusal) from None
            # The verifier may have waited for keys. Meanwhile the pod may have filled up or begun to drain.
            self._check_capacity()
        finally:
            self._under_way -= 1
        return identity

    def _check_capacity(self) -> None:
        if not self._lifecycle.open:
            raise _retry_later("this pod takes no new connections")
        if len(self._hub) >= self._limits.max_connections:
            raise _retry_later("this pod has its maximum of connections")
        if self._under_way > self._limits.max_handshakes:
            raise _retry_later("this pod has its maximum of handshakes under way")

    def _check_origin(self, request: web.BaseRequest) -> None:
        if not self._origins.allow(request.headers.getall("Origin", []), request.headers.get("Host", "")):
            message = "pages of this origin may not connect; the operator lists the origins that may"
            raise Refused(403, Refusal(ErrorCode.FORBIDDEN, message))


def _retry_later(reason: str) -> Refused:
    return Refused(503, Refusal(ErrorCode.UNAVAILABLE, f"{reason}; try again later", retry_after=_RETRY_AFTER))
