"""Keeps the last incidents of this pod, such as endings, refusals, gaps, and events of the bus.

Each kind has a ring of its own, so that many of one kind do not drive out the others. Texts of clients are cut, and no
token or secret gets here.
"""

from collections import deque
from collections.abc import Callable, Sequence
from heapq import merge
from itertools import islice
from typing import Final

from msgspec import structs

from forestay.core.facts.source import Source
from forestay.core.ports.observer import Client, Observer, RefusedMessage, TurnedAway
from forestay.core.ports.operating import KINDS, MINUTES, Incident, Minute, Wanted
from forestay.protocol.codes import Ending, ErrorCode
from forestay.protocol.names import RoomName, shown

MOST_ENDINGS: Final = 1000
MOST: Final = 500
"""Incidents of each other kind."""

# Characters of a text that a client, a backend or the bus wrote.
_LONGEST: Final = 200


class Recents(Observer):
    """The incidents of this pod, and the numbers of the last minutes."""

    def __init__(self, clock: Callable[[], float], *, addresses: bool) -> None:
        """`clock`: Unix seconds. `addresses`: whether the addresses of clients are kept."""
        self._clock = clock
        self._addresses = addresses
        self._rings = {kind: deque[Incident](maxlen=MOST_ENDINGS if kind == "ended" else MOST) for kind in KINDS}
        self._minutes: deque[Minute] = deque(maxlen=MINUTES)

    def recent(self, wanted: Wanted) -> Sequence[Incident]:
        """The newest incidents, newest first."""
        rings = [reversed(self._rings[kind]) for kind in wanted.kinds if kind in self._rings]
        newest_first = merge(*rings, key=lambda one: -one.at)
        return list(islice((one for one in newest_first if _matches(one, wanted)), wanted.limit))

    def minutes(self, number: int) -> Sequence[Minute]:
        """The last minutes in which anything happened, oldest first."""
        first = (int(self._clock()) // 60 - number + 1) * 60
        return [minute for minute in self._minutes if minute.at >= first]

    def connected(self, user: str) -> None:
        self._minute(self._clock()).opened += 1

    def ended(self, client: Client, ending: Ending, seconds: float) -> None:
        now, by, code = self._clock(), "client" if ending.by_client else "gateway", str(ending.code)
        minute = self._minute(now)
        codes = minute.client if ending.by_client else minute.gateway
        codes[code] = codes.get(code, 0) + 1
        seconds = round(seconds, 3)
        what = Incident(at=now, kind="ended", code=ending.code, reason=_cut(ending.reason), by=by, seconds=seconds)
        self._rings["ended"].append(_about(what, client))

    def refused(
        self, code: ErrorCode, source: Source, message: RefusedMessage | None, room: str | None, client: Client | None
    ) -> None:
        if not source.by_client:
            return
        what = Incident(at=self._clock(), kind="refused", code=code.value, room=None if room is None else _cut(room))
        self._add(what if client is None else _about(what, client))

    def turned_away(self, client: TurnedAway) -> None:
        now = self._clock()
        self._minute(now).turned_away += 1
        address = client.address if self._addresses else None
        reason, status = _cut(client.reason), client.status
        self._add(
            Incident(
                at=now,
                kind="turned_away",
                code=client.code.value,
                reason=reason,
                status=status,
                address=address,
                user=client.user,
            )
        )

    def slow(self, policy: str, client: Client) -> None:
        self._add(_about(Incident(at=self._clock(), kind="slow", policy=policy), client))

    def removed(self, room: RoomName, reason: str, client: Client) -> None:
        self._add(_about(Incident(at=self._clock(), kind="removed", room=shown(room), reason=reason), client))

    def bus(self, event: str) -> None:
        self._add(Incident(at=self._clock(), kind="bus", event=event))

    def gap_filled(self, room: RoomName, messages: int) -> None:
        self._add(Incident(at=self._clock(), kind="gap", room=shown(room), messages=messages))

    def resynced(self, room: RoomName, reason: str, recipients: int, client: Client | None) -> None:
        what = Incident(at=self._clock(), kind="resync", room=shown(room), reason=reason, members=recipients)
        self._add(what if client is None else _about(what, client))

    def _add(self, incident: Incident) -> None:
        """Add `incident`, or count it with the last one of its kind where that says the same."""
        ring = self._rings[incident.kind]
        if ring:
            last = ring[-1]
            if _said(incident) == _said(last):
                ring[-1] = structs.replace(incident, times=last.times + 1)
                return
        ring.append(incident)

    def _minute(self, now: float) -> Minute:
        at = int(now) // 60 * 60
        if not self._minutes or self._minutes[-1].at < at:
            self._minutes.append(Minute(at=at))
        return self._minutes[-1]


def _about(incident: Incident, client: Client) -> Incident:
    return structs.replace(incident, user=client.user, connection=client.connection, wire=client.wire)


def _said(incident: Incident) -> Incident:
    """What an incident says, without when and how often: a reason may have the time behind its colon."""
    reason = None if incident.reason is None else incident.reason.partition(":")[0]
    return structs.replace(incident, at=0.0, times=1, reason=reason)


def _matches(incident: Incident, wanted: Wanted) -> bool:
    return (
        (wanted.user is None or incident.user == wanted.user)
        and (wanted.connection is None or incident.connection == wanted.connection)
        and (wanted.room is None or incident.room == wanted.room)
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
