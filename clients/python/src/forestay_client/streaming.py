"""A socket in all but name: what is said on it goes out as requests, and what an event stream brings is received.

A stream has the rooms of its address. To join or to leave one, the next stream is opened with the new rooms, each from
its own position. The one before is closed when the next one is in all of them.
"""

import asyncio
import json
import random
from typing import Final

from forestay_client import endings, sentences
from forestay_client.codes import Verdict
from forestay_client.endings import GOODBYE, Ending
from forestay_client.line import Line
from forestay_client.options import Options
from forestay_client.posts import Posts
from forestay_client.sentences import Sentence
from forestay_client.sockets import Closed
from forestay_client.stream_changes import StreamChanges
from forestay_client.stream_rooms import NEEDS_WEBSOCKET, StreamRooms
from forestay_client.timer import Timer

_TOGETHER: Final = 0.01
"""Seconds for which rooms to join or to leave are collected."""

_LINGER: Final = 0.3
"""Seconds for which the stream before is still heard, where rooms have no positions: not all pods hear at once."""

_AGAIN: Final = 1.0
"""Seconds after which the next stream is tried again, and as many more at random."""

_TOO_MUCH: Final = frozenset({400, 413, 414, 431})
"""Statuses that say that a request is malformed or too long."""

_NO_PLACE: Final = frozenset({403, 4409})
"""What a second connection of a user is refused with."""

_COMPLETE: Final = 30.0
"""Seconds for a stream, from its welcome on, to be in all of its rooms."""

_YIELDS: Final = 4
"""How often the next stream is tried then, without the one before, until the gateway has forgotten that one."""


async def open_stream(url: str, token: str, options: Options) -> "StreamSocket":
    """The first stream. Raises Closed where it is refused, and what `ask` raises."""
    line = Line([], token)
    await line.open(url, options, {})
    return StreamSocket(url, line, options)


class StreamSocket:
    """See Socket."""

    binary = False

    def __init__(self, url: str, line: Line, options: Options) -> None:
        """`line`: the first stream, which is open."""
        self._url = url
        self._options = options
        self._token = line.token
        self._rooms = StreamRooms(url, self._tell)
        self._live: Line | None = line
        self._next: Line | None = None
        self._former: Line | None = None
        """The one before, for as long as it is listened to."""
        self._changes = StreamChanges(self._tell)
        self._stale = False
        """Whether the newest stream has other rooms, or another token, than it should have."""
        self._welcomed, self._yields = False, 0
        self._received: asyncio.Queue[str | Ending] = asyncio.Queue()
        self._tasks = {line: asyncio.ensure_future(self._run(line))}
        self._soon, self._late, self._lingering = Timer(), Timer(), Timer()
        self._posts = Posts(url, options, lambda: self._token, self, self._tell)
        self.open = True

    @property
    def connection(self) -> str | None:
        """See Stream."""
        return line.connection if (line := self._live or self._former) else None

    @property
    def alone(self) -> bool:
        """See Stream."""
        return self._next is None and self._former is None

    async def recv(self) -> str | bytes:
        received = await self._received.get()
        if isinstance(received, Ending):
            self._received.put_nowait(received)
            raise Closed(received)
        return received

    async def send(self, message: str | bytes) -> None:
        said = sentences.read(message if isinstance(message, str) else "")
        match said.get("type"):
            case "join":
                for each in said.get("rooms", [said]):
                    if self._rooms.join(said["id"], each):
                        self._change()
            case "leave":
                self._leave(said)
            case "auth":
                self._changes.add(said)
                self._change()
            case "bind":
                self._rooms.refuse(said["id"], said["room"], NEEDS_WEBSOCKET)
            case "broadcast" | "history" | "presence" | "call":
                await self._posts.send(said)
            case _:
                pass  # A stream has signs of life of its own.

    async def close(self) -> None:
        self._end(GOODBYE)

    def abort(self) -> None:
        self._end(endings.lost(""))

    def _leave(self, said: Sentence) -> None:
        self._rooms.leave(said["room"])
        for line in filter(None, (self._former, self._live, self._next)):
            line.rooms.discard(said["room"])
        self._changes.add(said)
        self._change()

    def _tell(self, said: Sentence) -> None:
        if self.open:
            self._received.put_nowait(json.dumps(said))

    # From one stream to the next

    def _change(self, after: float = _TOGETHER) -> None:
        """Open the next stream, soon, and not while there are two: of three it could not be told what is a repeat."""
        self._stale = True
        self._soon.set(after, self._open)

    def _open(self) -> None:
        if not self.alone or not self.open:
            return
        self._next = line = Line(list(self._rooms.positions), self._changes.token or self._token)
        self._stale = False
        self._rooms.changing()
        self._tasks[line] = asyncio.ensure_future(self._run(line))
        self._late.set(self._options.connect_timeout, lambda: self._fail(line))

    def _fail(self, line: Line) -> None:
        """The next stream takes too long."""
        if line is self._next:
            self._tasks.pop(line).cancel()
            self._ended(line, endings.lost("no welcome in time"))

    async def _run(self, line: Line) -> None:
        try:
            if line is self._next:
                await line.open(self._url, self._options, self._rooms.positions)
            ending = await line.read(self._hear)
        except Closed as closed:
            ending = closed.ending
        except Exception as error:  # noqa: BLE001 - what is no stream comes from something that is no gateway, or not yet
            ending = endings.failed(error)
        self._tasks.pop(line, None)
        self._ended(line, ending)

    def _check(self, line: Line) -> None:
        """See whether the next stream is in all of its rooms."""
        if line is not self._next or line.unanswered or line.user is None:
            return
        self._former, self._live, self._next = self._live, line, None
        self._yields = 0
        dense = self._former is None or self._rooms.dense(self._former)
        self._lingering.set(0.0 if dense else _LINGER, self._forget)

    def _forget(self) -> None:
        """The stream before is not listened to any more."""
        self._lingering.cancel()
        self._drop(self._former)
        self._former = None
        if self._stale:
            self._change()

    def _drop(self, line: Line | None) -> None:
        if line is None:
            return
        line.over = True
        if (task := self._tasks.pop(line, None)) is not None:
            task.cancel()

    def _end(self, ending: Ending) -> None:
        if not self.open:
            return
        self.open = False
        for timer in (self._soon, self._late, self._lingering):
            timer.cancel()
        self._posts.stop()
        for line in (self._former, self._live, self._next):
            self._drop(line)
        self._received.put_nowait(ending)

    def _ended(self, line: Line, ending: Ending) -> None:
        if line.over or line is self._former:
            return
        line.over = True
        final = ending.verdict is not Verdict.RECONNECT
        if line is self._live and self._next is not None and (not final or ending.code in _NO_PLACE):
            self._live = None  # The next one goes on.
        elif line is self._next and self._welcomed and ending.code in _NO_PLACE and self._yields < _YIELDS:
            # There is no place for two. So there is a gap, which positions close.
            self._yields += 1
            self._forget()
            self._drop(self._live)
            self._live = self._next = None
            self._change(_LINGER)
        elif line is not self._next or self._live is None:
            self._end(ending)
        else:
            self._next = None
            self._not_opened(line, ending, final=final)

    def _not_opened(self, line: Line, ending: Ending, *, final: bool) -> None:
        """Go on with the stream that there is, if that makes sense."""
        if line.token != self._token and ending.verdict is Verdict.RENEW_TOKEN:
            self._changes.settle({"code": "bad_token", "message": ending.detail or ending.reason})
            if self._stale or self._rooms.asked:
                self._change()
        elif final and not (self._rooms.asked and ending.code in _TOO_MUCH):
            self._end(ending)
        else:
            wait = _AGAIN + random.random() * _AGAIN
            later = {"code": "unavailable", "message": "no stream", "retry_after_ms": wait * 1000}
            never = {"code": ending.reason or "too_many_rooms", "message": ending.detail}
            self._rooms.refuse_asked(never if final else later)
            if self._changes:
                self._change(wait)

    # What a stream says

    def _hear(self, line: Line, said: Sentence) -> None:
        if line.over:
            return
        kind, newest = said.get("type"), self._next or self._live
        if kind == "welcome":
            self._welcome(line, said)
        elif kind == "reconnect":
            if line is newest:
                self._tell(said)
        elif "room" not in said:
            if kind != "pong" or line is self._live:
                self._tell(said)
        elif kind in ("joined", "error") and line.answered(said["room"]):
            self._answered(line, said)
        elif kind == "joined":
            if self._rooms.put_in(line, said, newest=line is newest):
                self._change()
        else:
            self._rooms.hear(line, said, alone=self.alone)

    def _answered(self, line: Line, said: Sentence) -> None:
        if (wait := self._rooms.answer(line, said, gap=self._live is None)) is None:
            self._check(line)
        elif line is self._next:
            # The rooms stay in the stream that they are in until the next one has them all.
            self._next = None
            self._drop(line)
            self._change(wait)

    def _welcome(self, line: Line, said: Sentence) -> None:
        payload = sentences.payload(said)
        if self._live is not None and self._live.user not in (None, payload["user"]):
            self._changes.settle({"code": "identity_changed", "message": "another user"})
            self._next = None
            self._drop(line)
            return
        line.user, line.connection, self._token = payload["user"], payload["connection"], line.token
        self._changes.settle()
        self._late.set(_COMPLETE, lambda: self._fail(line))
        if not self._welcomed:
            self._welcomed = True
            self._tell(said)
        self._check(line)
