"""Drains a pod: lets no connection in, gives each client a slot to move, and closes those that stay.

The closes are spread over a window, because each closed client connects to another pod within moments. All at once
would be too much for the pods that stay. The deadline limits the window, and the drain ends with the last connection.
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

# Asking or closing thousands of clients in one turn would delay the probes and the last messages of all clients.
_AT_ONCE: Final = 128
# Seconds between two looks at which connections are left.
_INTERVAL: Final = 0.05
# Seconds in which the effects of a close timeout are noticed and counted.
_SLACK: Final = 0.1
# Seconds that a second signal leaves for written data to reach the network.
_LAST_WRITES: Final = 0.2


def slots(number: int, span: float, rng: Random) -> list[float]:
    """Draw `number` times within `span` seconds, one in each equal part of it, so that they do not bunch."""
    return [(one + rng.uniform(0, 1)) / number * span for one in range(number)]


@dataclass(frozen=True, slots=True)
class DrainTimes:
    """The times of a drain, in seconds; see the settings of the same names."""

    window: float
    lead: float
    close: float
    deadline: float
    """From the signal to the end of the last close. The rest of the stop is not in it."""

    def shortened(self) -> "DrainTimes":
        """Return the times that fit the deadline. The window is cut first, then the time for closing handshakes."""
        close = min(self.close, self.deadline)
        window = max(0.0, min(self.window, self.deadline - close))
        return DrainTimes(window, min(self.lead, window / 2), close, self.deadline)


class Drain:
    def __init__(
        self,
        lifecycle: Lifecycle,
        hub: Hub,
        relocation: Relocation,
        conversations_over: Callable[[float], Awaitable[None]],
        rng: Random,
    ) -> None:
        """`conversations_over(seconds)` waits until every conversation has ended, or for so many seconds."""
        self._lifecycle = lifecycle
        self._hub = hub
        self._relocation = relocation
        self._conversations_over = conversations_over
        self._rng = rng

    async def run(self, times: DrainTimes, hurry: asyncio.Event) -> None:
        """Let no connection in, and end all that are there. When `hurry` is set, end all at once."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        if self._lifecycle.state is not State.DRAINING:
            self._lifecycle.move(State.DRAINING)
        times = times.shortened()
        log.info("draining", connections=len(self._hub), window=times.window)
        hastened = asyncio.ensure_future(hurry.wait())
        try:
            await self._ask(times, start)
            while len(self._hub) and loop.time() < start + times.window and not hastened.done():
                await asyncio.wait([hastened], timeout=_INTERVAL)
                await self._ask(times, start)
            await self._end()
            timeout = min(times.close + _SLACK, max(0.0, times.deadline - (loop.time() - start)))
            over = asyncio.ensure_future(self._conversations_over(timeout))
            await asyncio.wait([over, hastened], return_when=asyncio.FIRST_COMPLETED)
            if hastened.done() and not over.done():
                # Clients that are ended only now should see why: the close frame gets a moment to reach the network.
                await self._end()
                await asyncio.wait([over], timeout=_LAST_WRITES)
            over.cancel()
        finally:
            hastened.cancel()
        log.info("drained", left=len(self._hub), seconds=round(loop.time() - start, 3))

    async def _ask(self, times: DrainTimes, start: float) -> None:
        """Give each client without a slot one in the rest of the window, evenly spread with jitter.

        Connections of one client have the same slot. The first one that ends often takes the others with it, and with a
        slot each such clients would all go early.
        """
        if self._hub.moving == len(self._hub) or not times.window:
            return
        found = [[one for one in client if one.relocating is None] for client in self._hub.clients()]
        unasked = [client for client in found if client]
        self._rng.shuffle(unasked)
        loop = asyncio.get_running_loop()
        begin = loop.time() - start
        # Connections that were let in just before the drain share what is left of the window.
        span = max(0.0, times.window - times.lead - begin)
        moments = slots(len(unasked), span, self._rng)
        for number, (client, moment) in enumerate(zip(unasked, moments, strict=True)):
            slot = begin + moment
            after = max(0.0, start + slot - loop.time())
            within = max(0.0, start + min(slot + times.lead, times.window) - loop.time())
            for connection in client:
                self._relocation.ask(connection, reason=Reason.DRAINING, after=after, within=within)
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)

    async def _end(self) -> None:
        """End the connections that are left."""
        for number, connection in enumerate(self._hub.everybody(), start=1):
            if connection.relocating is None:
                self._relocation.ask(connection, reason=Reason.DRAINING, within=0.0)
            self._relocation.force(connection, Reason.DRAINING)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
