"""Which pods of a fleet may be unready at once because of the bus, agreed on without a word between them.

A bus that one pod has lost is that pod's trouble, and others should serve; one that all have lost is nobody's, and a
fleet that is all unready serves nobody. The pods cannot ask each other over the bus that they lost, but all see the
same list of who is ready. Time is cut into rounds, and in each round only so many pods as may leave have their turn,
in an order that moves on from round to round: whatever they decide at the same moment, at least half stay. They act at
the beginning of a round, so that everybody has seen it before the next.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

ROUND: Final = 5.0
"""Seconds. Longer than a change of readiness takes to be seen by all: the probe's period, and the slices' way."""

_ACTING: Final = 1.0
"""Seconds at the beginning of a round in which pods act."""


class Peer(NamedTuple):
    """A pod that is not on its way out, as the cluster's list has it."""

    name: str
    ready: bool


def may_leave(fleet: Sequence[Peer], me: str, clock: float) -> bool:
    """Whether it is the turn of the pod `me`, which is ready, to become unready. `clock`: Unix seconds."""
    ready = sorted(peer.name for peer in fleet if peer.ready)
    return _turn(ready, len(ready) - _keep(fleet), me, clock)


def should_return(fleet: Sequence[Peer], me: str, clock: float) -> bool:
    """Whether the pod `me`, unready because of the bus, has to serve in spite of it. `clock`: Unix seconds."""
    ready = sum(peer.ready for peer in fleet)
    return _turn(sorted(peer.name for peer in fleet if not peer.ready), _keep(fleet) - ready, me, clock)


def _keep(fleet: Sequence[Peer]) -> int:
    """How many stay: half of them, and more than none."""
    return (len(fleet) + 1) // 2


def _turn(names: Sequence[str], places: int, me: str, clock: float) -> bool:
    if places <= 0 or me not in names or clock % ROUND > _ACTING:
        return False
    first = int(clock // ROUND) * places % len(names)
    return (names.index(me) - first) % len(names) < places
