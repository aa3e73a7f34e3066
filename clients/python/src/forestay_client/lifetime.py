"""From the first connection to the ending that is final: which connection is the current one, and what follows it."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from forestay_client.codes import ELSEWHERE, Verdict
from forestay_client.connection import Connection
from forestay_client.endings import UNAUTHORIZED, Ending, lost, unusable
from forestay_client.errors import DisconnectedError, UnauthorizedError
from forestay_client.handshake import HandshakeError
from forestay_client.lines import Lines, Place
from forestay_client.messages import ClientState, Moved, Waiting
from forestay_client.relocation import Relocation
from forestay_client.renewal import keep_renewed
from forestay_client.sentences import Sentence
from forestay_client.token import Tokens, UnusableTokenError, said_of
from forestay_client.transports import Transports

_LOG = logging.getLogger("forestay_client")

_LIVED = 10.0
"""Seconds after which a connection has proved that the way is open: tries begin anew."""

_LEAD = 0.2
"""Seconds, over which the first wait for a next try is spread while the old connection is still open: time is short."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is called when something happens."""

    changed: Callable[[ClientState, DisconnectedError | None], None]
    waiting: Callable[[Waiting], None]
    moved: Callable[[Moved], None]
    heard: Callable[[Connection, Sentence | bytes], None]
    """Called with what answers no request."""


class Lifetime:
    """What `connect` begins and `disconnect` ends."""

    def __init__(self, transports: Transports, tokens: Tokens, lines: Lines, listener: Listener) -> None:
        self._transports = transports
        self._tokens = tokens
        self._lines = lines
        self._listener = listener
        self._backoff = lines.backoff()
        self._arrived = False
        """Whether a gateway has been found at this address."""
        self._open: set[Connection] = set()
        self._renewing: asyncio.Task[None] | None = None
        self._farewells: set[asyncio.Task[None]] = set()

    async def run(self) -> Ending:
        """Connect, stay, and again; the ending that is final."""
        while True:
            try:
                ending = await self._stay(await self._come_in())
            except HandshakeError as failed:
                ending = self._judged(failed.ending)
            if not self._comes_back(ending):
                return ending
            error = ending.error()
            self._listener.changed(ClientState.CONNECTING, error)
            if ending.verdict is not Verdict.RENEW_TOKEN and not ending.at_once:
                wait = ending.retry_after + self._backoff.next()
                self._listener.waiting(Waiting(wait, error, ending.code, ending.reason))
                _LOG.info("no connection (%s); next try in %.1f s", ending, wait)
                await asyncio.sleep(wait)

    def stop(self, code: int | str | None, reason: str) -> list[asyncio.Task[None]]:
        """Hear nothing any more; the goodbyes, which may be waited for."""
        self._stop_renewing()
        for farewell in self._farewells:
            farewell.cancel()
        self._lines.current = self._lines.successor = None
        goodbyes = []
        for connection in tuple(self._open):
            self._lost(connection, code, reason)
            goodbyes.append(asyncio.ensure_future(connection.close()))
        return goodbyes

    def _judged(self, ending: Ending) -> Ending:
        """What is known here besides, of a handshake that failed."""
        if ending.code in ELSEWHERE and self._arrived:
            return replace(ending, verdict=Verdict.RECONNECT)
        if ending.verdict is Verdict.RENEW_TOKEN and (doubt := self._tokens.doubt()):
            return replace(ending, detail="; ".join(filter(None, [ending.detail, doubt])))
        return ending

    def _comes_back(self, ending: Ending) -> bool:
        if ending.verdict is Verdict.RENEW_TOKEN:
            return self._tokens.refused()
        return ending.verdict is Verdict.RECONNECT

    async def _come_in(self) -> Connection:
        """A new connection that is heard. Raises HandshakeError."""
        try:
            token = await self._tokens.get()
        except UnauthorizedError:
            raise HandshakeError(UNAUTHORIZED) from None
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in the application's function may pass
            words = said_of(error)
            _LOG.warning("no token to connect with: %s", words)
            final = isinstance(error, UnusableTokenError) and not error.passes
            raise HandshakeError(unusable(words) if final else lost("no token", words)) from None
        connection = await self._transports.open(token)
        self._arrived = True
        self._backoff.spread = connection.welcome.reconnect_spread
        self._open.add(connection)
        connection.closed.add_done_callback(lambda end: self._lost(connection, end.result().code, end.result().reason))
        connection.start(self._lines.outbox, self._hear)
        return connection

    async def _stay(self, connection: Connection) -> Ending:
        """Be connected, on this connection and those that take its place; how the last one ended."""
        self._introduce(connection)
        self._take_up(connection)
        self._listener.changed(ClientState.CONNECTED, None)
        while not connection.closed.done():
            news: set[asyncio.Future[Any]] = {connection.closed, connection.notice}
            await asyncio.wait(news, return_when=asyncio.FIRST_COMPLETED)
            if not connection.closed.done():
                connection = await self._relocated(connection)
        self._lines.current = None
        self._stop_renewing()
        if asyncio.get_running_loop().time() - connection.welcomed_at >= _LIVED:
            self._backoff.reset()
            self._tokens.accepted()
        return connection.closed.result()

    async def _relocated(self, old: Connection) -> Connection:
        """The connection to go on with after `old` was told that it will be closed; itself, over, if there is none."""
        relocation = Relocation(old, self._come_in, self._settle_in, self._lines.backoff(spread=_LEAD))
        successor = await relocation.run()
        self._lines.successor = None
        if successor is None:
            await asyncio.wait({old.closed})
            return old
        old.serve(serving=False)
        self._take_up(successor)
        doubled = [name for name, place in self._lines.rooms.items() if place.membership.overlaps(old, successor)]
        self._listener.moved(Moved(tuple(doubled)))
        farewell = asyncio.ensure_future(_farewell(old))
        self._farewells.add(farewell)
        farewell.add_done_callback(self._farewells.discard)
        return successor

    def _settle_in(self, successor: Connection) -> list[asyncio.Future[None]]:
        self._lines.successor = successor
        return self._introduce(successor)

    def _introduce(self, connection: Connection) -> list[asyncio.Future[None]]:
        """Bind the types and join the rooms; what is done when each room is joined and has caught up."""
        for type, room in self._lines.bindings.items():
            connection.bind(type, room)
        return [_entered(place, connection) for place in self._lines.rooms.values()]

    def _take_up(self, connection: Connection) -> None:
        """Make `connection` the current one."""
        self._lines.current = connection
        connection.serve(serving=True)
        self._stop_renewing()
        margin = self._lines.options.refresh_margin
        self._renewing = asyncio.ensure_future(keep_renewed(connection, self._tokens, margin, self._lines.backoff()))

    def _stop_renewing(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()

    def _hear(self, connection: Connection, said: Sentence | bytes) -> None:
        if connection in self._open:
            self._listener.heard(connection, said)

    def _lost(self, connection: Connection, code: int | str | None, reason: str) -> None:
        self._open.discard(connection)
        if connection is self._lines.successor:
            self._lines.successor = None
        for place in self._lines.rooms.values():
            place.membership.lost(connection, code, reason)


async def _farewell(old: Connection) -> None:
    """Close a connection that was replaced, when nothing is to be heard there any more."""
    unanswered = old.unanswered()
    if unanswered:
        await asyncio.wait(unanswered, timeout=old.time_left)
    await old.close()


def _entered(place: Place, connection: Connection) -> asyncio.Future[None]:
    settled = asyncio.get_running_loop().create_future()

    def settle() -> None:
        if not settled.done():
            settled.set_result(None)

    place.membership.enter(connection, settle)
    return settled
