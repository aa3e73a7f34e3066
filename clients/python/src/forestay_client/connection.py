"""One socket, from its handshake to its end: sentences go out in order, answers find their questions."""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.protocol import State
from websockets.typing import Subprotocol

from forestay_client import sentences
from forestay_client.codes import LOST, NORMAL, Verdict, after_close, after_status
from forestay_client.options import Options
from forestay_client.outbox import Outbox, Request
from forestay_client.sentences import Notice, Sentence, Welcome

_LOG = logging.getLogger("forestay_client")

_CLOSE_TIMEOUT = 5.0
"""Seconds for a close handshake, after which the socket is dropped."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a connection is over, or never came to be."""

    code: int
    reason: str
    verdict: Verdict
    retry_after: float = 0.0
    at_once: bool = False
    """Whether to come back without a wait: it was the client's own wish."""


Hear = Callable[["Connection", Sentence | bytes], None]


class HandshakeError(Exception):
    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.reason)
        self.ending = ending


async def open_connection(url: str, token: str, options: Options) -> "Connection":
    """A connection that was welcomed. Raises HandshakeError."""
    try:
        async with asyncio.timeout(options.connect_timeout):
            socket = await connect(
                url,
                subprotocols=[Subprotocol("forestay.v1")],
                additional_headers={"Authorization": f"Bearer {token}"},
                compression=None,
                ping_interval=None,
                close_timeout=_CLOSE_TIMEOUT,
                # The gateway bounds what it says, and a page of history may be large.
                max_size=None,
                open_timeout=None,
                proxy=options.proxy,
                ssl=(options.ssl or True) if url.startswith("wss:") else None,
            )
            try:
                welcome = sentences.welcome(sentences.read(await socket.recv(decode=True)))
            except BaseException:
                socket.transport.abort()
                raise
    except InvalidStatus as error:
        raise HandshakeError(_refused(error)) from error
    except ConnectionClosed as error:
        raise HandshakeError(_closed(error)) from error
    except (InvalidHandshake, OSError, TimeoutError, KeyError, TypeError, ValueError) as error:
        reason = str(error) or "no welcome in time"
        raise HandshakeError(Ending(LOST, reason, Verdict.RECONNECT)) from error
    return Connection(socket, welcome, token)


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
            await asyncio.wait({self.closed}, timeout=_CLOSE_TIMEOUT)
        finally:
            self.end(Ending(NORMAL, "", Verdict.STOP))

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
            self.end(_closed(error))

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
                self.end(Ending(LOST, "no sign of life", Verdict.RECONNECT))
                return


def _refused(error: InvalidStatus) -> Ending:
    """What a refused handshake means; the body is a problem document."""
    response = error.response
    try:
        problem = json.loads(response.body or b"{}")
        reason = str(problem.get("code") or problem.get("title") or "")
    except (AttributeError, ValueError):
        reason = ""
    # In seconds, as the gateway says it; a date, which some proxies say instead, is not honoured.
    after = response.headers.get("Retry-After", "")
    return Ending(
        response.status_code,
        reason or response.reason_phrase,
        after_status(response.status_code),
        float(after) if after.isascii() and after.isdigit() else 0.0,
    )


def _closed(error: ConnectionClosed) -> Ending:
    if error.rcvd is None:
        return Ending(LOST, "", Verdict.RECONNECT)
    return Ending(error.rcvd.code, error.rcvd.reason, after_close(error.rcvd.code))
