"""Fetches an issuer's published keys and renews them in the background.

The keys are renewed before they expire, so that no handshake waits for them. While the endpoint is down, the last keys
are used. There is one request at a time, for any number of callers. This module does not know what a key is: a function
that reads the document is handed in.
"""

import asyncio
import re
import time
from asyncio import Future, Task
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from math import inf
from typing import Final, Generic, TypeVar

import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar
from yarl import URL

from forestay.core.ports.tasks import Tasks
from forestay.protocol.codes import ErrorCode, Refusal

T = TypeVar("T")

MAX_BYTES: Final = 256 * 1024
"""The largest document that is read. A key set has some kilobytes."""

log = structlog.get_logger(__name__)

_MAX_AGE = re.compile(r"(?:^|[,\s])max-age\s*=\s*\"?(\d{1,9})", re.ASCII | re.IGNORECASE).search
# The share of its lifetime after which a document is renewed. The rest is for more attempts if the first one fails.
_RENEWED_AT = 0.8


@dataclass(frozen=True, slots=True)
class RenewalTimes:
    """How often the endpoint is asked. All values are seconds."""

    lifetime: float = 300.0
    """How long a document is valid that does not say so itself. A withdrawn key may be accepted for this long."""
    shortest: float = 60.0
    """The least lifetime, also of a document that names less."""
    longest: float = 3600.0
    """The greatest lifetime, also of a document that names more."""
    cooldown: float = 30.0
    """The least time between two requests that clients cause with unknown keys, and the longest between retries."""
    retry: float = 1.0
    """The time between a failed request and the next. It doubles with each failure, up to the cooldown."""
    stale: float = 86_400.0
    """How long the last document is used while the endpoint fails. A day is long enough for an operator to notice."""
    timeout: float = 5.0
    """The time for one whole request, and the longest that a handshake waits for keys."""


TIMES: Final = RenewalTimes()
"""The default times."""


class JwksCache(Generic[T]):
    """Keeps what `read` makes of the document at `url`.

    A ValueError from `read` is a failed request: the last good document stays in use. The constructor raises ValueError
    unless `url` is https, or http on this machine.
    """

    def __init__(
        self,
        url: str,
        read: Callable[[bytes], T],
        tasks: Tasks,
        times: RenewalTimes = TIMES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = _allowed(url)
        self._read = read
        self._tasks = tasks
        self._times = times
        self._clock = clock
        self._known: T | None = None
        self._known_at = -inf
        self._tried_at = -inf
        self._next_at = -inf
        self._failures = 0
        # Done when the request ends that is under way or asked for.
        self._request: Future[None] | None = None
        self._asked = asyncio.Event()
        self._renewal: Task[None] | None = None
        self._closed = False

    async def get(self) -> T:
        """The known keys, at once. Waits for a request only where no keys are known.

        Raises Refusal with UNAVAILABLE where there are no keys.
        """
        known = self._usable()
        if known is None:
            # The first caller starts the renewal. Afterwards the renewal sets the pace: callers do not add requests to
            # an endpoint that is down.
            if self._request is not None or self._tried_at == -inf:
                await self._request_ended()
            known = self._usable()
        if known is None:
            raise self._unavailable()
        return known

    async def renewed(self) -> T:
        """The known keys after one more request, for a caller that misses one. No request within the cooldown.

        Raises Refusal with UNAVAILABLE where the last request failed: the missing key may exist.
        """
        if self._request is not None or self._clock() - self._tried_at >= self._times.cooldown:
            await self._request_ended()
        if self._failures:
            raise self._unavailable()
        return await self.get()

    async def close(self) -> None:
        """Stop the renewal. Callers that wait for a request are answered without it."""
        self._closed = True
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait({self._renewal})
        # A task that is cancelled before its first step runs nothing, so its waiters are released here.
        self._end_request()

    def _usable(self) -> T | None:
        return self._known if self._clock() - self._known_at <= self._times.stale else None

    def _unavailable(self) -> Refusal:
        message = "the keys to verify tokens are not available; try again later"
        return Refusal(ErrorCode.UNAVAILABLE, message, retry_after=max(1.0, self._next_at - self._clock()))

    async def _request_ended(self) -> None:
        """Wait until one request has ended: the one under way, or a new one. Raises Refusal with UNAVAILABLE."""
        if self._closed:
            return
        request = self._request
        if request is None:
            request = self._begin_request()
            self._asked.set()
        if self._renewal is None:
            self._renewal = self._tasks.keep("jwks_renewal", self._renew)
        # A caller that gives up does not cancel the request: the others wait for it too.
        ended, _ = await asyncio.wait({request}, timeout=self._times.timeout)
        if not ended:
            raise self._unavailable()

    def _begin_request(self) -> Future[None]:
        self._tried_at = self._clock()
        request = self._request = asyncio.get_running_loop().create_future()
        return request

    def _end_request(self) -> None:
        request, self._request = self._request, None
        if request is not None:
            request.set_result(None)

    async def _renew(self) -> None:
        """Fetch the document again and again: when its time is up, or when a caller asks for it."""
        while True:
            if self._request is None:
                self._begin_request()
            self._asked.clear()
            pause = self._times.cooldown
            try:
                pause = await self._fetch()
            finally:
                self._next_at = self._clock() + pause
                self._end_request()
            try:
                async with asyncio.timeout(pause):
                    await self._asked.wait()
            except TimeoutError:
                pass

    async def _fetch(self) -> float:
        """Fetch the document once. Returns the seconds until the next request."""
        try:
            async with asyncio.timeout(self._times.timeout):
                body, lifetime = await self._download()
            self._known = self._read(body)
        except (ClientError, OSError, ValueError) as error:
            again = min(self._times.cooldown, self._times.retry * 2.0 ** min(self._failures, 16))
            self._failures += 1
            # Only the host is logged: the rest of the address may be a secret. The error may quote the response.
            log.warning("token keys not fetched", host=self._url.host, error=repr(error)[:200], again_in=again)
            return again
        self._known_at = self._clock()
        self._failures = 0
        return _RENEWED_AT * lifetime

    async def _download(self) -> tuple[bytes, float]:
        """The document, and the seconds for which it is valid."""
        # One session for one request: the next is minutes away, and an idle connection would be closed by then.
        async with (
            ClientSession(cookie_jar=DummyCookieJar(), timeout=ClientTimeout(total=None)) as session,
            # An attacker who can make the endpoint redirect must not choose our keys.
            session.get(self._url, headers={"Accept": "application/json"}, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise ValueError(f"status {response.status} instead of 200")
            body = bytearray()
            # Counted as it arrives, after decompression: neither the announced length nor the sent one can be trusted.
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise ValueError(f"more than {MAX_BYTES} bytes")
            return bytes(body), self._lifetime(", ".join(response.headers.getall("Cache-Control", [])))

    def _lifetime(self, cache_control: str) -> float:
        named = _MAX_AGE(cache_control)
        if named is None:
            return self._times.lifetime
        return min(max(float(named[1]), self._times.shortest), self._times.longest)


def _allowed(text: str) -> URL:
    """`text` as the address of a key set. Raises ValueError."""
    url = URL(text)
    host = url.host or ""
    if not host or url.scheme not in ("http", "https"):
        raise ValueError("the JWKS URL is not an https address; write it in full, like https://issuer.example/keys")
    if url.scheme == "http" and not _loopback(host):
        raise ValueError("the JWKS URL is plain http, so anyone on the network could replace the keys; use https")
    if url.user is not None or url.password is not None:
        raise ValueError("the JWKS URL contains a user name or password; key sets are public, leave it out")
    return url


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
