"""The client: connected for as long as it is wanted, whatever becomes of a connection."""

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, Self, Unpack, overload

from forestay_client import sentences
from forestay_client.backoff import Backoff
from forestay_client.codes import LOST, Verdict
from forestay_client.connection import Connection, Ending, HandshakeError, open_connection
from forestay_client.errors import DisconnectedError, RefusedError, UnauthorizedError
from forestay_client.events import Handler, Handlers
from forestay_client.lines import Lines
from forestay_client.messages import BinaryMessage, ClientState, Moved, StateChange
from forestay_client.options import ClientOptions, Options
from forestay_client.relocation import Relocation
from forestay_client.renewal import UNAUTHORIZED, keep_renewed
from forestay_client.room import Room
from forestay_client.sentences import Sentence
from forestay_client.token import GetToken, Tokens

_LOG = logging.getLogger("forestay_client")

_LIVED = 10.0
"""Seconds after which a connection has proved that the way is open: tries begin anew."""


class Client:
    """One connection to a gateway, and the rooms on it.

    `get_token` returns a token, or awaits one; it is called only when one is needed. It raises UnauthorizedError where
    there will be none; after any other exception it is called again. The other arguments are those of `Options`.
    """

    def __init__(self, url: str, *, get_token: GetToken, **options: Unpack[ClientOptions]) -> None:
        self._url = url
        self._options = Options(**options)
        self._tokens = Tokens(get_token)
        self._lines = Lines(self._options)
        self._backoff = Backoff(self._options.min_delay, self._options.max_delay)
        self._handlers = Handlers("state", "moved", "binary", "error")
        self._rooms: dict[str, Room] = {}
        self._state = ClientState.DISCONNECTED
        self._running: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._farewells: set[asyncio.Task[None]] = set()
        self._open: set[Connection] = set()
        self._ready: list[asyncio.Future[None]] = []

    @property
    def state(self) -> ClientState:
        return self._state

    @property
    def user(self) -> str | None:
        """Who the gateway says we are, while connected."""
        current = self._lines.current
        return None if current is None else current.welcome.user

    @property
    def connection(self) -> str | None:
        """The gateway's name for the connection."""
        current = self._lines.current
        return None if current is None else current.welcome.connection

    @overload
    def on(self, event: Literal["state"], handler: Callable[[StateChange], object]) -> Callable[[], None]: ...
    @overload
    def on(self, event: Literal["moved"], handler: Callable[[Moved], object]) -> Callable[[], None]: ...
    @overload
    def on(self, event: Literal["binary"], handler: Callable[[BinaryMessage], object]) -> Callable[[], None]: ...
    @overload
    def on(self, event: Literal["error"], handler: Callable[[RefusedError], object]) -> Callable[[], None]: ...
    def on(self, event: str, handler: Handler) -> Callable[[], None]:
        """Call `handler` with each such event; call what is returned to end that."""
        return self._handlers.add(event, handler)

    def room(self, name: str) -> Room:
        """The room called `name`, the same object each time; it is not joined by that."""
        if name not in self._rooms:
            self._rooms[name] = Room(name, self._lines)
        return self._rooms[name]

    def connect(self) -> None:
        """Connect, and stay connected, until `disconnect` or an ending that is final."""
        if self._running is not None:
            return
        self._lines.error = None
        self._change(ClientState.CONNECTING)
        for place in self._lines.rooms.values():
            place.disconnected(None)
        self._running = asyncio.ensure_future(self._run())

    async def ready(self) -> None:
        """Returns once connected. Raises DisconnectedError or UnauthorizedError when that is not going to be."""
        if self._state is ClientState.DISCONNECTED:
            raise self._lines.error or DisconnectedError()
        if self._state is ClientState.CONNECTING:
            ready = asyncio.get_running_loop().create_future()
            self._ready.append(ready)
            await ready

    async def disconnect(self) -> None:
        """Close the connection. Rooms stay wanted, and are joined again after the next `connect`."""
        if self._running is None:
            return
        self._running.cancel()
        self._running = None
        closing = [asyncio.ensure_future(each.close()) for each in self._open]
        self._stop(DisconnectedError(), final=False)
        try:
            await asyncio.gather(*closing, return_exceptions=True)
        finally:
            for each in closing:
                each.cancel()

    async def __aenter__(self) -> Self:
        self.connect()
        try:
            await self.ready()
        except BaseException:
            await self.disconnect()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.disconnect()

    async def _run(self) -> None:
        """Connect, stay, and again, until an ending is final."""
        ending: Ending | None = None
        while ending is None or self._comes_back(ending):
            if ending is not None and not ending.at_once and ending.verdict is Verdict.RECONNECT:
                await asyncio.sleep(ending.retry_after + self._backoff.next())
            try:
                connection = await self._come_in()
            except HandshakeError as error:
                ending = error.ending
                continue
            ending = await self._stay(connection)
        self._running = None
        self._stop(
            UnauthorizedError() if ending is UNAUTHORIZED else DisconnectedError(ending.code, ending.reason), final=True
        )
        for connection in tuple(self._open):
            connection.end(ending)

    def _comes_back(self, ending: Ending) -> bool:
        if ending.verdict is Verdict.RENEW_TOKEN:
            return self._tokens.refused()
        return ending.verdict is Verdict.RECONNECT

    async def _come_in(self) -> Connection:
        """A new connection that is heard. Raises HandshakeError."""
        try:
            token = await self._tokens.get()
        except UnauthorizedError as error:
            raise HandshakeError(UNAUTHORIZED) from error
        except Exception as error:
            _LOG.warning("no token to connect with: %r", error)
            raise HandshakeError(Ending(LOST, "no token", Verdict.RECONNECT)) from error
        connection = await open_connection(self._url, token, self._options)
        self._backoff.spread = connection.welcome.reconnect_spread
        self._open.add(connection)
        connection.closed.add_done_callback(lambda closed: self._lost(connection, closed.result()))
        connection.start(self._lines.outbox, self._hear)
        return connection

    async def _stay(self, connection: Connection) -> Ending:
        """Be connected, on this connection and those that take its place; how the last one ended."""
        self._take_up(connection)
        self._change(ClientState.CONNECTED)
        while not connection.closed.done():
            news: set[asyncio.Future[Any]] = {connection.closed, connection.notice}
            await asyncio.wait(news, return_when=asyncio.FIRST_COMPLETED)
            if not connection.closed.done():
                connection = await self._relocated(connection)
        ending = connection.closed.result()
        self._lines.current = None
        self._stop_renewing()
        if asyncio.get_running_loop().time() - connection.welcomed_at >= _LIVED:
            self._backoff.reset()
            self._tokens.accepted()
        if ending.verdict is not Verdict.STOP:
            self._change(ClientState.CONNECTING, ending.code, ending.reason)
        self._lost(connection, ending)
        return ending

    async def _relocated(self, old: Connection) -> Connection:
        """The connection to go on with after `old` was told that it will be closed; itself, over, if there is none."""
        backoff = Backoff(self._options.min_delay, self._options.max_delay)
        successor = await Relocation(old, self._come_in, self._settle_in, backoff).run()
        self._lines.successor = None
        if successor is None:
            await asyncio.wait({old.closed})
            return old
        old.serve(serving=False)
        self._take_up(successor)
        doubled = [name for name, place in self._lines.rooms.items() if place.membership.overlaps(old, successor)]
        self._handlers.emit("moved", Moved(tuple(doubled)))
        farewell = asyncio.ensure_future(self._farewell(old))
        self._farewells.add(farewell)
        farewell.add_done_callback(self._farewells.discard)
        return successor

    def _settle_in(self, successor: Connection) -> list[asyncio.Future[None]]:
        self._lines.successor = successor
        return [self._entered(name, successor) for name in self._lines.rooms]

    def _entered(self, name: str, connection: Connection) -> asyncio.Future[None]:
        settled = asyncio.get_running_loop().create_future()

        def settle() -> None:
            if not settled.done():
                settled.set_result(None)

        self._lines.rooms[name].membership.enter(connection, settle)
        return settled

    def _take_up(self, connection: Connection) -> None:
        """Make `connection` the current one: the application's requests go there, behind what makes them understood."""
        self._lines.current = connection
        for type, room in self._lines.bindings.items():
            connection.say(type="bind", room=room, payload={"type": type})
        for place in self._lines.rooms.values():
            place.membership.enter(connection)
        connection.serve(serving=True)
        self._stop_renewing()
        backoff = Backoff(self._options.min_delay, self._options.max_delay)
        renewing = keep_renewed(connection, self._tokens, self._options.refresh_margin, backoff)
        self._renewing = asyncio.ensure_future(renewing)

    def _stop_renewing(self) -> None:
        if self._renewing is not None:
            self._renewing.cancel()

    async def _farewell(self, old: Connection) -> None:
        """Close a connection that was replaced, when nothing is to be heard there any more."""
        await old.settled.wait()
        await old.close()

    def _lost(self, connection: Connection, ending: Ending) -> None:
        self._open.discard(connection)
        for place in self._lines.rooms.values():
            place.membership.lost(connection, ending.code, ending.reason)

    def _hear(self, connection: Connection, said: Sentence | bytes) -> None:
        """What a connection said that answers no request."""
        if connection not in self._open:
            return
        rooms = self._lines.rooms
        if isinstance(said, bytes):
            message = sentences.read_binary(said, self._lines.bindings)
            if message is not None:
                handlers = self._handlers if message.room is None else rooms[message.room].handlers
                handlers.emit("binary", message)
            return
        place = rooms.get(said.get("room", ""))
        heard = place is not None and place.membership.hear(connection, said)
        if not heard and said.get("type") == "error":
            self._handlers.emit("error", sentences.refusal(said))

    def _stop(self, error: DisconnectedError | UnauthorizedError, *, final: bool) -> None:
        """Be disconnected."""
        self._stop_renewing()
        for farewell in tuple(self._farewells):
            farewell.cancel()
        self._lines.current = self._lines.successor = None
        self._lines.error = error if final else None
        code, reason = (error.code, error.reason) if isinstance(error, DisconnectedError) else (None, "unauthorized")
        self._change(ClientState.DISCONNECTED, code, reason)
        for place in self._lines.rooms.values():
            for connection in self._open:
                place.membership.lost(connection, code, reason)
            place.disconnected(error)
        self._lines.outbox.fail()

    def _change(self, state: ClientState, code: int | None = None, reason: str = "") -> None:
        if state is self._state:
            return
        old, self._state = self._state, state
        if state is not ClientState.CONNECTING:
            ready, self._ready = self._ready, []
            for each in ready:
                if each.done():
                    continue
                if state is ClientState.CONNECTED:
                    each.set_result(None)
                else:
                    each.set_exception(self._lines.error or DisconnectedError())
        self._handlers.emit("state", StateChange(old, state, code, reason))
