"""Sends a word to ourselves through a node, again and again, and says whether it comes back.

It is the only proof that the bus works: a connection to a server that stopped, or a half-open one, looks like one on
which nothing is said. Redis has the word and we do not hear it: then the ear is deaf, and nobody else would notice.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol


class Owner(Protocol):
    def send(self, word: bytes, sent: Callable[[bool], None]) -> None:
        """Publish `word` on the pod's own channel; `sent` learns whether Redis has it."""

    def well(self) -> None:
        """A word came back."""

    def ill(self) -> None:
        """No word has come back for an interval."""

    def deaf(self) -> None:
        """Redis had the word for an interval, and it did not come back."""


class Canary:
    def __init__(self, owner: Owner, interval: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._owner = owner
        self._interval = interval
        self._number = 0
        self._since = 0.0
        self._out = False
        """Whether a word is on its way."""
        self._sent: float | None = None
        """When Redis had it."""
        self._timer: asyncio.TimerHandle | None = None
        self.round_trip: float | None = None
        """Seconds that the last word took; None before the first."""

    def fly(self) -> None:
        """Send a word now, and one every interval from now on."""
        self.rest()
        self._number += 1
        self._since = self._loop.time()
        self._out, self._sent = True, None
        self._timer = self._loop.call_later(self._interval, self._due)
        number = self._number
        self._owner.send(b"%d" % number, lambda accepted: self._settled(number, accepted=accepted))

    def rest(self) -> None:
        """Send no more words."""
        self._out = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def heard(self, word: bytes) -> None:
        """A word came in; only the one that is on its way counts."""
        if self._out and word == b"%d" % self._number:
            self._out = False
            self.round_trip = self._loop.time() - self._since
            self._owner.well()

    def _settled(self, number: int, *, accepted: bool) -> None:
        if number == self._number and accepted:
            self._sent = self._loop.time()

    def _due(self) -> None:
        if not self._out or self._sent is None:
            if self._out:
                self._owner.ill()
            self.fly()
            return
        # A Redis that was paused says both things at once; give the second one time to be read.
        rest = self._sent + self._interval / 5 - self._loop.time()
        if rest > 0:
            self._timer = self._loop.call_later(rest, self._due)
            return
        self.rest()
        self._owner.ill()
        self._owner.deaf()
