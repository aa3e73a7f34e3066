"""What happens between the signal and the exit: nobody new, everybody told, and a close for each in its own slot.

The closes are paced, because whoever is closed comes back elsewhere within moments: all at once would be a storm for
the pods that stay. The deadline beats the pace, and the last connection ends the drain however early it goes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Final

import structlog

from forestay.core.fanout.hub import Hub
from forestay.core.rules.lifecycle import Lifecycle, State
from forestay.core.sessions.relocation import Reason, Relocation

log = structlog.get_logger(__name__)

# Telling or closing thousands of sockets in one go would hold up the probes and everybody's last messages.
_AT_ONCE: Final = 128
# Seconds between two looks at who is left.
_GLANCE: Final = 0.05
# Seconds for what a close timeout sets off to be noticed and counted.
_SLACK: Final = 0.1
# Seconds that a second signal leaves for what was written to get out.
_PARTING: Final = 0.2


def slots(number: int, span: float, rng: Random) -> list[float]:
    """When each of `number` goes within `span` seconds: one in each part of it, so that no moment has more than two."""
    return [(one + rng.uniform(0, 1)) / number * span for one in range(number)]


@dataclass(frozen=True, slots=True)
class Pace:
    """The time there is, in seconds; see the settings of the same names."""

    window: float
    lead: float
    close: float
    deadline: float
    """From the signal to the end of the last close; what comes behind it is not in it."""

    def shortened(self) -> "Pace":
        """The pace that the deadline leaves: first the window gives way, then the time for closing handshakes."""
        close = min(self.close, self.deadline)
        window = max(0.0, min(self.window, self.deadline - close))
        return Pace(window, min(self.lead, window / 2), close, self.deadline)


class Drain:
    def __init__(
        self,
        lifecycle: Lifecycle,
        hub: Hub,
        relocation: Relocation,
        over: Callable[[float], Awaitable[None]],
        rng: Random,
    ) -> None:
        """`over` waits until every conversation has ended, at most so many seconds."""
        self._lifecycle = lifecycle
        self._hub = hub
        self._relocation = relocation
        self._over = over
        self._rng = rng

    async def run(self, pace: Pace, hurry: asyncio.Event) -> None:
        """Let nobody in any more and get everybody out; `hurry` set ends everybody at once."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        self._lifecycle.move(State.DRAINING)
        pace = pace.shortened()
        log.info("draining", connections=len(self._hub), window=pace.window)
        hastened = asyncio.ensure_future(hurry.wait())
        try:
            await self._tell(pace, start)
            while len(self._hub) and loop.time() < start + pace.window and not hastened.done():
                await asyncio.wait([hastened], timeout=_GLANCE)
                await self._tell(pace, start)
            await self._end()
            patience = min(pace.close + _SLACK, max(0.0, pace.deadline - (loop.time() - start)))
            over = asyncio.ensure_future(self._over(patience))
            await asyncio.wait([over, hastened], return_when=asyncio.FIRST_COMPLETED)
            if hastened.done() and not over.done():
                # Who was told only now should see why: the close frame is given a moment to get out.
                await self._end()
                await asyncio.wait([over], timeout=_PARTING)
            over.cancel()
        finally:
            hastened.cancel()
        log.info("drained", left=len(self._hub), seconds=round(loop.time() - start, 3))

    async def _tell(self, pace: Pace, start: float) -> None:
        """Give each that has none a slot in what is left of the window, one after the other with a jitter."""
        strangers = [one for one in self._hub.everybody() if one.relocating is None]
        if not strangers or not pace.window:
            return
        self._rng.shuffle(strangers)
        loop = asyncio.get_running_loop()
        begin = loop.time() - start
        # Who came through the door as it closed has what is left.
        span = max(0.0, pace.window - pace.lead - begin)
        moments = slots(len(strangers), span, self._rng)
        for number, (connection, moment) in enumerate(zip(strangers, moments, strict=True)):
            slot = begin + moment
            after = max(0.0, start + slot - loop.time())
            within = max(0.0, start + min(slot + pace.lead, pace.window) - loop.time())
            self._relocation.ask(connection, reason=Reason.DRAINING, after=after, within=within)
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)

    async def _end(self) -> None:
        """End who is still there."""
        for number, connection in enumerate(self._hub.everybody(), start=1):
            if connection.relocating is None:
                self._relocation.ask(connection, reason=Reason.DRAINING, within=0.0)
            self._relocation.force(connection, Reason.DRAINING)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
