"""What pods ask one another: who of a user is connected, which rooms are open, and to end somebody.

Queries go to all pods at once and are answered by each; what pods of other versions say is ignored where it is not
understood. An answer that does not come in time is missing, and whoever asked is told so.
"""

from asyncio import Future, timeout_at
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from forestay.core.cluster.heartbeat import Heartbeat
from forestay.core.cluster.revocations import Revocations
from forestay.core.fanout.rooms import Rooms
from forestay.core.ports.bus import Bus
from forestay.core.ports.registry import Revocation
from forestay.core.ports.runtime import Runtime
from forestay.core.sessions.sessions import Sessions
from forestay.protocol.codes import ENDINGS, CloseCode
from forestay.protocol.depth import MAX_DEPTH, deeper_than
from forestay.protocol.message import Kind, Message, timestamp
from forestay.protocol.names import RoomName, is_personal, parse_room, pods_room

PATIENCE: Final = 1.0
"""Seconds that pods have to answer."""


class Connected(Struct, frozen=True):
    """One connection of a user, as a backend sees it."""

    id: str
    pod: str
    rooms: Sequence[str]


class _ToPods(Struct, frozen=True, tag_field="ask"):
    number: int = 0
    asker: str = ""


class _WhoIs(_ToPods, frozen=True, tag="connections", kw_only=True):
    user: str
    end: bool = False
    """End them all, as revoked."""


class _WhichRooms(_ToPods, frozen=True, tag="rooms", kw_only=True):
    after: str
    limit: int


class _End(_ToPods, frozen=True, tag="end", kw_only=True):
    connections: Sequence[str]
    code: CloseCode


class _Revoked(_ToPods, frozen=True, tag="revoked", kw_only=True):
    revocation: Revocation


class _Answer(_ToPods, frozen=True, tag="answer", kw_only=True):
    connections: Sequence[Connected] = ()
    rooms: Sequence[tuple[str, int]] = ()


_Said = _WhoIs | _WhichRooms | _End | _Revoked | _Answer
_decode = msgspec.json.Decoder(_Said).decode
_encode = msgspec.json.Encoder().encode


class _Asked:
    """A question under way: who has not answered yet, and what the others said."""

    def __init__(self, missing: set[str], done: "Future[None]") -> None:
        self.missing = missing
        self.answers: list[_Answer] = []
        self.done = done


class ControlChannel:
    def __init__(
        self, runtime: Runtime, bus: Bus, lease: Heartbeat, rooms: Rooms, sessions: Sessions, revocations: Revocations
    ) -> None:
        self._pod = lease.pod
        self._runtime = runtime
        self._bus = bus
        self._heartbeat = lease
        self._rooms = rooms
        self._sessions = sessions
        self._revocations = revocations
        self._asked: dict[int, _Asked] = {}
        self._number = 0

    def start(self) -> None:
        """Hear what is said to all pods and to this one."""
        for room in (pods_room(), pods_room(self._pod)):
            self._bus.subscribe(room, _nothing)

    def close(self) -> None:
        for room in (pods_room(), pods_room(self._pod)):
            self._bus.unsubscribe(room)

    async def connections(self, user: str, *, end: bool = False) -> tuple[list[Connected], bool]:
        """The connections of `user` on all pods, ended where `end`; and whether all pods answered."""
        answers, complete = await self._ask(lambda number: _WhoIs(number, self._pod, user=user, end=end))
        return [one for answer in answers for one in answer.connections], complete

    async def rooms(self, after: str, limit: int) -> tuple[list[tuple[str, int]], bool]:
        """Rooms behind `after` with their members on all pods, by name; and whether all pods answered."""
        answers, complete = await self._ask(lambda number: _WhichRooms(number, self._pod, after=after, limit=limit))
        members: Counter[str] = Counter()
        for answer in answers:
            members.update(dict(answer.rooms))
        # Each pod named its first ones: what lies behind the last name of a pod that had more may be incomplete.
        horizon = min((answer.rooms[-1][0] for answer in answers if len(answer.rooms) >= limit), default=None)
        return sorted(item for item in members.items() if horizon is None or item[0] <= horizon)[:limit], complete

    def end(self, connections: Sequence[str], code: CloseCode) -> None:
        """End these connections, on whatever pod they are."""
        self._tell(_End(connections=connections, code=code))

    def revoked(self, revocation: Revocation) -> None:
        """Let all pods know at once."""
        self._tell(_Revoked(revocation=revocation))

    def hear(self, message: Message) -> None:
        """A pod said something."""
        if deeper_than(message.payload, MAX_DEPTH):
            return
        try:
            said = _decode(message.payload)
        except msgspec.MsgspecError:
            return  # A newer pod's word.
        match said:
            case _Answer():
                self._answered(said)
            case _End():
                self._end(said)
            case _Revoked():
                self._revocations.learn(said.revocation)
            case _ if said.asker != self._pod and parse_room(said.asker):
                self._say(pods_room(said.asker), self._answer(said))
            case _:
                pass  # Our own question has been answered here.

    async def _ask(self, question: Callable[[int], "_WhoIs | _WhichRooms"]) -> tuple[list[_Answer], bool]:
        self._number += 1
        number, loop = self._number, self._runtime.loop
        asked = self._asked[number] = _Asked(set(self._heartbeat.pods) - {self._pod}, loop.create_future())
        said = question(number)
        try:
            asked.answers.append(self._answer(said))
            if asked.missing:
                self._tell(said)
                async with timeout_at(loop.time() + PATIENCE):
                    await asked.done
        except TimeoutError:
            pass
        finally:
            del self._asked[number]
        return asked.answers, not asked.missing

    def _answered(self, answer: _Answer) -> None:
        asked = self._asked.get(answer.number)
        if asked is not None and answer.asker in asked.missing:
            asked.missing.discard(answer.asker)
            asked.answers.append(answer)
            if not asked.missing and not asked.done.done():
                asked.done.set_result(None)

    def _answer(self, said: "_WhoIs | _WhichRooms") -> _Answer:
        if isinstance(said, _WhichRooms):
            return _Answer(said.number, self._pod, rooms=self._open(said.after, said.limit))
        connections = self._sessions.hub.of_user(said.user)
        found = [Connected(one.id, self._pod, sorted(one.public_rooms())) for one in connections]
        if said.end:
            for connection in connections:
                self._sessions.end(connection, ENDINGS[CloseCode.REVOKED])
        return _Answer(said.number, self._pod, connections=found)

    def _open(self, after: str, limit: int) -> list[tuple[str, int]]:
        public = sorted((room.name, len(room.members)) for room in self._rooms.all() if not is_personal(room.name))
        return [(str(name), members) for name, members in public if name > after][:limit]

    def _end(self, said: _End) -> None:
        for id in said.connections:
            connection = self._sessions.hub.by_id(id)
            if connection is not None:
                self._sessions.end(connection, ENDINGS[said.code])

    def _tell(self, said: _ToPods) -> None:
        self._say(pods_room(), said)

    def _say(self, room: RoomName, said: _ToPods) -> None:
        stamp = timestamp(int(self._runtime.clock() * 1000))
        self._bus.publish(Message(room, _encode(said), stamp, kind=Kind.PODS))


def _nothing() -> None:
    """It is not needed to know when."""
