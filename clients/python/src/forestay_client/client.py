"""The client: connected for as long as it is wanted, whatever becomes of a connection."""

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, Self, Unpack, overload

from forestay_client import address, sentences
from forestay_client.connection import Connection
from forestay_client.endings import FAILED, UNAUTHORIZED
from forestay_client.errors import DisconnectedError, RefusedError, UnauthorizedError, UnknownOutcomeError
from forestay_client.events import Handler, Handlers
from forestay_client.lifetime import Lifetime, Listener
from forestay_client.lines import Lines
from forestay_client.messages import BinaryMessage, ClientState, Moved, StateChange, Waiting
from forestay_client.options import ClientOptions, Options
from forestay_client.outbox import Request
from forestay_client.room import Room
from forestay_client.sentences import Sentence
from forestay_client.token import GetToken, Tokens
from forestay_client.transports import Transports

_LOG = logging.getLogger("forestay_client")

Trouble = DisconnectedError | UnauthorizedError | None


class Client:
    """One connection to a gateway, and the rooms on it.

    `get_token` returns a token, or awaits one; it is called only when one is needed. It raises UnauthorizedError where
    there will be none; after any other exception it is called again. The other arguments are those of `Options`. Raises
    AddressError for a URL that is none of a gateway.
    """

    def __init__(self, url: str, *, get_token: GetToken, **options: Unpack[ClientOptions]) -> None:
        address.check(url)
        self._tokens = Tokens(get_token)
        self._lines = Lines(Options(**options))
        address.check_proxy(self._lines.options.proxy)
        self._transports = Transports(url, self._lines.options)
        self._handlers = Handlers("state", "waiting", "moved", "binary", "error")
        self._rooms: dict[str, Room] = {}
        self._state = ClientState.DISCONNECTED
        self._error: Trouble = None
        self._running: asyncio.Task[None] | None = None
        self._lifetime: Lifetime | None = None
        self._ready: list[asyncio.Future[None]] = []

    @property
    def state(self) -> ClientState:
        return self._state

    @property
    def error(self) -> Trouble:
        """Why there is no connection: of the last attempt while `connecting`, of the end while `disconnected`."""
        return self._error

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
    def on(self, event: Literal["waiting"], handler: Callable[[Waiting], object]) -> Callable[[], None]: ...
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
        if self._lifetime is not None:
            return
        self._lines.error = None
        for place in self._lines.rooms.values():
            place.disconnected(None)
        listener = Listener(
            self._changed, self._waiting, lambda moved: self._handlers.emit("moved", moved), self._heard
        )
        self._lifetime = Lifetime(self._transports, self._tokens, self._lines, listener)
        self._running = asyncio.ensure_future(self._run(self._lifetime))
        self._changed(ClientState.CONNECTING)

    async def call(
        self,
        method: str,
        payload: object = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - after it the outcome is unknown, or it is never sent
    ) -> Any:  # noqa: ANN401 - the application chooses what it answers
        """Ask the application; what it answers.

        `timeout`: seconds to wait for a connection, and for the answer once it is sent; None is that of the options.

        Raises RefusedError, whose `reason` is the application's own code where it says no; or UnknownOutcomeError where
        it was sent and no answer came. It is sent only once. What is cancelled before it is sent never is.
        """
        request = Request({"type": "call", "method": method, "payload": payload})
        try:
            answer = await self._lines.request(request, timeout)
        except RefusedError as error:
            if error.code == "outcome_unknown":
                raise UnknownOutcomeError(None) from None
            raise
        return answer.get("payload")

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
        running, lifetime = self._running, self._lifetime
        if running is None or lifetime is None:
            return
        running.cancel()
        goodbyes = self._stop(lifetime, DisconnectedError())
        try:
            await asyncio.wait({running, *goodbyes})
        finally:
            for each in goodbyes:
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

    async def _run(self, lifetime: Lifetime) -> None:
        try:
            ending = await lifetime.run()
        except Exception:  # noqa: BLE001 - a bug of this package, of which those who wait have to hear
            _LOG.exception("the client has failed")
            ending = FAILED
        error = UnauthorizedError() if ending is UNAUTHORIZED else ending.error()
        self._lines.error = error
        await asyncio.gather(*self._stop(lifetime, error))

    def _stop(self, lifetime: Lifetime, error: DisconnectedError | UnauthorizedError) -> list[asyncio.Task[None]]:
        """Be disconnected; the goodbyes, which may be waited for."""
        self._lifetime = None
        goodbyes = lifetime.stop(*_told(error))
        for place in self._lines.rooms.values():
            place.disconnected(error)
        self._lines.outbox.fail()
        self._changed(ClientState.DISCONNECTED, error)
        return goodbyes

    def _heard(self, connection: Connection, said: Sentence | bytes) -> None:
        """Give what answers no request to whom it is meant for."""
        rooms = self._lines.rooms
        if isinstance(said, bytes):
            message = sentences.read_binary(said, self._lines.bindings)
            if message is not None:
                handlers = self._handlers if message.room is None else rooms[message.room].handlers
                handlers.emit("binary", message)
            return
        if said.get("type") == "joined" and "id" not in said:
            self.room(said["room"])
        place = rooms.get(said.get("room", ""))
        taken = place is not None and place.membership.hear(connection, said)
        if not taken and said.get("type") == "error":
            self._handlers.emit("error", sentences.refusal(said))

    def _waiting(self, waiting: Waiting) -> None:
        self._error = waiting.error
        self._handlers.emit("waiting", waiting)

    def _changed(self, state: ClientState, error: Trouble = None) -> None:
        self._error = error
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
        self._handlers.emit("state", StateChange(old, state, *_told(error), error))


def _told(error: Trouble) -> tuple[int | str | None, str]:
    """The code and the reason, as a change of state has them."""
    if isinstance(error, DisconnectedError):
        return error.code, error.reason
    return None, "" if error is None else "unauthorized"
