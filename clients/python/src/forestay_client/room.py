"""A room: joined once, it stays wanted until it is left."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Literal, overload

from forestay_client import sentences
from forestay_client.errors import DisconnectedError, ForestayError, RefusedError, UnknownOutcomeError
from forestay_client.events import Handler, Handlers
from forestay_client.inbox import Inbox
from forestay_client.lines import Lines, Place
from forestay_client.membership import Membership
from forestay_client.messages import (
    BinaryMessage,
    HistoryPage,
    Joined,
    Message,
    Position,
    PresenceChange,
    PresencePage,
    Resync,
    RoomState,
    RoomStateChange,
)
from forestay_client.outbox import Request
from forestay_client.sentences import Sentence

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Room:
    """Comes from `Client.room`. Use `async for message in room` in one place; handlers in as many as you like."""

    def __init__(self, name: str, lines: Lines) -> None:
        self.name = name
        self._lines = lines
        self._handlers = Handlers("state", "joined", "message", "binary", "resync", "user-joined", "user-left")
        self._inbox = Inbox(lines.options.inbox)
        self._joining: list[asyncio.Future[Joined]] = []
        self._joined = Joined(name)
        self._membership = Membership(
            name,
            self._told,
            lambda delay, call: asyncio.get_running_loop().call_later(delay, call),
            lines.backoff,
        )
        lines.rooms[name] = Place(self._membership, self._handlers, self._disconnected)

    @property
    def state(self) -> RoomState:
        return self._membership.state

    @property
    def position(self) -> Position | None:
        """The last position seen, in a room with history."""
        return self._membership.position

    @overload
    def on(self, event: Literal["state"], handler: Callable[[RoomStateChange], object]) -> Callable[[], None]: ...
    @overload
    def on(self, event: Literal["joined"], handler: Callable[[Joined], object]) -> Callable[[], None]: ...
    @overload
    def on(self, event: Literal["message"], handler: Callable[[Message], object]) -> Callable[[], None]: ...
    @overload
    def on(self, event: Literal["binary"], handler: Callable[[BinaryMessage], object]) -> Callable[[], None]: ...
    @overload
    def on(self, event: Literal["resync"], handler: Callable[[Resync], object]) -> Callable[[], None]: ...
    @overload
    def on(
        self, event: Literal["user-joined", "user-left"], handler: Callable[[PresenceChange], object]
    ) -> Callable[[], None]: ...
    def on(self, event: str, handler: Handler) -> Callable[[], None]:
        """Call `handler` with each such event; call what is returned to end that."""
        return self._handlers.add(event, handler)

    async def join(self) -> Joined:
        """Be in the room, now and after each reconnect, until `leave`; what the gateway said when it was joined last.

        Raises RefusedError where the gateway does not let us in, and DisconnectedError when the client gives up.
        """
        sentences.check_room(self.name)
        if self._lines.error is not None:
            raise self._lines.error
        if self.state is RoomState.JOINED:
            return self._joined
        joined: asyncio.Future[Joined] = asyncio.get_running_loop().create_future()
        self._joining.append(joined)
        self._membership.want()
        for connection in self._lines.open():
            self._membership.enter(connection)
        return await joined

    async def leave(self) -> None:
        """Be out of the room: nothing of it is heard any more."""
        told = asyncio.gather(*self._membership.leave(), return_exceptions=True)
        await asyncio.wait({told}, timeout=self._lines.options.timeout)

    async def publish(
        self,
        payload: object,
        *,
        key: str | None = None,
        echo: bool | None = None,
        event: str | None = None,
        traceparent: str | None = None,
    ) -> Position | None:
        """Speak to the room, in it or not; returns once the gateway has accepted it, with its position if it has one.

        With `event` it is an event, as Socket.IO clients know them, and the payload is a list of arguments.

        Raises RefusedError, or UnknownOutcomeError, whose `key` makes a retry safe. Where the room is known to have a
        history, a key is made if none is given. What cannot be sent at all is a RefusedError too: TooLargeError,
        UnsendableError.
        """
        sentences.check_key(key)
        if key is None and self.position is not None:
            key = secrets.token_hex(16)
        said = {"type": "broadcast", "room": self.name, "payload": payload, "key": key, "echo": echo, "event": event}
        try:
            answer = await self._lines.request(Request({**said, "traceparent": traceparent}))
        except UnknownOutcomeError:
            raise UnknownOutcomeError(key) from None
        except RefusedError as error:
            if error.code == "outcome_unknown":
                raise UnknownOutcomeError(key) from None
            raise
        return sentences.position(sentences.payload(answer))

    async def presence(self, *, after: str | None = None, limit: int | None = None) -> PresencePage:
        """Who is in the room, in it oneself or not; `after` is the `next` of the page before."""
        answer = await self._ask("presence", after=after, limit=limit)
        return sentences.presence(answer["payload"])

    async def history(
        self, *, since: Position | None = None, before: Position | None = None, limit: int | None = None
    ) -> HistoryPage:
        """A page of the room's past: the oldest behind `since`, the newest in front of `before`, or the newest."""
        bounds = {"since": sentences.place(since), "before": sentences.place(before), "limit": limit}
        answer = await self._ask("history", **bounds)
        return sentences.history(self.name, answer["payload"])

    async def bind(self, type: int) -> None:
        """Send binary messages of this type to this room, now and after each reconnect."""
        sentences.check_type(type)
        request = Request({"type": "bind", "room": self.name, "payload": {"type": type}}, repeatable=True)
        await self._lines.request(request)
        self._lines.bindings[type] = self.name
        for connection in self._lines.open():
            if connection is not request.written_on:
                connection.bind(type, self.name)

    async def send(self, type: int, data: "Buffer") -> None:
        """Send the bytes of any buffer as a binary message; returns once it is written. It is not acknowledged.

        Raises TypeError for what is no buffer, and RefusedError as `publish` does.
        """
        await self._lines.request(Request(sentences.write_binary(type, data)))

    async def __aiter__(self) -> AsyncIterator[Message]:
        """The room's messages, from the join on; ends when the room is left or the client disconnects."""
        while (message := await self._inbox.take()) is not None:
            yield message

    async def _ask(self, type: str, **fields: object) -> Sentence:
        return await self._lines.request(Request({"type": type, "room": self.name, **fields}, repeatable=True))

    def _told(self, event: str, value: object) -> None:
        """Pass on what became of the room, and keep the loop and the callers of `join` in step with it."""
        match value:
            case RoomStateChange():
                self._state_changed(value)
            case Joined():
                if value.recovered is False:
                    self._inbox.gap("unrecovered")
                self._joined = value
                self._answer(None)
            case Resync():
                self._inbox.gap(value.reason)
            case Message():
                if self._inbox.add(value):
                    self._handlers.emit("resync", Resync(self.name, "overflow"))
            case _:
                pass
        self._handlers.emit(event, value)

    def _state_changed(self, change: RoomStateChange) -> None:
        if change.state is RoomState.JOINING and change.old_state is RoomState.LEFT:
            self._inbox.open()
        elif change.state is RoomState.LEFT:
            error = None if change.code is None else RefusedError(str(change.code), change.reason)
            self._inbox.close(error)
            self._answer(error or RefusedError("not_joined", "left before it was joined"))

    def _disconnected(self, error: ForestayError | None) -> None:
        """The client is disconnected; None: it is connecting again."""
        if error is None:
            self._inbox.open()
            return
        # Who disconnected on purpose knows why the loop ends.
        self._inbox.close(None if isinstance(error, DisconnectedError) and error.code is None else error)
        self._answer(error)

    def _answer(self, error: ForestayError | None) -> None:
        """Answer those who wait in `join`."""
        joining, self._joining = self._joining, []
        for joined in joining:
            if joined.done():
                continue
            if error is None:
                joined.set_result(self._joined)
            else:
                joined.set_exception(error)
