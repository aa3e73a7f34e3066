"""One socket, from its welcome to its end: sentences go out in order, answers find their questions."""

import asyncio
import logging
from collections.abc import Callable

from forestay_client import sentences
from forestay_client.codes import NORMAL, RATE_LIMITED
from forestay_client.endings import GOODBYE, Ending, lost
from forestay_client.errors import RefusedError
from forestay_client.outbox import Outbox, Request
from forestay_client.sentences import Notice, Sentence, Welcome
from forestay_client.sockets import Closed, Socket
from forestay_client.writer import Writer, join

_LOG = logging.getLogger("forestay_client")

_CLOSE_TIMEOUT = 5.0
"""Seconds in which the other side has answered a goodbye."""

Hear = Callable[["Connection", Sentence | bytes], None]


class Connection:
    """A welcomed socket. Nothing is heard of it after `closed`."""

    def __init__(self, socket: Socket, welcome: Welcome, token: str) -> None:
        loop = asyncio.get_running_loop()
        self._socket = socket
        self._writer: Writer
        self._outbox: Outbox
        self._hear_other: Hear
        self._unanswered: dict[str, Request] = {}
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
        self._hear_other = hear
        self._writer = Writer(
            self._socket, self.welcome.limits, outbox, self._written, lambda answer: hear(self, answer)
        )
        self._tasks = [asyncio.ensure_future(work) for work in (self._read(hear), self._write(), self._watch())]

    def serve(self, *, serving: bool) -> None:
        """Take the application's requests from the outbox from now on, or no more of them."""
        self._writer.serving = serving
        if serving:
            self._outbox.served(self, self._writer.wake)
        else:
            self._outbox.left(self, self._writer.postponed())

    def say(self, **sentence: object) -> str:
        """Say something of the client's own, before what waits in the outbox; the id that its answer will have."""
        if sentence["type"] == "join":
            wish = join(**{name: value for name, value in sentence.items() if name != "type"})
            self._writer.put(wish)
            return wish.id
        id = sentences.new_id()
        self._writer.put(sentences.write(sentence | {"id": id}))
        return id

    def ask(self, **sentence: object) -> asyncio.Future[Sentence]:
        """Say something of the client's own, and be told the answer."""
        request = Request(sentence, own=True)
        if self.closed.done():
            request.failed()
        elif sentence["type"] == "auth":  # before the token at hand has expired
            self._writer.hurry(request)
        else:
            self._writer.put(request)
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

        def tell(answer: asyncio.Future[Sentence]) -> None:
            error = None if answer.cancelled() else answer.exception()
            if isinstance(error, RefusedError) and not self.closed.done():
                payload = {"code": error.code, "message": error.message}
                self._hear_other(self, {"type": "error", "room": room, "payload": payload})

        self.ask(type="bind", room=room, payload={"type": type}).add_done_callback(tell)

    async def close(self) -> None:
        """Say goodbye, and hear what was on its way here until the gateway has answered."""
        try:
            await self._socket.close()
            # What came before the answer is read before the end.
            await asyncio.wait({self.closed}, timeout=_CLOSE_TIMEOUT)
        finally:
            self.end(GOODBYE)

    def end(self, ending: Ending) -> None:
        """Be over now, whatever the socket does: a dead one would be waited for."""
        if self.closed.done():
            return
        if ending.code == NORMAL and self._socket.open:
            self._goodbye = asyncio.ensure_future(self._socket.close())
        else:
            self._socket.abort()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        unanswered = list(self._unanswered.values())
        self._unanswered.clear()
        self._outbox.left(self, self._writer.postponed())
        for request in self._writer.close():
            request.failed()
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
                except (AttributeError, KeyError, TypeError, ValueError) as error:
                    # A later version of the protocol, or a proxy's words: what is not understood is not acted upon.
                    # It is somebody's message, so it is not for the log.
                    _LOG.warning("a message of %d bytes was not understood (%s)", len(frame), type(error).__name__)
        except Closed as error:
            self.end(error.ending)

    def _hear(self, frame: str | bytes, hear: Hear) -> None:
        if isinstance(frame, bytes):
            hear(self, frame)
            return
        for sentence in self._writer.answered(sentences.read(frame)):
            self._hear_sentence(sentence, hear)

    def _hear_sentence(self, sentence: Sentence, hear: Hear) -> None:
        refusal = sentences.refusal(sentence) if sentence.get("type") == "error" else None
        request = self._unanswered.pop(sentence.get("id", ""), None)
        if refusal is not None and refusal.code == RATE_LIMITED:
            self._writer.slow_down(refusal)
            if request is not None:
                self._writer.again(request, refusal)
                return
        if request is not None:
            request.answered(sentence)
        elif sentence.get("type") == "reconnect" and not self.notice.done():
            notice = sentences.notice(sentence)
            self._ends_at = asyncio.get_running_loop().time() + notice.within
            self.notice.set_result(notice)
        else:
            hear(self, sentence)

    async def _write(self) -> None:
        try:
            await self._writer.run()
        except Closed:
            return

    def _written(self, request: Request) -> None:
        request.written_on = self
        if (id := request.id) is not None:
            self._unanswered[id] = request
            # Also when nobody waits for the answer any more.
            request.answer.add_done_callback(lambda _: self._unanswered.pop(id, None))

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
            self._writer.hurry(sentences.write({"type": "ping", "id": sentences.new_id()}))
            await asyncio.sleep(self._writer.delay() + self.welcome.pong_timeout)
            if self._heard_at < asked_at:
                self.end(lost("no sign of life"))
                return
