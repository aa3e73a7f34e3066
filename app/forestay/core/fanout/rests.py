"""Lets rooms rest after a pass: for as long as the pass took, up to a cap."""

from asyncio import AbstractEventLoop
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from forestay.core.fanout.rooms import Room

# Seconds. The loop's timers have a resolution of a millisecond, so a shorter rest would take longer than the pass did.
_SHORTEST: Final = 0.0005

LARGE_REST: Final = 0.004
"""The least rest of a large room whose messages come fast, in seconds.

A pass over 200 members takes one millisecond. If they rested no longer, a thousand messages a second would come to
three in a pass, and the writes would take half of the CPU.
"""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the rooms of a pass rest after it."""

    rest: float
    """Seconds of rest for each second of the pass; 0 means no rest."""
    cap: float
    """The longest rest in seconds. It is what a rest may add to the latency of a message."""


class Rests:
    """Ends the rests of rooms."""

    def __init__(self, loop: AbstractEventLoop, pace: Pace, schedule: Callable[[Room], None]) -> None:
        """`schedule`: called with each room that has something for a pass when its rest ends."""
        self._loop = loop
        self._pace = pace
        self._large_rest = min(LARGE_REST, pace.cap) if pace.rest else 0.0
        self._schedule = schedule

    def begin(self, rooms: Collection[Room], took: float, messages: int = 0, beside: float = 0.0) -> None:
        """Let `rooms` rest after a pass with `messages`, of `took` seconds in the loop and `beside` seconds beside it.

        Where there was one message only, the next one is likely to come alone too. A rest for what was written beside
        the loop would only delay it. Where there were several, they rest for LARGE_REST at least.
        """
        rest = took + beside if messages > 1 else took
        rest = min(rest * self._pace.rest, self._pace.cap)
        if messages > 1:
            rest = max(rest, self._large_rest)
        if rest < _SHORTEST:
            self._end(rooms)
        elif rooms:
            self._loop.call_later(rest, self._end, rooms)

    def _end(self, rooms: Collection[Room]) -> None:
        for room in rooms:
            room.resting = False
            if room.arrivals:
                # The members may have left with them. They are reported all the same.
                self._schedule(room)
                continue
            for audience in room.audiences:
                if audience.pending:
                    self._schedule(room)
                    break
