"""Keeps this pod's view of every room with history whole: nothing twice, nothing missing, nothing out of order.

Each such room has a position up to which its members were served. A message that does not follow on it, a bus that was
deaf for a while, or a check that finds the room elsewhere makes the pod read the rest from the history, once for the
whole room; where that is impossible its members are told with a `resync`. Rooms without history have no position: what
was missed there cannot be read, only declared.
"""

from asyncio import CancelledError, Future, Task, sleep
from collections.abc import Callable, Collection, Coroutine
from typing import Final

from forestay.core.ports.bus import Bus, BusLost, Page, Query
from forestay.core.ports.runtime import Runtime
from forestay.core.rules.policies import Policies, Retention
from forestay.protocol.message import Message, Position
from forestay.protocol.names import RoomName

CHECK_INTERVAL: Final = 5.0
"""Seconds between two looks at where the rooms stand on the bus; all rooms are asked at once."""

# Messages that may be held back or kept for joiners while a history is read. Beyond it the room is told to resync.
_MOST_HELD = 10_000
_RETRY: Final = 0.5

Serve = Callable[[Message], None]
Resync = Callable[[RoomName, str, Position | None], None]


class _View:
    """One room as far as its members here were served."""

    __slots__ = ("held", "kept", "open", "position", "readers", "suspect", "tail", "waiting")

    def __init__(self, kept: Retention) -> None:
        self.kept = kept
        self.open = True
        self.position: Position | None = None
        """Of the last message that the members were given; None until it is known."""
        self.held: list[Message] | None = []
        """Messages that wait until the history is read; None while nothing is wrong."""
        self.waiting: list[Callable[[], None]] = []
        """Who wants to know when the position is known."""
        self.readers = 0
        self.tail: list[Message] = []
        """What was served while somebody reads the history to join; kept only while somebody does."""
        self.suspect: Position | None = None
        """Where the view was when the last check found the room elsewhere."""


class Recovery:
    def __init__(self, runtime: Runtime, bus: Bus, policies: Policies, serve: Serve, resync: Resync) -> None:
        """`serve` gives a message to the members; `resync` tells them of a loss, why, and where they are now."""
        self._runtime = runtime
        self._bus = bus
        self._policies = policies
        self._serve = serve
        self._resync = resync
        self._views: dict[RoomName, _View] = {}
        self._tasks: set[Task[None]] = set()

    def open(self, room: RoomName, ready: Callable[[], None]) -> None:
        """The pod hears `room` now; `ready` is called once its position is known, at once where it has none."""
        kept = self._policies.of(room).history
        if kept is None:
            ready()
            return
        view = self._views[room] = _View(kept)
        view.waiting.append(ready)
        self._start(self._repair(room, view))

    def close(self, room: RoomName) -> None:
        """The pod hears `room` no more."""
        view = self._views.pop(room, None)
        if view is not None:
            view.open = False

    def position(self, room: RoomName) -> Position | None:
        """Where the members of `room` are; None in rooms without history."""
        view = self._views.get(room)
        return view.position if view else None

    def hear(self, message: Message) -> None:
        """A message has come from the bus."""
        view = self._views.get(message.room)
        if view is None:
            self._serve(message)
        elif view.held is None:
            self._follow(message.room, view, message)
        elif len(view.held) < _MOST_HELD:
            view.held.append(message)

    def doubt(self, rooms: Collection[RoomName]) -> None:
        """Messages of `rooms` may have been missed."""
        for room in rooms:
            view = self._views.get(room)
            if view is None:
                self._resync(room, "missed", None)
            elif view.held is None:
                self._hold(room, view)

    async def missed(self, room: RoomName, since: Position) -> list[Message] | None:
        """What a client at `since` has missed up to the position of the room; None where that cannot be told.

        Valid until the caller awaits again: whatever comes after it is live. Raises BusLost.
        """
        view = self._views.get(room)
        if view is None or view.position is None:
            return None
        if since.epoch == view.position.epoch and since.offset > view.position.offset:
            await self._abreast(room, view)
        if view.position == since:
            return []
        view.readers += 1
        try:
            page = await self._bus.history(room, Query(view.kept.size, since=since), view.kept)
        finally:
            view.readers -= 1
            tail = view.tail
            if not view.readers:
                view.tail = []
        return _merge(since, page, tail, view.position)

    async def _abreast(self, room: RoomName, view: _View) -> None:
        """A client was told more elsewhere than this pod has heard: read on until the view is where the room is."""
        read: Future[None] = self._runtime.loop.create_future()

        def done() -> None:
            if not read.done():
                read.set_result(None)

        view.waiting.append(done)
        if view.held is None:
            self._hold(room, view)
        await read

    async def check_forever(self) -> None:
        """Compare where the rooms are with where they are here, every CHECK_INTERVAL seconds, until cancelled."""
        while True:
            await sleep(CHECK_INTERVAL)
            try:
                positions = await self._bus.positions(list(self._views))
            except BusLost:
                continue
            for room, view in list(self._views.items()):
                self._compare(room, view, positions.get(room))

    async def stop(self) -> None:
        """End every reading that is under way."""
        for task in list(self._tasks):
            task.cancel()
            try:
                await task
            except CancelledError:
                pass

    def _compare(self, room: RoomName, view: _View, found: Position | None) -> None:
        """A room found elsewhere twice, with the view unmoved in between, was missed; once is a message on its way."""
        if view.held is not None or found == view.position:
            view.suspect = None
        elif view.suspect is not None and view.suspect == view.position:
            view.suspect = None
            self._hold(room, view)
        else:
            view.suspect = view.position

    def _follow(self, room: RoomName, view: _View, message: Message) -> None:
        """Serve `message` if it is the next one, drop it if it was served, and read what lies between otherwise."""
        here, there = view.position, message.position
        if there is None:
            self._serve(message)
        elif here is not None and here.epoch == there.epoch and there.offset <= here.offset + 1:
            if there.offset > here.offset:
                self._advance(view, message)
        else:
            self._hold(room, view, message)

    def _advance(self, view: _View, message: Message) -> None:
        view.position = message.position
        if view.readers and len(view.tail) < _MOST_HELD:
            view.tail.append(message)
        self._serve(message)

    def _hold(self, room: RoomName, view: _View, *messages: Message) -> None:
        view.held = list(messages)
        self._start(self._repair(room, view))

    async def _repair(self, room: RoomName, view: _View) -> None:
        """Read on from the view's position and go on with what was held back meanwhile."""
        more, filled = True, 0
        while more:
            page = await self._read(room, view)
            if not view.open:
                return
            if view.position is None or not page.whole:
                if view.position is not None:
                    self._resync(room, "lost", page.top)
                view.position = page.top
                break
            for message in page.messages:
                self._advance(view, message)
            filled += len(page.messages)
            more = page.more
        if filled and self._runtime.observer is not None:
            self._runtime.observer.gap_filled(filled)
        self._release(view)

    async def _read(self, room: RoomName, view: _View) -> Page:
        """The history after the view's position, as soon as the bus can be asked."""
        while True:
            since = view.position
            query = Query(0) if since is None else Query(view.kept.size, since=since)
            try:
                return await self._bus.history(room, query, view.kept)
            except BusLost:
                # The bus doubts every room when it is back, but it does not say so to a room that is held already.
                await sleep(_RETRY)

    def _release(self, view: _View) -> None:
        held, view.held = view.held or [], None
        waiting, view.waiting = view.waiting, []
        for ready in waiting:
            ready()
        for message in held:
            self.hear(message)

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = self._runtime.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _merge(since: Position, page: Page, tail: list[Message], position: Position | None) -> list[Message] | None:
    """The messages after `since` up to `position`, from what was read and what was served meanwhile."""
    if not page.whole or position is None or position.epoch != since.epoch:
        return None
    merged: list[Message] = []
    at = since.offset
    for message in (*page.messages, *tail):
        there = message.position
        if there is not None and there.epoch == since.epoch and at < there.offset <= position.offset:
            if there.offset != at + 1:
                return None
            at = there.offset
            merged.append(message)
    return merged if at == position.offset else None
