"""Writes what waits to be said, in order, and no faster than the gateway takes it."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from forestay_client import sentences
from forestay_client.errors import RefusedError, TooLargeError
from forestay_client.outbox import TRIES, Outbox, Request
from forestay_client.pace import Limits, Pace
from forestay_client.sentences import Sentence
from forestay_client.sockets import Socket

_MORE = 64
"""Bytes of a `join` besides its rooms."""

Wrote = Callable[[Request], None]
"""Called with a request before it is written."""

Refused = Callable[[Sentence], None]
"""Called with the answer to a `join` that is not written."""


@dataclass(frozen=True, slots=True)
class Join:
    """A room to be joined. Several of them become one message, where the gateway has it so."""

    id: str
    room: str
    words: str
    """The fields of the room, as JSON, without the braces."""
    size: int


@dataclass(slots=True)
class _Joins:
    """Rooms that go out in one message, and its id."""

    rooms: list[Join] = field(default_factory=list)
    size: int = _MORE

    @property
    def data(self) -> str:
        if len(self.rooms) == 1:
            [one] = self.rooms
            return f'{{"type":"join",{one.words},"id":"{one.id}"}}'
        named = ",".join(f"{{{each.words}}}" for each in self.rooms)
        return f'{{"type":"join","rooms":[{named}],"id":"{self.rooms[0].id}"}}'


def join(**fields: object) -> Join:
    """Raises UnsendableError."""
    words = sentences.write(fields)[1:-1]
    return Join(sentences.new_id(), str(fields["room"]), words, sentences.size_of(words))


class Writer:
    """The way out of one connection.

    First what is urgent, then what is the client's own, then what the application asked for. What was refused because
    of the rate goes out again before what waits behind it.
    """

    def __init__(self, socket: Socket, limits: Limits, outbox: Outbox, wrote: Wrote, refused: Refused) -> None:
        self._socket = socket
        self._limits = limits
        self._outbox = outbox
        self._wrote = wrote
        self._refused = refused
        self._pace = Pace(limits, asyncio.get_running_loop().time())
        self._urgent: deque[Request | str] = deque()
        self._own: deque[Join | Request | str] = deque()
        self._again: deque[tuple[float, Request]] = deque()
        self._wake = asyncio.Event()
        self._last: dict[object, Join | Request] = {}
        """What was said last about a room: to join it or to leave it."""
        self._joined_by: dict[str, dict[str, str]] = {}
        """The id that each room's join has, by the id of the message that it went out in and the room."""
        self.serving = False
        """Whether the application's requests go out here."""

    def wake(self) -> None:
        self._wake.set()

    def put(self, said: Join | Request | str) -> None:
        if isinstance(said, Join):
            self._last[said.room] = said
        elif isinstance(said, Request) and said.leaves is not None:
            self._last[said.leaves] = said
        self._own.append(said)
        self._wake.set()

    def hurry(self, said: Request | str) -> None:
        """Say it before everything else: it is about whether the connection lives."""
        self._urgent.append(said)
        self._wake.set()

    def delay(self) -> float:
        """Seconds until something small can be written."""
        return self._pace.wait(1, asyncio.get_running_loop().time())

    def again(self, request: Request, error: RefusedError) -> None:
        """The gateway refused `request` because of its rate: say it again, when the gateway says."""
        if request.tries >= TRIES:
            request.refuse(error)
            return
        now = asyncio.get_running_loop().time()
        request.written_on = None
        self._again.append((now + (error.retry_after or 0.0), request))
        self._wake.set()

    def slow_down(self, error: RefusedError) -> None:
        """The gateway refused something because of its rate."""
        self._pace.refused(error.retry_after or 0.0, asyncio.get_running_loop().time())

    def answered(self, sentence: Sentence) -> Sequence[Sentence]:
        """An answer as it would be if each room had been joined by a message of its own."""
        id, room = sentence.get("id", ""), sentence.get("room")
        by_room = self._joined_by.get(id)
        if by_room is None or room not in (None, *by_room):
            return [sentence]
        rooms = list(by_room) if room is None else [room]
        answers = [{**sentence, "room": each, "id": by_room.pop(each)} for each in rooms]
        if not by_room:
            del self._joined_by[id]
        return answers

    def postponed(self) -> list[Request]:
        """The application's requests that the gateway refused because of its rate; they are the caller's now."""
        postponed = [request for _, request in self._again if not request.own]
        self._again = deque(each for each in self._again if each[1].own)
        return postponed

    def close(self) -> list[Request]:
        """Nothing is written any more: the client's own requests that were not."""
        waiting = (*self._urgent, *self._own, *(request for _, request in self._again))
        for queue in (self._urgent, self._own, self._again):
            queue.clear()
        return [said for said in waiting if isinstance(said, Request)]

    async def run(self) -> None:
        """Write until it is cancelled. Raises what the socket raises when it is closed."""
        while True:
            wait = await self._write_next()
            if wait == 0.0:
                continue
            self._wake.clear()
            try:
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _write_next(self) -> float | None:
        """Write what is next: 0, or the seconds until it may be written; None where there is nothing."""
        if not self._socket.open:
            return None
        now = asyncio.get_running_loop().time()
        take, said, wait = self._head(now)
        if said is None or wait:
            return wait
        size = said.size if isinstance(said, Join | Request) else sentences.size_of(said)
        if isinstance(said, Join):
            size += _MORE
        if (error := self._unwritable(said, size)) is not None:
            take()
            self._refuse(said, error)
            return 0.0
        if isinstance(said, Join):
            return await self._join(now)
        if wait := self._pace.wait(size, now):
            return wait
        take()
        self._pace.spend(size, now, said.cost if isinstance(said, Request) else 1)
        if isinstance(said, Request):
            said.tries += 1
            said.written_at = now
            self._wrote(said)
        await self._socket.send(said if isinstance(said, str) else said.data)
        if isinstance(said, Request) and said.id is None:
            said.answered({})
        return 0.0

    def _head(self, now: float) -> tuple[Callable[[], object], Join | Request | str | None, float | None]:
        """How to take what is next, what it is, and how long it has to wait whatever the pace."""
        if self._urgent:
            return self._urgent.popleft, self._urgent[0], 0.0
        if self._own:
            return self._own.popleft, self._own[0], 0.0
        while self._again and self._is_over(self._again[0][1]):
            self._again.popleft()[1].answered({})
        if self._again:
            due, request = self._again[0]
            return self._again.popleft, request, max(0.0, due - now)
        return self._outbox.take, self._outbox.head() if self.serving else None, None

    def _is_over(self, request: Request) -> bool:
        """Whether nobody waits for it any more, or it would leave a room that was joined again since."""
        rejoined = request.leaves is not None and self._last.get(request.leaves) is not request
        return rejoined or request.answer.done()

    async def _join(self, now: float) -> float:
        """Join the rooms that are next, as many of them in one message as there may be."""
        worth, most = self._pace.handful(now)
        most = min(most, max(1, self._limits.rooms_per_join))
        joins = _Joins()
        for each in self._own:
            if not isinstance(each, Join) or len(joins.rooms) == most:
                break
            size = joins.size + each.size + len(",{}")
            if joins.rooms and self._limits.message_bytes and size > self._limits.message_bytes:
                break
            joins.rooms.append(each)
            joins.size = size
        count = len(joins.rooms)
        if wait := self._pace.wait(joins.size, now, min(count, worth)):
            return wait
        for _ in joins.rooms:
            self._own.popleft()
        self._pace.spend(joins.size, now, count)
        if count > 1:
            self._joined_by[joins.rooms[0].id] = {each.room: each.id for each in joins.rooms}
        await self._socket.send(joins.data)
        return 0.0

    def _unwritable(self, said: Join | Request | str, size: int) -> RefusedError | None:
        if self._limits.message_bytes and size > self._limits.message_bytes:
            return TooLargeError(size, self._limits.message_bytes)
        if isinstance(said, Request) and said.id is None and not self._socket.binary:
            return RefusedError("needs_websocket", "this connection is an event stream, which takes no binary messages")
        return None

    def _refuse(self, said: Join | Request | str, error: RefusedError) -> None:
        if isinstance(said, Request):
            said.refuse(error)
        elif isinstance(said, Join):
            payload = {"code": error.code, "message": error.message}
            self._refused({"type": "error", "id": said.id, "room": said.room, "payload": payload})
