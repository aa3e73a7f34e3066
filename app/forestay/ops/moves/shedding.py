"""Computes how many connections a pod should ask to move, because other pods have fewer.

A load balancer does not move open connections: new pods have none, and old pods have all. Shedding at the wrong time
makes the imbalance worse, so in doubt the number is 0.
"""

from collections import deque
from dataclasses import dataclass
from math import ceil
from typing import Final

INTERVAL: Final = 10.0
"""Seconds between two decisions."""

SETTLED: Final = 60.0
"""Seconds without a change of the pods before shedding begins: connections that come and go balance by themselves."""

IMMUNE: Final = 600.0
"""Seconds for which a new connection is not asked, so that no client moves twice in that time."""

_OVER: Final = 1.06
_LEAST: Final = 50
"""To begin, a pod must have `_OVER` times its share, and `_LEAST` connections more than its share."""
_ENOUGH: Final = 1.01
"""It goes on down to `_ENOUGH` times its share. If it stopped at `_OVER`, the other pods would stay below theirs."""
_AT_ONCE: Final = 0.01
"""The part of its connections that a pod asks in one interval."""
_FULL: Final = 0.9
"""If this part of all places is taken, moving connections does not help."""
_WATCHED: Final = 30.0
"""Seconds after which the pod checks whether the users that it asked came back to it."""
_SAMPLE: Final = 20
_LOOP: Final = 0.8
"""If this part of the last `_SAMPLE` users came back, the load balancer sends them here, and shedding stops."""
PAUSE: Final = 1800.0
"""Seconds for which shedding stops then."""


@dataclass(frozen=True, slots=True)
class View:
    """The facts that the number is computed from."""

    mine: int
    """Connections of this pod."""
    all: int
    """Connections of all pods."""
    pods: int
    """The number of ready pods."""
    places: int
    """The most connections that one pod may have."""
    settled: float
    """Seconds since the pods last changed."""
    leaving: bool
    """Whether a pod terminates."""
    well: bool
    """Whether the bus is up and this pod is ready."""

    @property
    def share(self) -> float:
        """The connections of each pod, if all had the same number."""
        return self.all / max(1, self.pods)


def excess(view: View, *, begun: bool) -> int:
    """Return how many connections to ask now, 0 in doubt. `begun`: whether some were asked the last time."""
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
    """Notices when users that were asked to move come back to this pod: with sticky sessions all of them do."""

    def __init__(self) -> None:
        self._asked: deque[tuple[float, str]] = deque()
        self._seen: deque[bool] = deque(maxlen=_SAMPLE)
        self.paused_until = 0.0

    def ask(self, user: str, now: float) -> None:
        """Note that `user` was asked to move."""
        self._asked.append((now, user))

    def due(self, now: float) -> list[tuple[float, str]]:
        """Return and forget the users that must have connected again by now, with the time at which they were asked."""
        found = []
        while self._asked and self._asked[0][0] <= now - _WATCHED:
            found.append(self._asked.popleft())
        return found

    def note(self, now: float, *, here: bool) -> bool:
        """Note whether one of them came back. Returns whether most came back, which stops the shedding."""
        self._seen.append(here)
        if len(self._seen) < _SAMPLE or sum(self._seen) < _LOOP * _SAMPLE:
            return False
        self._seen.clear()
        self.paused_until = now + PAUSE
        return True
