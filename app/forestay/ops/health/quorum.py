"""Decides which pods may be unready at once because of a lost bus, without messages between the pods.

If one pod has lost the bus, the others should serve instead. If all have lost it, they must not all become unready,
because then no pod would serve. The pods cannot talk over a lost bus, but all see the same list of ready pods. Time is
cut into rounds. In each round only as many pods as may leave have their turn, and the order moves on from round to
round. So at least half of the pods stay, whatever the others decide at the same moment. Pods act at the beginning of a
round, so that all have seen the change before the next round.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

ROUND: Final = 5.0
"""Seconds. All pods see a change of readiness sooner: it takes the probe's period and the update of the slices."""

_ACTING: Final = 1.0
"""Seconds at the beginning of a round. Pods act only then."""


class Peer(NamedTuple):
    """A pod that does not terminate, in the cluster's list."""

    name: str
    ready: bool


def may_leave(pods: Sequence[Peer], me: str, clock: float) -> bool:
    """Whether the ready pod `me` may become unready now. `clock`: Unix seconds."""
    ready = sorted(peer.name for peer in pods if peer.ready)
    return _turn(ready, len(ready) - _keep(pods), me, clock)


def should_return(pods: Sequence[Peer], me: str, clock: float) -> bool:
    """Whether the pod `me`, unready because of the bus, must become ready again. `clock`: Unix seconds."""
    ready = sum(peer.ready for peer in pods)
    return _turn(sorted(peer.name for peer in pods if not peer.ready), _keep(pods) - ready, me, clock)


def _keep(pods: Sequence[Peer]) -> int:
    """Return how many pods must stay ready: half of them, rounded up."""
    return (len(pods) + 1) // 2


def _turn(names: Sequence[str], places: int, me: str, clock: float) -> bool:
    if places <= 0 or me not in names or clock % ROUND > _ACTING:
        return False
    first = int(clock // ROUND) * places % len(names)
    return (names.index(me) - first) % len(names) < places
