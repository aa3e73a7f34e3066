"""One socket, from its welcome to its end: sentences go out in order, answers find their questions."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from forestay_client import sentences
from forestay_client.codes import NORMAL
from forestay_client.endings import GOODBYE, Ending, closed, lost
from forestay_client.outbox import Outbox, Request
from forestay_client.sentences import Notice, Sentence, Welcome

_LOG = logging.getLogger("forestay_client")

CLOSE_TIMEOUT = 5.0
"""Seconds for a close handshake, after which the socket is dropped."""

Hear = Callable[["Connection", Sentence | bytes], None]


class Connection:
    """A welcomed socket. Nothing is heard of it after `closed`."""

    def __init__(self, socket: ClientConnection, welcome: Welcome, token: str) -> None:
        loop = asyncio.get_running_loop()
        self._socket = socket
        self._own: deque[Request | str] = deque()
        self._outbox: Outbox | None = None
        self._serving = False
        self._unanswered: dict[str, Request] = {}
        self._wake = asyncio.Event()
        self._heard_at = loop.time()
        self._tasks: list[asyncio.Task[None]] = []
        self._goodbye: asyncio.Task[None] | None = None
        self.welcome = welcome
        self.token = token
        self.welcomed_at = loop.time()
        self.closed: asyncio.Future[Ending] = loop.create_future()
        self.notice: asyncio.Future[Notice] = loop.create_future()
        """Done when the gateway has said that it will close this connection."""
        self._ends_at = 0.0

    def start(self, outbox: Outbox, hear: Hear) -> None:
        """Read, write and watch from now on; `hear` is called with everything that answers no request."""
        self._outbox = outbox
        self._tasks = [asyncio.ensure_future(work) for work in (self._read(hear), self._write(), self._watch())]

    def serve(self, *, serving: bool) -> None:
        """Take the application's requests from the outbox from now on, or no more of them."""
        self._serving = serving
        if serving and self._outbox is not None:
            self._outbox.wake = self._wake.set
        self._wake.set()

    def say(self, **sentence: object) -> str:
        """Say something of the client's own, before what waits in the outbox; the id that its answer will have."""
        id = sentences.new_id()
        self._own.append(sentences.write(sentence | {"id": id}))
        self._wake.set()
        return id

    def ask(self, **sentence: object) -> asyncio.Future[Sentence]:
        """Say something of the client's own, and be told the answer."""
        request = Request(sentence)
        if self.closed.done():
            request.failed()
        self._own.append(request)
        self._wake.set()
        return request.answer

    @property
    def time_left(self) -> float:
        """Seconds until the gateway closes this connection, after it has said so."""
        return max(0.0, self._ends_at - asyncio.get_running_loop().time())

    def unanswered(self) -> list[asyncio.Future[Sentence]]:
        """The answers that are still to come here."""
        return [request.answer for request in self._unanswered.values()]

    def bind(self, type: int, room: str) -> None:
        """Have binary messages of `type` go to `room`."""
        self.say(type="bind", room=room, payload={"type": type})

    async def close(self) -> None:
        """Say goodbye, and hear what was on its way here until the gateway has answered."""
        try:
            await self._socket.close(NORMAL)
            # What came before the answer is read before the end.
            await asyncio.wait({self.closed}, timeout=CLOSE_TIMEOUT)
        finally:
            self.end(GOODBYE)

    def end(self, ending: Ending) -> None:
        """Be over now, whatever the socket does: a dead one would be waited for."""
        if self.closed.done():
            return
        if ending.code == NORMAL and self._socket.state is State.OPEN:
            self._goodbye = asyncio.ensure_future(self._socket.close(NORMAL))
        else:
            self._socket.transport.abort()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        own = [request for request in self._own if isinstance(request, Request)]
        unanswered = list(self._unanswered.values())
        self._own.clear()
        self._unanswered.clear()
        for request in own:
            request.failed()
        if self._outbox is not None:
            self._outbox.lost(unanswered)
        self.closed.set_result(ending)

    async def _read(self, hear: Hear) -> None:
        loop = asyncio.get_running_loop()
        try:
            while not self.closed.done():
                frame = await self._socket.recv()
                self._heard_at = loop.time()
                try:
                    self._hear(frame, hear)
                except (AttributeError, KeyError, TypeError, ValueError):
                    # A later version of the protocol, or a proxy's words: what is not understood is not acted upon.
                    _LOG.warning("not understood: %.200r", frame, exc_info=True)
        except ConnectionClosed as error:
            self.end(closed(error))

    def _hear(self, frame: str | bytes, hear: Hear) -> None:
        if isinstance(frame, bytes):
            hear(self, frame)
            return
        sentence = sentences.read(frame)
        request = self._unanswered.pop(sentence.get("id", ""), None)
        if request is not None:
            request.answered(sentence)
        elif sentence.get("type") == "reconnect" and not self.notice.done():
            notice = sentences.notice(sentence)
            self._ends_at = asyncio.get_running_loop().time() + notice.within
            self.notice.set_result(notice)
        else:
            hear(self, sentence)

    async def _write(self) -> None:
        while True:
            while self._socket.state is State.OPEN and (said := self._next()) is not None:
                try:
                    await self._send(said)
                except ConnectionClosed:
                    return
            self._wake.clear()
            await self._wake.wait()

    def _next(self) -> Request | str | None:
        if self._own:
            return self._own.popleft()
        return self._outbox.take() if self._serving and self._outbox is not None else None

    async def _send(self, said: Request | str) -> None:
        if isinstance(said, str):
            await self._socket.send(said)
            return
        said.written_on = self
        id = said.id
        if id is not None:
            self._unanswered[id] = said
            # Also when nobody waits for the answer any more.
            said.answer.add_done_callback(lambda _: self._unanswered.pop(id, None))
        await self._socket.send(said.data)
        if id is None:
            said.answered({})

    async def _watch(self) -> None:
        """Say `ping` where it is quiet, and end the connection where that is not answered either.

        The text goes all the way to the gateway; a protocol ping could be answered by a proxy in between.
        """
        loop = asyncio.get_running_loop()
        while True:
            quiet = loop.time() - self._heard_at
            if quiet < self.welcome.ping_interval:
                await asyncio.sleep(self.welcome.ping_interval - quiet)
                continue
            asked_at = loop.time()
            self.say(type="ping")
            await asyncio.sleep(self.welcome.pong_timeout)
            if self._heard_at < asked_at:
                self.end(lost("no sign of life"))
                return
