"""Limits how many joins and leaves the members of a room are told in a second.

Each of them goes to all members, so a few users who come and go could cost as much as all others together.
"""

from typing import Final

from forestay.protocol.names import RoomName

NEWS_RATE: Final = 20.0
"""Joins and leaves per second that this pod tells in one room."""

NEWS_BURST: Final = 200.0
"""Joins and leaves that it tells at once."""

# Rooms from which on those that were quiet for long are forgotten.
_MANY: Final = 1024


class NewsBudget:
    """What this pod may still tell in each room. Times are seconds of any monotonic clock."""

    def __init__(self) -> None:
        self._left: dict[RoomName, tuple[float, float]] = {}
        """What is left in a room, and since when."""

    def spend(self, room: RoomName, now: float) -> bool:
        """Whether one more join or leave may be told in `room`."""
        left, at = self._left.get(room, (NEWS_BURST, now))
        left = min(NEWS_BURST, left + (now - at) * NEWS_RATE)
        told = left >= 1.0
        if room not in self._left and len(self._left) >= _MANY:
            full = now - NEWS_BURST / NEWS_RATE
            self._left = {name: entry for name, entry in self._left.items() if entry[1] > full}
        self._left[room] = (left - told, now)
        return told
