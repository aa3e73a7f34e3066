"""Keeps an issuer's published keys: renews them in the background, and asks again where a token needs a newer set.

The keys are renewed before they expire, so that no handshake waits for them. While the endpoint is down, the last keys
are used. There is one request at a time, for any number of callers. This module does not know what a key is: a function
that reads the document is handed in.

A token with an unknown key may come from a stranger, or be the first one after the issuer changed its keys. Nobody can
tell them apart, so both cause a request, and all strangers together cause few: a budget allows some requests at once
and then one every few seconds. A caller waits for the next one. Strangers cannot hide a new key for longer than that.
"""

import asyncio
import logging
import re
import time
from asyncio import Future, Task
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Final, Generic, TypeVar

import structlog

from forestay.core.ports.tasks import Tasks
from forestay.edge.tokens.budget import RequestBudget
from forestay.edge.tokens.key_set_client import KeySetClient, NotFetched
from forestay.protocol.codes import ErrorCode, Refusal

T = TypeVar("T")

log = structlog.get_logger(__name__)

_MAX_AGE = re.compile(r"(?:^|[,\s])max-age\s*=\s*\"?(\d{1,9})", re.ASCII | re.IGNORECASE).search
# The share of its lifetime after which a document is renewed. The rest is for more attempts if the first one fails.
_RENEWED_AT = 0.8
# The most callers that wait for the budget at once. Strangers can be all of them; others are told to come again. The
# wait for a request under way is short and has no such bound: after a change of keys, a crowd comes with the new one.
_MAX_WAITING: Final = 256
# The most unknown keys that are remembered.
_MAX_MISSED: Final = 1024


@dataclass(frozen=True, slots=True)
class RenewalTimes:
    """How often the endpoint is asked. All values but one are seconds."""

    lifetime: float = 300.0
    """How long a document is valid that does not say so itself. A withdrawn key may be accepted for this long."""
    shortest: float = 60.0
    """The least lifetime, also of a document that names less."""
    longest: float = 3600.0
    """The greatest lifetime, also of a document that names more."""
    burst: int = 5
    """How many requests tokens with unknown keys may cause at once."""
    refill: float = 5.0
    """The time after which they may cause one more. It is the longest that strangers can delay a new key."""
    missed: float = 10.0
    """How long a key that was not found is not looked for again, so that one bad token does not use up the requests."""
    retry: float = 1.0
    """The time between a failed request and the next. It doubles with each failure."""
    longest_retry: float = 30.0
    """The most that it doubles to."""
    stale: float = 86_400.0
    """How long the last document is used while the endpoint fails. A day is long enough for an operator to notice."""
    timeout: float = 5.0
    """The time for one whole request, and the longest that a handshake waits for it."""


TIMES: Final = RenewalTimes()
"""The default times."""


@dataclass(frozen=True, slots=True)
class KeySetAddress:
    """Where an issuer publishes its keys."""

    url: str
    ca: Path | None = None
    """A PEM file with the authorities that its certificate is checked against; None: those of the system."""
    times: RenewalTimes = TIMES


class JwksCache(Generic[T]):
    """Keeps what `read` makes of the document at an address.

    A ValueError from `read`, with words of ours, is a failed request: the last good document stays in use. The
    constructor raises ValueError unless the address is https, or http on this machine.
    """

    def __init__(
        self,
        address: KeySetAddress,
        read: Callable[[bytes], T],
        tasks: Tasks,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = KeySetClient(address.url, address.ca)
        self._read = read
        self._tasks = tasks
        self._times = address.times
        self._clock = clock
        self._budget = RequestBudget(address.times.burst, address.times.refill, clock)
        self._known: T | None = None
        self._known_at = -inf
        self._started_at = clock()
        self.failure = ""
        """Why the last request failed; empty where it did not."""
        self._tried_at = -inf
        self._next_at = -inf
        self._failures = 0
        self._missed: dict[str, float] = {}
        """When each unknown key was looked for, the oldest first."""
        self._waiting = 0
        self._fetching = False
        # Done when the request ends that is under way or asked for.
        self._request: Future[None] | None = None
        self._asked = asyncio.Event()
        self._renewal: Task[None] | None = None
        self._closed = False

    @property
    def empty(self) -> bool:
        """Whether no document is known, so that `get` waits for one."""
        return self._usable() is None

    @property
    def known(self) -> T | None:
        """What is made of the document in use; None where there is none."""
        return self._usable()

    @property
    def age(self) -> float:
        """Seconds since the last good document came; since the start where none did."""
        return self._clock() - (self._started_at if self._known is None else self._known_at)

    def start(self) -> None:
        """Fetch the document now, and renew it from now on. Else the first caller starts that."""
        if self._renewal is None and not self._closed:
            self._renewal = self._tasks.keep("jwks_renewal", self._renew)

    async def get(self) -> T:
        """The known keys, at once. Waits for a request only where no keys are known.

        Raises Refusal with UNAVAILABLE where there are no keys.
        """
        known = self._usable()
        if known is None:
            # The first caller starts the renewal. Afterwards the renewal sets the pace: callers do not add requests to
            # an endpoint that is down.
            if self._request is not None or self._tried_at == -inf:
                await self._request_ended(self._times.timeout)
            known = self._usable()
        if known is None:
            raise self._unavailable()
        return known

    async def renewed(self, missing: str | None) -> T:
        """The known keys after one more request, for a caller that misses the key `missing`; None where it has no name.

        Makes no request for a key that was not found a moment ago. Raises Refusal with UNAVAILABLE where the last
        request failed, or too many callers wait: the missing key may exist.
        """
        now = self._clock()
        if missing is not None and now - self._missed.get(missing, -inf) < self._times.missed:
            return await self.get()
        if self._failures and self._request is None and now < self._next_at:
            raise self._unavailable()
        if self._waiting >= _MAX_WAITING and not self._fetching and self._budget.empty:
            raise self._unavailable(self._times.refill)
        self._waiting += 1
        try:
            await self._request_ended(self._times.timeout + self._times.refill)
        finally:
            self._waiting -= 1
        if self._failures:
            raise self._unavailable()
        if missing is not None and self._tried_at >= now:
            self._remember(missing)
        return await self.get()

    async def close(self) -> None:
        """Stop the renewal. Callers that wait for a request are answered without it."""
        self._closed = True
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait({self._renewal})
        # A task that is cancelled before its first step runs nothing, so its waiters are released here.
        self._end_request()

    def _remember(self, missing: str) -> None:
        self._missed.pop(missing, None)
        if len(self._missed) >= _MAX_MISSED:
            del self._missed[next(iter(self._missed))]
        self._missed[missing] = self._clock()

    def _usable(self) -> T | None:
        return self._known if self._clock() - self._known_at <= self._times.stale else None

    def _unavailable(self, seconds: float | None = None) -> Refusal:
        message = "the keys to verify tokens are not available; try again later"
        seconds = self._next_at - self._clock() if seconds is None else seconds
        return Refusal(ErrorCode.UNAVAILABLE, message, retry_after=max(1.0, seconds))

    async def _request_ended(self, seconds: float) -> None:
        """Wait until one request has ended: the one under way, or a new one. Raises Refusal with UNAVAILABLE."""
        if self._closed:
            return
        request = self._request
        if request is None:
            request = self._request = asyncio.get_running_loop().create_future()
            self._asked.set()
        self.start()
        # A caller that gives up does not cancel the request: the others wait for it too.
        ended, _ = await asyncio.wait({request}, timeout=seconds)
        if not ended:
            raise self._unavailable()

    def _end_request(self) -> None:
        request, self._request = self._request, None
        if request is not None:
            request.set_result(None)

    async def _renew(self) -> None:
        """Fetch the document again and again: when its time is up, or when a caller asks and the budget allows it."""
        while True:
            if self._request is None:
                self._request = asyncio.get_running_loop().create_future()
            self._asked.clear()
            self._tried_at = self._clock()
            pause = self._times.longest_retry
            self._fetching = True
            try:
                pause = await self._fetch()
            finally:
                self._fetching = False
                self._next_at = self._clock() + pause
                self._end_request()
            try:
                async with asyncio.timeout(pause):
                    await self._asked.wait()
                    await asyncio.sleep(self._budget.take())
            except TimeoutError:
                pass

    async def _fetch(self) -> float:
        """Fetch the document once. Returns the seconds until the next request."""
        try:
            document = await self._client.download(self._times.timeout)
            self._known = self._read(document.body)
        except (NotFetched, ValueError) as error:
            return self._failed(str(error))
        self._known_at = self._clock()
        self._failures = 0
        self.failure = ""
        return _RENEWED_AT * self._lifetime(document.cache_control)

    def _failed(self, why: str) -> float:
        again = min(self._times.longest_retry, self._times.retry * 2.0 ** min(self._failures, 16))
        self._failures += 1
        self.failure = why[:500]
        if self.empty:
            level, effect = logging.ERROR, "no token of the issuer can be verified"
        else:
            level, effect = logging.WARNING, f"the keys of {self.age:.0f} s ago stay in use"
        log.log(
            level, "token keys not fetched", host=self._client.host, error=self.failure, effect=effect, again_in=again
        )
        return again

    def _lifetime(self, cache_control: str) -> float:
        named = _MAX_AGE(cache_control)
        if named is None:
            return self._times.lifetime
        return min(max(float(named[1]), self._times.shortest), self._times.longest)
