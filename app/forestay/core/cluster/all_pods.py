"""Asks all pods what they know, or to do something, and puts their answers together. Tells them of revocations."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from typing import Final

from forestay.core.cluster.control import ControlChannel
from forestay.core.cluster.control_messages import (
    Connected,
    ConnectionQuestion,
    ConnectionsQuestion,
    DrainQuestion,
    MinutesQuestion,
    PlacingQuestion,
    PodStatus,
    RecentQuestion,
    RoomsQuestion,
    RoomTraffic,
    ShedQuestion,
    SlowQuestion,
    StatusQuestion,
    TopQuestion,
)
from forestay.core.ports.operating import Incident, Minute, Wanted
from forestay.core.ports.registry import Revocation
from forestay.core.rooms.placement import Placing

BUSIEST: Final = ("members", "traffic")
"""What the busiest rooms may be found by."""

# A room that is spread over pods is small on each of them. So each pod names this many rooms for each one that is asked
# for, and at least so many.
_MORE: Final = 5
_LEAST: Final = 100


@dataclass(frozen=True, slots=True)
class Busiest:
    """The rooms with the most members or the most traffic on all pods."""

    rooms: Sequence[RoomTraffic]
    seconds: float
    """For which traffic was counted, on the pod that has counted for the shortest time."""
    exact: bool
    """Whether no room is missing, and none has more members or deliveries than it says."""
    complete: bool
    """Whether all pods answered."""


class AllPods:
    """What backends and operators ask of all pods."""

    def __init__(self, control: ControlChannel) -> None:
        self._control = control

    async def connections(self, user: str, *, end: bool = False, forget: bool = False) -> tuple[list[Connected], bool]:
        """The connections of `user` on all pods, and whether all pods answered.

        `end` also ends them, and `forget` the presence of the user, without its grace.
        """
        answers, complete = await self._control.ask(
            lambda number, me: ConnectionsQuestion(number, me, user=user, end=end, forget=forget)
        )
        return [one for answer in answers for one in answer.connections], complete

    async def rooms(self, after: str, limit: int) -> tuple[list[tuple[str, int]], bool]:
        """Rooms after `after` with their members on all pods, sorted by name; and whether all pods answered."""
        answers, complete = await self._control.ask(
            lambda number, me: RoomsQuestion(number, me, after=after, limit=limit)
        )
        members: Counter[str] = Counter()
        for answer in answers:
            members.update(dict(answer.rooms))
        # Each pod names its first `limit` rooms. A room that a pod cut off comes after that many others, so it is cut
        # here too, and every room that is left has been counted by all pods.
        return sorted(members.items())[:limit], complete

    async def statuses(self) -> tuple[list[PodStatus], bool]:
        """Every pod that answered, sorted by name; and whether all did."""
        answers, complete = await self._control.ask(StatusQuestion)
        found = [answer.status for answer in answers if answer.status is not None]
        # A pod of an older release does not answer, and nothing else can be said of it.
        return sorted(found, key=lambda status: status.pod), complete

    async def place(self, placing: Placing) -> tuple[int, list[tuple[str, str]], bool]:
        """Put the connections of a user on all pods into a room, or take them out.

        Returns for how many that was done, the ids of those that refused with the error codes, and whether all pods
        answered.
        """
        answers, complete = await self._control.ask(
            lambda number, me: PlacingQuestion(
                number,
                me,
                user=placing.user,
                room=placing.room,
                connection=placing.connection,
                remove=placing.remove,
            )
        )
        refused = [one for answer in answers for one in answer.refused]
        return sum(answer.changed for answer in answers), refused, complete

    async def drain(self, pod: str) -> tuple[PodStatus, bool] | None:
        """Let the pod called `pod` drain. How it is then, and whether the drain begins now; None without an answer."""
        answers, _ = await self._control.ask(DrainQuestion, [pod])
        return next(((one.status, one.changed > 0) for one in answers if one.status is not None), None)

    def revoke(self, revocation: Revocation) -> None:
        """Tell all pods of `revocation` at once."""
        self._control.revoke(revocation)

    async def busiest(self, by: str, limit: int) -> Busiest:
        """The rooms with the most `members` or `traffic`."""
        asked = max(_LEAST, _MORE * limit)
        answers, complete = await self._control.ask(lambda number, me: TopQuestion(number, me, by=by, limit=asked))
        tops = [answer.top for answer in answers if answer.top is not None]
        rooms: dict[str, list[RoomTraffic]] = {}
        for top in tops:
            for one in top.rooms:
                rooms.setdefault(one.room, []).append(one)
        found = [_together(parts) for parts in rooms.values()]
        found.sort(key=lambda one: (-_value(one, by), one.room))
        # A room that a pod did not name has at most so much there.
        hidden = sum([top.left_out for top in tops])
        least = _value(found[limit - 1], by) if len(found) >= limit else 0.0
        named_by_all = len(tops) * limit == sum([len(rooms[one.room]) for one in found[:limit]])
        exact = not hidden or (named_by_all and least >= hidden)
        seconds = min([top.seconds for top in tops], default=0.0)
        return Busiest(found[:limit], seconds, exact, complete)

    async def connection(self, id: str, *, end: bool = False) -> tuple[Connected | None, bool]:
        """The connection with this id, None where no pod has it; and whether all pods answered. `end` also ends it."""
        answers, complete = await self._control.ask(lambda number, me: ConnectionQuestion(number, me, id=id, end=end))
        return next((one for answer in answers for one in answer.connections), None), complete

    async def slow(self, limit: int) -> tuple[list[Connected], bool]:
        """The connections that miss messages now, those first for which most waits; and whether all pods answered."""
        answers, complete = await self._control.ask(lambda number, me: SlowQuestion(number, me, limit=limit))
        found = [one for answer in answers for one in answer.connections]
        return sorted(found, key=lambda one: -(one.waiting_bytes or 0))[:limit], complete

    async def recent(self, wanted: Wanted) -> tuple[list[tuple[str, Incident]], bool]:
        """The newest incidents, newest first, each with its pod; and whether all pods answered."""
        answers, complete = await self._control.ask(lambda number, me: RecentQuestion(number, me, wanted=wanted))
        of_pods = [[(answer.asker, one) for one in answer.recent] for answer in answers]
        newest_first = merge(*of_pods, key=lambda one: -one[1].at)
        return list(islice(newest_first, wanted.limit)), complete

    async def minutes(self, number: int, last: int) -> tuple[list[Minute], bool]:
        """Each of the last minutes, oldest first; and whether all pods answered. `last`: Unix seconds of its begin."""
        answers, complete = await self._control.ask(lambda number, me: MinutesQuestion(number, me, minutes=number))
        found = {at: Minute(at=at) for at in range(last - 60 * (number - 1), last + 60, 60)}
        for answer in answers:
            for minute in answer.minutes:
                if minute.at in found:
                    _add(found[minute.at], minute)
        return list(found.values()), complete

    async def shed(self, pod: str, share: float, within: float) -> int | None:
        """Let a share of the clients of `pod` connect elsewhere. How many were asked; None without an answer."""
        answers, _ = await self._control.ask(
            lambda number, me: ShedQuestion(number, me, share=share, within=within), [pod]
        )
        return answers[0].changed if answers else None


def _together(parts: Sequence[RoomTraffic]) -> RoomTraffic:
    """One room on several pods. Each of them writes the same messages, to members of its own."""
    if len(parts) == 1:
        return parts[0]
    return RoomTraffic(
        room=parts[0].room,
        members=sum([one.members for one in parts]),
        messages=max([one.messages for one in parts]),
        deliveries=round(sum([one.deliveries for one in parts]), 3),
        bytes=max([one.bytes for one in parts]),
    )


def _value(room: RoomTraffic, by: str) -> float:
    return float(room.members) if by == "members" else room.deliveries


def _add(total: Minute, part: Minute) -> None:
    total.opened += part.opened
    total.turned_away += part.turned_away
    for codes, more in ((total.gateway, part.gateway), (total.client, part.client)):
        for code, number in more.items():
            codes[code] = codes.get(code, 0) + number
