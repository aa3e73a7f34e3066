"""Decides who may connect, in one order: capacity, origin, token. Counts what those who may connect take.

The checks are the same for every way to connect. The caller checks the form of the request before them. Cheap checks
come first, so that a request that one of them refuses costs nothing more. What is limited is taken in the same step as
its check, before anything waits. Otherwise all requests that wait at the same time would pass one free place.
"""

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol, cast

from aiohttp import hdrs, web

from forestay.core.ports.verifier import BadClaims, Identifier, Ticket
from forestay.core.rules.access import Identity
from forestay.core.rules.lifecycle import Lifecycle
from forestay.edge.client_address import TrustedProxies
from forestay.edge.handshake.connect_hook import UNASKED, ConnectHook, Entry, origin_of
from forestay.edge.handshake.origins import Origins, of_page
from forestay.edge.handshake.refused import Refused
from forestay.protocol.codes import ErrorCode, Refusal

QUERY_NAMES: Final = ("access_token", "token")
"""The names that a token has in a URL."""

# Seconds. Long enough that other pods, which have capacity, get the caller first.
_RETRY_AFTER: Final = 3.0


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """How many connections and handshakes a pod takes."""

    max_connections: int
    max_handshakes: int
    """Handshakes under way at the same time."""


class _Proxied(Protocol):
    client: str | None


class Admission:
    """Admits requests to connect, or refuses them: 503 draining or full, 403 origin, 401 token.

    A caller takes a handshake while it is not served yet, and a place from its admission until its socket is closed.
    Only a caller with a good token takes a place, so strangers cannot fill the pod.
    """

    def __init__(
        self,
        limits: AdmissionLimits,
        origins: Origins,
        proxies: TrustedProxies,
        verifier: Identifier,
        lifecycle: Lifecycle,
        hook: ConnectHook | None = None,
    ) -> None:
        """`hook`: asks the application; None where it is not asked."""
        self.hook = hook
        self._limits = limits
        self._origins = origins
        self._proxies = proxies
        self._verifier = verifier
        self._lifecycle = lifecycle
        self._handshakes = 0
        self._places = 0
        self._all_closed = asyncio.Event()
        self._all_closed.set()

    @property
    def open(self) -> bool:
        """Whether the pod takes new connections, if it has room for them."""
        return self._lifecycle.open

    @property
    def sockets(self) -> int:
        """The number of places that are taken. Sockets that only wait for the answer to a close frame have one."""
        return self._places

    def client(self, request: web.BaseRequest) -> str | None:
        """The address of the client, as the proxies that are trusted say it; None where that is not known."""
        return self._proxies.client(cast(_Proxied, request.protocol).client or request.remote, request.headers)

    async def wait_closed(self, seconds: float) -> None:
        """Wait until every place is free, at most `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._all_closed.wait()
        except TimeoutError:
            pass

    async def ask(self, request: web.BaseRequest, identity: Identity, wire: str, *, only: bool = False) -> Entry:
        """Ask the application whether the caller may connect, where it wants to be asked. Raises Refused.

        `only`: the caller asks, and does not connect.
        """
        if self.hook is None:
            return UNASKED
        return await self.hook.ask(identity, origin_of(request, wire, self.client(request)), only=only)

    def begin(self) -> "Attempt":
        """Take one of the handshakes that may be under way. Raises Refused. The caller calls `leave` in any case."""
        self._check_capacity()
        if self._handshakes >= self._limits.max_handshakes:
            raise _retry_later("this pod has its maximum of handshakes under way")
        return Attempt(self)

    def count(self, *, handshakes: int = 0, places: int = 0) -> None:
        """Change the numbers of what is taken. For use by Attempt."""
        self._handshakes += handshakes
        if places:
            self._places += places
            if self._places:
                self._all_closed.clear()
            else:
                self._all_closed.set()

    async def identify(self, token: str | Ticket, *, placed: bool = False) -> Identity:
        """The identity of a caller. `placed`: it has a place already. For use by Attempt. Raises Refused."""
        try:
            identity = await self._verifier.verify(token)
        except BadClaims as refusal:
            raise Refused(401, refusal, refusal.user) from None
        except Refusal as refusal:
            raise Refused(503 if refusal.code is ErrorCode.UNAVAILABLE else 401, refusal) from None
        # The verifier may have waited for keys. Meanwhile the pod may have filled up or begun to drain.
        self._check_capacity(placed=placed)
        return identity

    def check_origin(self, request: web.BaseRequest) -> None:
        """Raises Refused where a page sent `request` that may not connect. It comes before the token."""
        origins, host = of_page(request.headers), request.headers.get(hdrs.HOST, "")
        if not self._origins.allow(origins, host):
            raise Refused(403, Refusal(ErrorCode.FORBIDDEN, self._origins.refusal(origins, host)))

    def _check_capacity(self, *, placed: bool = False) -> None:
        if not self._lifecycle.open:
            raise _retry_later("this pod takes no new connections")
        if not placed and self._places >= self._limits.max_connections:
            raise _retry_later("this pod has its maximum of connections")


class Attempt:
    """One attempt to connect, and what it has taken of the pod's limits."""

    __slots__ = ("_admission", "_left", "_placed", "_under_way")

    def __init__(self, admission: Admission) -> None:
        """For use by Admission: takes a handshake."""
        self._admission = admission
        self._under_way = True
        self._placed = False
        self._left = False
        admission.count(handshakes=1)

    async def identify(self, token: str | Ticket) -> Identity:
        """Identify the caller, who takes no place. Raises Refused."""
        return await self._admission.identify(token, placed=self._placed)

    async def admit(self, token: str | Ticket) -> Identity:
        """Identify the caller, and take a place for it in the same step as the last check. Raises Refused.

        One attempt has one place, also where it is admitted several times.
        """
        identity = await self._admission.identify(token, placed=self._placed)
        # The caller may have gone while the verifier waited.
        if not self._placed and not self._left:
            self._placed = True
            self._admission.count(places=1)
        return identity

    def end_handshake(self) -> None:
        """End the handshake, because the caller is served now."""
        if self._under_way:
            self._under_way = False
            self._admission.count(handshakes=-1)

    def leave(self) -> None:
        """Give back all that the caller has. For use when it was refused or answered, or its socket is closed."""
        self._left = True
        self.end_handshake()
        if self._placed:
            self._placed = False
            self._admission.count(places=-1)


def _retry_later(reason: str) -> Refused:
    return Refused(503, Refusal(ErrorCode.UNAVAILABLE, f"{reason}; try again later", retry_after=_RETRY_AFTER))
