"""Lets rooms rest after a pass: for as long as the pass took, up to a cap."""

from asyncio import AbstractEventLoop
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from forestay.core.fanout.rooms import Room

# Seconds. The loop's timers have a resolution of a millisecond, so a shorter rest would take longer than the pass did.
_SHORTEST: Final = 0.0005


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
        """`schedule`: called with each room that has pending frames when its rest ends."""
        self._loop = loop
        self._pace = pace
        self._schedule = schedule

    def begin(self, rooms: Collection[Room], took: float, messages: int = 0, beside: float = 0.0) -> None:
        """Let `rooms` rest after a pass with `messages`, of `took` seconds in the loop and `beside` seconds beside it.

        Where there was one message only, the next one is likely to come alone too. A rest for what was written beside
        the loop would only delay it.
        """
        rest = took + beside if messages > 1 else took
        rest = min(rest * self._pace.rest, self._pace.cap)
        if rest < _SHORTEST:
            self._end(rooms)
        elif rooms:
            self._loop.call_later(rest, self._end, rooms)

    def _end(self, rooms: Collection[Room]) -> None:
        for room in rooms:
            room.resting = False
            for audience in room.audiences.values():
                if audience.pending:
                    self._schedule(room)
                    break
