"""A pass over large rooms, in steps of some hundred members.

Each step takes what is pending when the step begins, and not when the pass began. The last members of a room of a
thousand are written several milliseconds after the first ones. They get what came meanwhile now, and not a pass later.
"""

from collections.abc import Collection, Sequence

from forestay.core.fanout.audience import MOST_MEMBERS, Audience
from forestay.core.fanout.batch import Batch, take_all
from forestay.core.fanout.rooms import Room


class LargePass:
    """What is still to be taken in one pass, and what it took so far."""

    __slots__ = ("_ahead", "batches", "beside", "rooms", "started", "took")

    def __init__(self, rooms: Sequence[Room]) -> None:
        """The rooms rest from now on until `Rests.begin`."""
        self.rooms = rooms
        for room in rooms:
            room.resting = True
        self.started = 0.0
        """When the first step began, by `Runtime.perf`."""
        self.took = self.beside = 0.0
        """Seconds in the loop, and of CPU beside it."""
        self.batches: list[Batch] = []
        """Those of the first step. All members have their messages when the writes of the last step are made."""
        self._ahead: list[Audience] = []
        if len(rooms) == 1:
            self._ahead = [audience for audience in rooms[0].audiences if audience.pending]

    @property
    def messages(self) -> int:
        """The number of messages that were pending when it began."""
        return sum([len(batch.arrivals) for batch in self.batches])

    @property
    def goes_on(self) -> bool:
        """Whether there is another step."""
        return bool(self._ahead)

    def take(self, now: float) -> list[Batch]:
        """Take the pending frames of the next step, which begins `now`, by `Runtime.perf`.

        Several rooms have one step, because a client in more than one of them gets one write.
        """
        if len(self.rooms) > 1:
            batches = take_all(self.rooms)
        else:
            [room] = self.rooms
            first = not self.batches
            batches = [Batch(room, self._next(), room.arrivals if first else [])]
            if first:
                room.arrivals = []
        if not self.batches:
            self.batches, self.started = batches, now
        return batches

    def _next(self) -> Collection[Audience]:
        """One audience, or those that have no more than MOST_MEMBERS together."""
        members = number = 0
        for audience in self._ahead:
            members += len(audience.members)
            if number and members > MOST_MEMBERS:
                break
            number += 1
        step, self._ahead = self._ahead[:number], self._ahead[number:]
        return step
