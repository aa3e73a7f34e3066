"""The control channel: questions and orders from pod to pod over the bus.

A question goes to all pods at once, and each answers for itself. Messages of other versions that cannot be read are
ignored. An answer that does not come in time is missing, and the result says so.
"""

from asyncio import Future, timeout_at
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from forestay.core.cluster.pods import Pods
from forestay.core.cluster.revocations import Revocations
from forestay.core.fanout.hub import Hub
from forestay.core.fanout.rooms import Rooms
from forestay.core.ports.bus import Bus
from forestay.core.ports.registry import Revocation
from forestay.core.ports.runtime import Runtime
from forestay.protocol.codes import CloseCode
from forestay.protocol.depth import MAX_DEPTH, deeper_than
from forestay.protocol.message import Kind, Message, timestamp
from forestay.protocol.names import RoomName, is_personal, parse_room, pods_room

ANSWER_TIMEOUT: Final = 1.0
"""Seconds for which a question waits for the answers of the other pods."""


class Connected(Struct, frozen=True):
    """One connection of a user, as a backend sees it."""

    id: str
    pod: str
    rooms: Sequence[str]


class _Control(Struct, frozen=True, tag_field="ask"):
    """`number` and `asker` name the question that an answer belongs to."""

    number: int = 0
    asker: str = ""


class _ConnectionsQuestion(_Control, frozen=True, tag="connections", kw_only=True):
    user: str
    end: bool = False
    """End the connections too, as revoked."""


class _RoomsQuestion(_Control, frozen=True, tag="rooms", kw_only=True):
    after: str
    limit: int


class _End(_Control, frozen=True, tag="end", kw_only=True):
    connections: Sequence[str]
    code: CloseCode


class _Revoked(_Control, frozen=True, tag="revoked", kw_only=True):
    revocation: Revocation


class _Answer(_Control, frozen=True, tag="answer", kw_only=True):
    connections: Sequence[Connected] = ()
    rooms: Sequence[tuple[str, int]] = ()


_Question = _ConnectionsQuestion | _RoomsQuestion
_decode = msgspec.json.Decoder(_Question | _End | _Revoked | _Answer).decode
_encode = msgspec.json.Encoder().encode


class _Pending:
    """A question that waits for answers."""

    def __init__(self, missing: set[str], done: "Future[None]") -> None:
        self.missing = missing
        """The pods that have not answered."""
        self.answers: list[_Answer] = []
        self.done = done


class ControlChannel:
    """The end of the control channel on this pod."""

    def __init__(
        self, runtime: Runtime, bus: Bus, pods: Pods, hub: Hub, rooms: Rooms, revocations: Revocations
    ) -> None:
        self._runtime = runtime
        self._bus = bus
        self._pods = pods
        self._hub = hub
        self._rooms = rooms
        self._revocations = revocations
        self._pending: dict[int, _Pending] = {}
        self._number = 0

    def start(self) -> None:
        """Subscribe to the control messages for all pods, and to those for this one."""
        for room in (pods_room(), pods_room(self._pods.me)):
            self._bus.subscribe(room, self)

    def close(self) -> None:
        """Undo `start`."""
        for room in (pods_room(), pods_room(self._pods.me)):
            self._bus.unsubscribe(room)

    async def connections(self, user: str, *, end: bool = False) -> tuple[list[Connected], bool]:
        """The connections of `user` on all pods, which `end` also ends; and whether all pods answered."""
        me = self._pods.me
        answers, complete = await self._ask(lambda number: _ConnectionsQuestion(number, me, user=user, end=end))
        return [one for answer in answers for one in answer.connections], complete

    async def rooms(self, after: str, limit: int) -> tuple[list[tuple[str, int]], bool]:
        """Rooms after `after` with their members on all pods, sorted by name; and whether all pods answered."""
        me = self._pods.me
        answers, complete = await self._ask(lambda number: _RoomsQuestion(number, me, after=after, limit=limit))
        members: Counter[str] = Counter()
        for answer in answers:
            members.update(dict(answer.rooms))
        # Each pod names its first `limit` rooms. A room that a pod cut off comes after that many others, so it is cut
        # here too, and every room that is left has been counted by all pods.
        return sorted(members.items())[:limit], complete

    def end(self, connections: Sequence[str], code: CloseCode) -> None:
        """End the connections with these ids, on all pods."""
        self._broadcast(_End(connections=connections, code=code))

    def revoke(self, revocation: Revocation) -> None:
        """Tell all pods of `revocation` at once."""
        self._broadcast(_Revoked(revocation=revocation))

    def confirmed(self) -> None:
        """No caller waits for the subscription."""

    def doubted(self) -> None:
        """A lost question is answered in part, and the next heartbeat brings a lost revocation."""

    def received(self, message: Message) -> None:
        """Take a control message from the bus."""
        if deeper_than(message.payload, MAX_DEPTH):
            return
        try:
            control = _decode(message.payload)
        except msgspec.MsgspecError:
            return  # A newer release sent it.
        match control:
            case _Answer():
                self._take_answer(control)
            case _End():
                self._end(control)
            case _Revoked():
                self._revocations.learn(control.revocation)
            case _ if control.asker != self._pods.me and parse_room(control.asker):
                self._publish(pods_room(control.asker), self._answer(control))
            case _:
                pass  # This pod has answered its own question already.

    async def _ask(self, question: Callable[[int], _Question]) -> tuple[list[_Answer], bool]:
        self._number += 1
        number, loop = self._number, self._runtime.loop
        pending = self._pending[number] = _Pending(set(self._pods.alive) - {self._pods.me}, loop.create_future())
        asked = question(number)
        try:
            pending.answers.append(self._answer(asked))
            if pending.missing:
                self._broadcast(asked)
                async with timeout_at(loop.time() + ANSWER_TIMEOUT):
                    await pending.done
        except TimeoutError:
            pass
        finally:
            del self._pending[number]
        return pending.answers, not pending.missing

    def _take_answer(self, answer: _Answer) -> None:
        pending = self._pending.get(answer.number)
        if pending is not None and answer.asker in pending.missing:
            pending.missing.discard(answer.asker)
            pending.answers.append(answer)
            if not pending.missing and not pending.done.done():
                pending.done.set_result(None)

    def _answer(self, question: _Question) -> _Answer:
        me = self._pods.me
        if isinstance(question, _RoomsQuestion):
            return _Answer(question.number, me, rooms=self._public_rooms(question.after, question.limit))
        connections = self._hub.of_user(question.user)
        found = [Connected(one.id, me, sorted(one.public_rooms())) for one in connections]
        if question.end:
            for id in [*[one.id for one in connections], *self._hub.expected_of(question.user)]:
                self._hub.end(id, CloseCode.REVOKED)
        return _Answer(question.number, me, connections=found)

    def _public_rooms(self, after: str, limit: int) -> list[tuple[str, int]]:
        public = sorted((room.name, room.size) for room in self._rooms.all() if not is_personal(room.name))
        return [(str(name), members) for name, members in public if name > after][:limit]

    def _end(self, control: _End) -> None:
        for id in control.connections:
            self._hub.end(id, control.code)

    def _broadcast(self, control: _Control) -> None:
        self._publish(pods_room(), control)

    def _publish(self, room: RoomName, control: _Control) -> None:
        stamp = timestamp(int(self._runtime.clock() * 1000))
        self._bus.publish(Message(room, _encode(control), stamp, kind=Kind.PODS))
