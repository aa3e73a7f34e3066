"""The requests to join and to leave rooms, and what is known of a join that is under way."""

from asyncio import Semaphore, Task, TimerHandle
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from forestay.core.fanout.connection import Connection
from forestay.core.rooms.turns import Turn
from forestay.core.rules.policies import Policies
from forestay.protocol.codes import Refusal
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from forestay.protocol.presence import PresencePage

# Joins of one connection that are loaded at the same time. The replies are large, and the client may not read them.
_LOADS: Final = 4


# The values of a join are not frozen: that would cost each of them a microsecond.
@dataclass(slots=True)
class JoinResult:
    """The result of a join."""

    position: Position | None
    """Where live messages start; None in rooms without history."""
    recovered: bool | None
    """Whether all missed messages follow; None where the request had no `since`."""
    members: PresencePage | None
    """The users in the room, this one included; None where the request did not ask for them or they cannot be read."""


@dataclass(slots=True)
class JoinRequest:
    """A connection that asks to enter a room, and the callbacks for the result."""

    connection: Connection
    name: RoomName
    since: Position | None
    joined: Callable[[JoinResult], None]
    """Called just before the first message of the room."""
    refused: Callable[[Refusal], None]
    with_members: bool = False
    """Whether the answer shows who is in the room."""
    turn: Turn | None = None
    """The place in a list of joins, which are answered in order."""
    part_bytes: int | None = None
    """Bytes of the missed messages that are sent with the join, also where the client takes nothing yet.

    None: as many as usual, once the client has taken what it was sent before.
    """
    given_up: Callable[[], None] | None = None
    """Called where the connection leaves all rooms before there is a result, because it ends."""
    granted: bool = False
    """Whether a backend wants it, so that the rights of the token do not matter."""


@dataclass(slots=True)
class LeaveRequest:
    """A connection that asks to leave a room, and the callbacks for the result."""

    connection: Connection
    name: RoomName
    left: Callable[[], None]
    refused: Callable[[Refusal], None]
    given_up: Callable[[], None] | None = None
    """Called where the connection leaves all rooms before there is a result, because it ends."""


@dataclass(frozen=True, slots=True)
class JoinRules:
    """The rules of every join."""

    policies: Policies
    timeout: float
    """Seconds that a join may take, without the time that the client takes to read what it was sent before."""
    page_bytes: int
    """Bytes of the members in a reply."""


class Stage(Enum):
    SUBSCRIBING = "waits for the bus"
    WAITING = "waits for its turn in a list"
    LOADING = "reads presence and history"
    DONE = "entered or given up"


class PendingJoin:
    """One join under way."""

    __slots__ = ("deadline", "loading", "present", "request", "stage", "subscribed", "waiting")

    def __init__(self, request: JoinRequest) -> None:
        self.request = request
        self.stage = Stage.SUBSCRIBING
        self.deadline: TimerHandle | None = None
        """Refuses the join when it fires. None while the join waits for its client, or for a load before it."""
        self.subscribed: Callable[[], None] | None = None
        """What is called when the room is subscribed. It names the hold on the subscription."""
        self.loading: Task[None] | None = None
        self.present = False
        """Whether presence counts the user because of this join."""
        self.waiting: list[JoinRequest | LeaveRequest] = []
        """Later requests of the connection about this room."""

    def withdraw(self) -> None:
        """Tell the requests about the room that nothing comes of them, and drop those that wait."""
        requests, self.waiting = [self.request, *self.waiting], []
        for request in requests:
            if request.given_up is not None:
                request.given_up()


class JoinQueue:
    """The joins of one connection that are under way."""

    __slots__ = ("_loads", "joins")

    def __init__(self) -> None:
        self.joins: dict[RoomName, PendingJoin] = {}
        self._loads: Semaphore | None = None

    @property
    def loads(self) -> Semaphore:
        """Lets few of the joins load at the same time. Most have nothing to load."""
        if self._loads is None:
            self._loads = Semaphore(_LOADS)
        return self._loads
