"""Carries a session by long polling: what is written waits for the next poll, and each POST brings packets."""

import asyncio
from typing import Final

import structlog
from aiohttp import web

from forestay.edge.engineio.session import EngineSession
from forestay.edge.listening.departures import wait_with
from forestay.edge.request_parts import read_body
from forestay.protocol.codes import ABNORMAL_CLOSURE, ENDINGS, CloseCode, Ending, ErrorCode, Refusal
from forestay.protocol.engineio.packets import CLOSE_PACKET, NOOP_PACKET, PING_PACKET, Malformed
from forestay.protocol.engineio.payloads import read_payload, write_payload

log = structlog.get_logger(__name__)

# Packets that one POST may bring before the other clients get their turn; a long one counts as several.
_TURN: Final = 64
_BYTES_PER_PACKET: Final = 4096

_VANISHED: Final = Ending(ABNORMAL_CLOSURE, "a request of the session broke off", by_client=True)

# Packets in the answer to a poll. The stock client for Python takes a larger answer for a broken one, and ends.
_MOST_OF_PYTHON: Final = 16

# What a poll is answered with: what waits, and that the session is over.
_WHAT_WAITS: Final = b""
_OVER: Final = b"\0"


class Polling:
    """The carrier of a polling session."""

    outlet: Final = None
    """See Session.outlet."""

    __slots__ = ("_chunks", "_drained", "_most", "_poll", "_post", "_session", "_size")

    def __init__(self, session: EngineSession, user_agent: str) -> None:
        """`user_agent`: the header of the client."""
        self._session = session
        self._most = _MOST_OF_PYTHON if "python" in user_agent.lower() else 0
        self._chunks: list[bytes] = []
        """Frames that wait for the next poll. They are unpacked then: the same bytes may be those of a whole room."""
        self._size = 0
        self._poll: asyncio.Future[bytes] | None = None
        """What the pending poll waits for."""
        self._post: asyncio.Event | None = None
        """Set at the end of the POST that is under way."""
        self._drained: asyncio.Future[None] | None = None
        """Done when the client has taken what was written. Its packets are not read before that."""

    def write(self, data: bytes, /) -> None:
        """See Session.write."""
        self._chunks.append(data)
        self._size += len(data)
        self._answer(_WHAT_WAITS)

    def buffered(self) -> int:
        """See Session.buffered. It counts what waits for the next poll."""
        return self._size

    def closed(self) -> bool:
        """See Session.closed."""
        return self._session.ending is not None

    def hold_reading(self) -> None:
        """See Session.hold_reading."""
        if self._drained is None and self._chunks:
            self._drained = asyncio.get_running_loop().create_future()

    def end(self, ending: Ending, *, cut: bool, keep: bool) -> None:
        """See Carrier.end. What was written and not taken waits for one more poll."""
        if not keep:
            self._drop()
        if any(chunk is not PING_PACKET for chunk in self._chunks):
            self._read_on()
            return
        self._drop()
        self._answer(_OVER)
        self._session.gone(ending)

    def left(self) -> None:
        """See Carrier.left. A client that does not poll now gets nothing more."""
        if self._poll is None or not self._chunks:
            self._drop()
        self._answer(NOOP_PACKET)

    def noop(self) -> None:
        """End the pending poll, if there is one, because the session is about to move."""
        self._answer(NOOP_PACKET)

    @property
    def posting(self) -> bool:
        """Whether a POST is under way."""
        return self._post is not None

    async def posted(self) -> None:
        """Wait for the end of the POST that is under way."""
        if self._post is not None:
            await self._post.wait()

    def leave(self) -> bytes:
        """End, because the session has moved. Returns what waited for a poll."""
        self._answer(NOOP_PACKET)
        rest = b"".join(self._chunks)
        self._drop()
        return rest

    async def poll(self, request: web.BaseRequest) -> bytes | None:
        """The payload that answers a poll, or None where the session is over. Raises ConnectionError."""
        session = self._session
        if self._poll is not None:
            self._answer(CLOSE_PACKET)
            session.fail("a second poll came before the first one was answered")
            return None
        if not self._chunks and session.ending is None:
            self._poll = asyncio.get_running_loop().create_future()
            try:
                answer = await wait_with(request, self._poll)
            except ConnectionError:
                # Only now is it known: aiohttp goes on when a client has gone.
                if session.carrier is self:
                    session.gone(_VANISHED)
                raise
            finally:
                self._poll = None
            if answer != _WHAT_WAITS:
                return None if answer == _OVER else answer
            if session.carrier is not self and session.ending is None:
                # The session has moved, and has taken along what woke this poll.
                return NOOP_PACKET
        if not self._chunks:
            return None
        payload, self._chunks = write_payload(self._chunks, self._most)
        self._size = sum(map(len, self._chunks))
        if self._chunks:
            return payload
        self._read_on()
        if session.ending is not None and session.carrier is self:
            session.gone(session.ending)
        return payload

    async def push(self, request: web.BaseRequest, max_bytes: int, seconds: float) -> int:
        """Take the packets of a POST. Returns the HTTP status of its answer."""
        session = self._session
        reason = self._forbidden(request)
        if reason is not None:
            session.fail(reason)
            return 400
        self._post = done = asyncio.Event()
        try:
            body = await read_body(request, max_bytes, seconds)
            if session.ending is not None:
                return 400
            await self._take(body)
        except Refusal as refusal:
            session.fail(refusal.message)
            return 413 if refusal.code is ErrorCode.TOO_LARGE else 408
        except Malformed as malformed:
            session.fail(str(malformed))
            return 400
        except Exception:
            log.exception("a bug ended a connection", connection="Engine.IO")
            session.stop(ENDINGS[CloseCode.INTERNAL_ERROR])
            return 500
        finally:
            self._post = None
            done.set()
        return 400 if session.stopping else 200

    def _forbidden(self, request: web.BaseRequest) -> str | None:
        """Why a POST breaks the rules, before its body is read."""
        if self.posting:
            return "a second POST came before the first one was answered"
        # Not aiohttp's `content_type`: that is this one where the header is missing.
        if request.headers.get("Content-Type", "").lower().startswith("application/octet-stream"):
            return "a POST is binary; its packets are text, and binary messages are in base64"
        return None

    async def _take(self, body: bytes) -> None:
        """Hand the packets in `body` on, one after the other. Raises Malformed."""
        session, turn = self._session, 0
        for packet in read_payload(body):
            work = session.take(packet) if isinstance(packet, str) else session.take_binary(packet)
            if work is not None:
                await work
                await asyncio.sleep(0)
            if session.ending is not None:
                return
            if self._drained is not None:
                await self._drained
            turn += 1 + len(packet) // _BYTES_PER_PACKET
            if turn >= _TURN:
                turn = 0
                await asyncio.sleep(0)

    def _answer(self, answer: bytes) -> None:
        """Let the pending poll be answered, unless it is about to be."""
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(answer)

    def _drop(self) -> None:
        self._chunks = []
        self._size = 0
        self._read_on()

    def _read_on(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)
