"""Decides whether Redis knows all pods: it may have lost some, which have not registered again yet.

No pod knows by itself which ones these are. One that starts then has not met the others, and one that was there before
has not met those that started after its last heartbeat. So Redis says when a loss was first seen in it.
"""

from typing import Final, NamedTuple

SETTLING: Final = 10.0
"""Seconds in which pods find a Redis that has lost data, and register again: back-off, heartbeat, a busy machine."""


class Memory(NamedTuple):
    """What tells one memory of Redis from another one."""

    incarnations: object
    """Another one after a node was restarted or replaced."""
    seed: object
    """Another one after a loss of all data; None where there is no data."""


class Completeness:
    """What one pod knows of the memory of Redis."""

    def __init__(self, settling: float = SETTLING) -> None:
        """`settling`: seconds after a loss in which Redis may not know all pods."""
        self._settling = settling
        self._memory: Memory | None = None
        """As it was at the last heartbeat; None before the first one."""
        self._settled_at = 0.0
        """The time from which on Redis knows all pods, also where it lost them before this pod started."""

    def note(self, memory: Memory, lossless: float, now: float) -> bool:
        """Note what a heartbeat found at the time `now`. Return whether Redis has lost data since the one before.

        `lossless`: seconds for which Redis has lost nothing, as far as any pod saw. They begin with its first data.
        """
        before, self._memory = self._memory, memory
        self._settled_at = now + self._settling - lossless
        # A Redis that was restarted or replaced may have an older state, and this pod's lease in it.
        return before not in (None, memory)

    def doubt(self, memory: Memory, now: float) -> str | None:
        """Why Redis, with this `memory` at the time `now`, may not know all pods; None where it knows them."""
        if memory != self._memory:
            return "Redis may have lost pods since the last heartbeat"
        if now < self._settled_at:
            return "Redis has lost data a moment ago, or is new, and pods may not have registered again"
        return None

    def moved(self, incarnations: object) -> bool:
        """Whether what pods had registered may be lost with another Redis. They do it again with their heartbeats."""
        return self._memory is not None and self._memory.incarnations != incarnations
