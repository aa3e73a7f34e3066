"""How many connections a pod should ask to go elsewhere, because the others have fewer.

A load balancer does not move what is connected: a pod that is new has nothing, and one that was there before has all.
Whoever sheds at the wrong time makes it worse, so every doubt means none.
"""

from collections import deque
from dataclasses import dataclass
from math import ceil
from typing import Final

INTERVAL: Final = 10.0
"""Seconds between two decisions."""

SETTLED: Final = 60.0
"""Seconds for which the same pods must have been there: what comes and goes balances by itself."""

IMMUNE: Final = 600.0
"""Seconds for which a connection is left alone: whoever was moved is new where it landed."""

_OVER: Final = 1.06
_LEAST: Final = 50
"""Shares above which, and connections by which, a pod must be over its share to begin."""
_ENOUGH: Final = 1.01
"""Shares down to which it goes on: where each stopped at the bound, those who have too few would stay below theirs."""
_AT_ONCE: Final = 0.01
"""The part of its connections that a pod asks at once."""
_FULL: Final = 0.9
"""The part of all places that are taken, from which moving helps nobody."""
_WATCHED: Final = 30.0
"""Seconds after which it is seen whether those who were asked came back here."""
_SAMPLE: Final = 20
_LOOP: Final = 0.8
"""Of so many that were asked, the part that came back: then the load balancer sends them here, and shedding stops."""
PAUSE: Final = 1800.0
"""Seconds for which it stops."""


@dataclass(frozen=True, slots=True)
class View:
    """What a pod knows when it decides."""

    mine: int
    """Connections of this pod."""
    all: int
    """Connections of all pods."""
    pods: int
    """Pods that take connections."""
    places: int
    """Connections that one pod may have."""
    settled: float
    """Seconds since the last change of who is there."""
    leaving: bool
    """Whether a pod is on its way out."""
    well: bool
    """Whether the bus is up and this pod ready."""

    @property
    def share(self) -> float:
        """What each pod would have."""
        return self.all / max(1, self.pods)


def excess(view: View, *, begun: bool) -> int:
    """How many should be asked to go now; 0 in every case of doubt. `begun`: whether there were some the last time."""
    over = view.mine - view.share
    if not view.well or view.leaving or view.settled < SETTLED or view.pods < 2:
        return 0
    if view.all >= _FULL * view.pods * view.places:
        return 0
    if begun and view.mine <= _ENOUGH * view.share:
        return 0
    if not begun and (view.mine <= _OVER * view.share or over <= _LEAST):
        return 0
    return min(ceil(over), ceil(view.mine * _AT_ONCE))


class Returns:
    """Notices when those who were asked to go elsewhere come back here: with sticky sessions, all of them do."""

    def __init__(self) -> None:
        self._asked: deque[tuple[float, str]] = deque()
        self._seen: deque[bool] = deque(maxlen=_SAMPLE)
        self.paused_until = 0.0

    def ask(self, user: str, now: float) -> None:
        """`user` was asked to go."""
        self._asked.append((now, user))

    def due(self, now: float) -> list[tuple[float, str]]:
        """Who was asked so long ago that they are somewhere by now, and when."""
        found = []
        while self._asked and self._asked[0][0] <= now - _WATCHED:
            found.append(self._asked.popleft())
        return found

    def note(self, now: float, *, here: bool) -> bool:
        """Whether one of them is back here; the answer is whether this makes a loop, which stops the shedding."""
        self._seen.append(here)
        if len(self._seen) < _SAMPLE or sum(self._seen) < _LOOP * _SAMPLE:
            return False
        self._seen.clear()
        self.paused_until = now + PAUSE
        return True
