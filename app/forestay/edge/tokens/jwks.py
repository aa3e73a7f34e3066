"""A document at an address, fetched, kept and renewed: how published keys stay at hand without a handshake waiting.

It is renewed before its time is up, in the background, and what is known outlives an endpoint that is down. However
many ask, there is one request at a time. This module does not know what a key is; whoever makes it hands in the reader.
"""

import asyncio
import re
import time
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from ipaddress import ip_address
from math import inf
from typing import Final, Generic, TypeVar

import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar
from yarl import URL

from forestay.protocol.codes import ErrorCode, Refusal

T = TypeVar("T")

MAX_BYTES: Final = 256 * 1024
"""A key set is some kilobytes; more is not one."""

log = structlog.get_logger(__name__)

_MAX_AGE = re.compile(r"(?:^|[,\s])max-age\s*=\s*\"?(\d{1,9})", re.ASCII | re.IGNORECASE).search
# Of its lifetime: the rest is for a few more tries should the first one fail.
_RENEWED_AT = 0.8


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the address is asked. All in seconds."""

    lifetime: float = 300.0
    """How long an answer is good for if it does not say: what a withdrawn key may go on working."""
    shortest: float = 60.0
    """An answer that names less is still kept so long."""
    longest: float = 3600.0
    """An answer that names more is renewed after so long."""
    cooldown: float = 30.0
    """Between two requests that a stranger can cause by naming an unknown key, and between retries at the most."""
    retry: float = 1.0
    """Between a failed request and the next; doubles up to the cooldown."""
    stale: float = 86_400.0
    """How long the last answer stands in for an endpoint that fails; a day is long enough for somebody to notice."""
    timeout: float = 5.0
    """For one request, everything included; the longest that a handshake waits for keys."""


PACE: Final = Pace()
"""The usual one."""


class JwksCache(Generic[T]):
    """What `read` makes of the answers of `url`; ValueError from `read` leaves the last good answer in place.

    Raises ValueError where `url` is no address that keys may come from: https, or http on this machine.
    """

    def __init__(
        self,
        url: str,
        read: Callable[[bytes], T],
        pace: Pace = PACE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = _allowed(url)
        self._read = read
        self._pace = pace
        self._clock = clock
        self._known: T | None = None
        self._known_at = -inf
        self._tried_at = -inf
        self._next_at = -inf
        self._failures = 0
        self._flight: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def get(self) -> T:
        """What is known, at once; only where nothing is, after the request that is under way.

        Raises Refusal with UNAVAILABLE where there is nothing to go by.
        """
        known = self._usable()
        if known is None:
            # The first who asks starts it; afterwards the timer does, so that a crowd at a dead endpoint is no crowd.
            if self._flight is not None or self._tried_at == -inf:
                await self._ask()
            known = self._usable()
        if known is None:
            raise self._unavailable()
        return known

    async def renewed(self) -> T:
        """What is known after asking again, for somebody who misses something in it; within the cooldown nobody asks.

        Raises Refusal with UNAVAILABLE where the last request failed: what is missed may well exist.
        """
        if self._flight is not None or self._clock() - self._tried_at >= self._pace.cooldown:
            await self._ask()
        if self._failures:
            raise self._unavailable()
        return await self.get()

    async def close(self) -> None:
        """Ask no more. Who still waits for a request is answered without it."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        flight = self._flight
        if flight is not None:
            flight.cancel()
            await asyncio.wait({flight})

    def _usable(self) -> T | None:
        return self._known if self._clock() - self._known_at <= self._pace.stale else None

    def _unavailable(self) -> Refusal:
        message = "the keys that tokens are checked with cannot be had right now; try again"
        return Refusal(ErrorCode.UNAVAILABLE, message, retry_after=max(1.0, self._next_at - self._clock()))

    async def _ask(self) -> None:
        """Be there when one request ends: the one under way, or a new one."""
        if self._flight is None and not self._closed:
            self._launch()
        if self._flight is not None:
            # Waiting is not owning: who gives up leaves the request to the others.
            await asyncio.wait({self._flight})

    def _launch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._tried_at = self._clock()
        # In a context of its own: the request belongs to nobody's handshake, trace or log line.
        self._flight = asyncio.get_running_loop().create_task(self._fetch(), name="fetch keys", context=Context())

    async def _fetch(self) -> None:
        again = self._pace.cooldown
        try:
            async with asyncio.timeout(self._pace.timeout):
                body, lifetime = await self._download()
            self._known = self._read(body)
        except (ClientError, OSError, ValueError) as error:
            again = min(self._pace.cooldown, self._pace.retry * 2.0 ** min(self._failures, 16))
            self._failures += 1
            # The host alone: the rest of an address may be a secret, and an error's words are whatever was sent to us.
            log.warning("token keys not fetched", host=self._url.host, error=repr(error)[:200], again_in=again)
        else:
            self._known_at = self._clock()
            self._failures = 0
            again = _RENEWED_AT * lifetime
        finally:
            self._flight = None
            self._next_at = self._clock() + again
            if not self._closed:
                self._timer = asyncio.get_running_loop().call_later(again, self._launch)

    async def _download(self) -> tuple[bytes, float]:
        """The document, and for how many seconds it is good."""
        # A session for one request: the next is minutes away, and a connection kept for it would be dead by then.
        async with (
            ClientSession(cookie_jar=DummyCookieJar(), timeout=ClientTimeout(total=None)) as session,
            # Who can make the endpoint redirect must not choose our keys.
            session.get(self._url, headers={"Accept": "application/json"}, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise ValueError(f"status {response.status} instead of 200")
            body = bytearray()
            # Counted as it comes, after decompression: neither the announced length nor the sent one is to be trusted.
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise ValueError(f"more than {MAX_BYTES} bytes")
            return bytes(body), self._lifetime(", ".join(response.headers.getall("Cache-Control", [])))

    def _lifetime(self, cache_control: str) -> float:
        named = _MAX_AGE(cache_control)
        if named is None:
            return self._pace.lifetime
        return min(max(float(named[1]), self._pace.shortest), self._pace.longest)


def _allowed(text: str) -> URL:
    """`text` as an address that keys may come from. Raises ValueError."""
    url = URL(text)
    host = url.host or ""
    if not host or url.scheme not in ("http", "https"):
        raise ValueError("the JWKS URL is not an https address; write it out, like https://issuer.example/keys")
    if url.scheme == "http" and not _loopback(host):
        raise ValueError("the JWKS URL is plain http, so anybody on the way could replace the keys; use https")
    if url.user is not None or url.password is not None:
        raise ValueError("the JWKS URL carries a user name or password; key sets are public, leave it out")
    return url


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
