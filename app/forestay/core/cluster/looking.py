"""Answers what operators ask this pod: its busiest rooms, single connections, and what has happened a moment ago."""

from collections.abc import Callable
from heapq import nlargest
from math import isfinite

from forestay.core.cluster.control_messages import (
    Answer,
    Connected,
    ConnectionQuestion,
    Look,
    MinutesQuestion,
    Pings,
    RecentQuestion,
    RoomTraffic,
    ShedQuestion,
    SlowQuestion,
    TopQuestion,
    TopRooms,
    WatchQuestion,
)
from forestay.core.cluster.watches import Watches
from forestay.core.facts.watching import RoomCount
from forestay.core.fanout.connection import Connection
from forestay.core.fanout.hub import Hub
from forestay.core.fanout.rooms import Room, Rooms
from forestay.core.fanout.slow import SlowReaders
from forestay.core.ports.operating import Operating, Vitals
from forestay.core.ports.runtime import Runtime
from forestay.core.rules.shown import Shown
from forestay.protocol.codes import CloseCode
from forestay.protocol.names import RoomName, is_personal, shown
from forestay.protocol.wire import Liveness


class Looking:
    """What operators see of this pod."""

    def __init__(
        self, runtime: Runtime, pod: str, hub: Hub, rooms: Rooms, slow: SlowReaders, operating: Operating
    ) -> None:
        """`pod`: the name of this pod."""
        self._loop = runtime.loop
        self._clock = runtime.clock
        self._watching = runtime.watching
        self._pod = pod
        self._hub = hub
        self._rooms = rooms
        self._slow = slow
        self._operating = operating
        self._watches = Watches(runtime, pod, hub, operating)
        self._resting = False

    def answer(self, question: Look, reply: Callable[[Answer], None]) -> None:
        """Answer `question` at once."""
        number, pod, operating = question.number, self._pod, self._operating
        match question:
            case TopQuestion():
                reply(Answer(number, pod, top=self._top(question)))
            case ConnectionQuestion():
                reply(Answer(number, pod, connections=self._one(question)))
            case SlowQuestion():
                slowest = nlargest(question.limit, self._slow.behind, key=_waiting)
                reply(Answer(number, pod, connections=[self.describe(one) for one in slowest]))
            case RecentQuestion():
                reply(Answer(number, pod, recent=operating.recent(question.wanted)))
            case MinutesQuestion():
                reply(Answer(number, pod, minutes=operating.minutes(question.minutes)))
            case ShedQuestion():
                asked = operating.shed(question.share, question.within)
                reply(Answer(number, pod, changed=asked))
            case WatchQuestion():
                self._watches.watch(question, reply)

    def vitals(self) -> Vitals | None:
        """How this pod is, as the process sees it."""
        return self._operating.vitals()

    @property
    def slow(self) -> int:
        """The number of connections that miss messages now."""
        return len(self._slow.behind)

    def describe(self, connection: Connection) -> Connected:
        """What an operator sees of `connection`."""
        identity, now, unix = connection.identity, self._loop.time(), self._clock()
        pinged_at, missed = connection.pinged_at, connection.missed
        pings = None
        if connection.wire.liveness is Liveness.ANSWERED:
            waits = pinged_at is not None and connection.heard_at < pinged_at
            waiting = now - pinged_at if waits and pinged_at is not None else 0.0
            pings = Pings(sent=connection.pings, answered=connection.pongs, waiting=round(waiting, 3))
        return Connected(
            connection.id,
            self._pod,
            sorted(connection.public_rooms()),
            user=identity.user,
            wire=connection.wire.name,
            since=round(unix - (now - connection.connected_at), 3),
            expires_at=round(identity.expires_at, 3) if isfinite(identity.expires_at) else None,
            heard_at=round(unix - (now - connection.heard_at), 3),
            rights=dict(identity.rights.letters) if Shown.RIGHTS in self._operating.shown else None,
            pings=pings,
            waiting_bytes=_waiting(connection),
            slow_rooms=[] if missed is None else sorted([shown(name) for name in missed]),
            moving=connection.relocating,
        )

    def _one(self, question: ConnectionQuestion) -> list[Connected]:
        connection = self._hub.by_id(question.id)
        found = [] if connection is None else [self.describe(connection)]
        if question.end:
            self._hub.end(question.id, CloseCode.REVOKED)
        return found

    def _top(self, question: TopQuestion) -> TopRooms:
        seconds = self._watching.look_at_rooms(self._loop.time())
        self._rest_later()
        counts = self._watching.rooms()
        if question.by == "members":
            public = [room for room in self._rooms.all() if not is_personal(room.name)]
            largest = nlargest(question.limit + 1, public, key=_size)
            found = [_traffic(room.name, room, counts.get(room.name), seconds) for room in largest]
            values = [float(one.members) for one in found]
        else:
            busiest = nlargest(question.limit + 1, counts.items(), key=_deliveries)
            found = [_traffic(name, self._rooms.get(name), count, seconds) for name, count in busiest]
            values = [one.deliveries for one in found]
        left_out = values[-1] if len(values) > question.limit else 0.0
        return TopRooms(rooms=found[: question.limit], left_out=left_out, seconds=round(seconds, 3))

    def _rest_later(self) -> None:
        """Count the traffic of rooms no longer than somebody looks."""
        if not self._resting:
            self._resting = True
            self._rest()

    def _rest(self) -> None:
        left = self._watching.rest(self._loop.time())
        if left:
            self._loop.call_later(left, self._rest)
        else:
            self._resting = False


def _waiting(connection: Connection) -> int:
    return connection.transport.buffered()


def _size(room: Room) -> int:
    return room.size


def _deliveries(one: tuple[RoomName, RoomCount]) -> int:
    return one[1].deliveries


def _traffic(name: RoomName, room: Room | None, count: RoomCount | None, seconds: float) -> RoomTraffic:
    members = 0 if room is None else room.size
    if count is None or not seconds:
        return RoomTraffic(room=name, members=members)
    return RoomTraffic(
        room=name,
        members=members,
        messages=round(count.messages / seconds, 3),
        deliveries=round(count.deliveries / seconds, 3),
        bytes=round(count.bytes / seconds, 3),
    )
