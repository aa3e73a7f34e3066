"""Answers the questions of the control channel for this pod."""

from asyncio import Event
from collections.abc import Callable
from dataclasses import dataclass

from forestay.core.cluster.control_messages import (
    Answer,
    Connected,
    ConnectionsQuestion,
    DrainQuestion,
    PlacingQuestion,
    PodStatus,
    Question,
    RoomsQuestion,
    StatusQuestion,
)
from forestay.core.cluster.looking import Looking
from forestay.core.fanout.hub import Hub
from forestay.core.fanout.rooms import Rooms
from forestay.core.ports.bus import Bus
from forestay.core.rooms.placement import Placed, Placement, Placing
from forestay.core.rooms.presence import Presence
from forestay.core.rules.lifecycle import Lifecycle, State
from forestay.protocol.codes import CloseCode
from forestay.protocol.names import is_personal, parse_room


@dataclass(frozen=True, slots=True)
class About:
    """What never changes about this pod."""

    pod: str
    """Its name, unique among all pods."""
    host: str
    """Its name in Kubernetes, elsewhere that of its host."""
    version: str
    build: str
    """`compiled`, `plain` or `mixed`."""
    bus: str
    """The kind of its bus."""


@dataclass(frozen=True, slots=True)
class Condition:
    """How this pod is."""

    bus: Bus
    lifecycle: Lifecycle
    drain_asked: Event
    """Set when a backend asks this pod to drain."""


@dataclass(frozen=True, slots=True)
class Here:
    """The connections and the rooms of this pod."""

    hub: Hub
    rooms: Rooms


class Answers:
    """What this pod knows, and what it can do for a backend that asks another pod."""

    def __init__(
        self, about: About, condition: Condition, here: Here, placement: Placement, presence: Presence, looking: Looking
    ) -> None:
        self._about = about
        self._condition = condition
        self._hub = here.hub
        self._rooms = here.rooms
        self._placement = placement
        self._presence = presence
        self._looking = looking

    def answer(self, question: Question, reply: Callable[[Answer], None]) -> None:
        """Answer `question`: `reply` is called once, before this returns or later; for a watch, again and again."""
        match question:
            case RoomsQuestion():
                reply(Answer(question.number, self._about.pod, rooms=self._public_rooms(question)))
            case ConnectionsQuestion():
                reply(Answer(question.number, self._about.pod, connections=self._connections(question)))
            case StatusQuestion():
                reply(Answer(question.number, self._about.pod, status=self._status()))
            case PlacingQuestion():
                self._place(question, reply)
            case DrainQuestion():
                begun = self._begin_drain()
                reply(Answer(question.number, self._about.pod, status=self._status(), changed=int(begun)))
            case _:
                self._looking.answer(question, reply)

    def _begin_drain(self) -> bool:
        """Let no connection in from now on. False where the pod drains already, or has not started yet."""
        condition = self._condition
        if not condition.lifecycle.open:
            return False
        condition.lifecycle.move(State.DRAINING)
        condition.drain_asked.set()
        return True

    def _connections(self, question: ConnectionsQuestion) -> list[Connected]:
        connections = self._hub.of_user(question.user)
        found = [self._looking.describe(one) for one in connections]
        if question.end:
            for id in [*[one.id for one in connections], *self._hub.expected_of(question.user)]:
                self._hub.end(id, CloseCode.REVOKED)
        if question.forget:
            self._presence.forget(question.user)
        return found

    def _public_rooms(self, question: RoomsQuestion) -> list[tuple[str, int]]:
        public = sorted((room.name, room.size) for room in self._rooms.all() if not is_personal(room.name))
        return [(str(name), members) for name, members in public if name > question.after][: question.limit]

    def _status(self) -> PodStatus:
        about, bus = self._about, self._condition.bus
        return PodStatus(
            pod=about.pod,
            host=about.host,
            version=about.version,
            build=about.build,
            state=self._condition.lifecycle.state.value,
            connections=len(self._hub),
            rooms=len([room for room in self._rooms.all() if not is_personal(room.name)]),
            bus=about.bus,
            bus_up=bus.up,
            round_trip=bus.round_trip,
            moving=self._hub.moving,
            slow=self._looking.slow,
            vitals=self._looking.vitals(),
        )

    def _place(self, question: PlacingQuestion, reply: Callable[[Answer], None]) -> None:
        def placed(result: Placed) -> None:
            refused = [(id, code.value) for id, code in result.refused]
            reply(Answer(question.number, self._about.pod, changed=result.changed, refused=refused))

        room = parse_room(question.room)
        if room is None:
            # No pod of this release asks this.
            reply(Answer(question.number, self._about.pod))
        else:
            self._placement.place(Placing(question.user, room, question.connection, question.remove), placed)
