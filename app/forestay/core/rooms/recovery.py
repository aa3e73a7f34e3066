"""Keeps each room with history complete on this pod: no message twice, none missing, none out of order.

Each such room has a position: the last message that its members here were given. The pod reads missing messages from
the history, once for the whole room, in three cases: a message does not follow on the position, the bus lost its
connection, or a regular check finds the room ahead. If the history no longer has them, the members get a `resync`. A
room without history has no position. If messages may be lost there, the members always get a `resync`.
"""

from asyncio import CancelledError, Future, Task, sleep
from collections.abc import Callable, Coroutine
from typing import Final, Protocol

from forestay.core.ports.bus import Bus, BusLost, Page, Query
from forestay.core.ports.runtime import Runtime
from forestay.core.rules.policies import Policies, Retention
from forestay.protocol.message import Message, Position
from forestay.protocol.names import RoomName

CHECK_INTERVAL: Final = 5.0
"""Seconds between two checks of the positions of all rooms. One request reads all of them."""

# Messages that are kept back, or kept for joins, while a history is read. With more, the room gets a resync.
_MAX_HELD = 10_000
_RETRY: Final = 0.5


class Members(Protocol):
    """The members of the rooms on this pod."""

    def deliver(self, message: Message) -> None:
        """Give `message` to the members of its room."""

    def resync(self, name: RoomName, reason: str, position: Position | None) -> None:
        """Tell the members of a room that messages are lost, why, and where live messages go on."""


class _View:
    """One room with history, as far as its members here were served."""

    __slots__ = ("held", "kept", "open", "position", "readers", "suspect", "tail", "waiting")

    def __init__(self, kept: Retention) -> None:
        self.kept = kept
        self.open = True
        self.position: Position | None = None
        """The last message that the members were given; None until it is known."""
        self.held: list[Message] | None = []
        """Messages that wait until the history is read; None while the view is complete."""
        self.waiting: list[Callable[[], None]] = []
        """Called once the view is complete."""
        self.readers = 0
        """Joins that read the history now."""
        self.tail: list[Message] = []
        """Messages that were served while joins read the history."""
        self.suspect: Position | None = None
        """The view's own position when the last check found that the room has another one."""


class Recovery:
    """The views of all rooms with history on this pod."""

    def __init__(self, runtime: Runtime, bus: Bus, policies: Policies, members: Members) -> None:
        self._runtime = runtime
        self._bus = bus
        self._policies = policies
        self._members = members
        self._views: dict[RoomName, _View] = {}
        self._tasks: set[Task[None]] = set()

    def open(self, room: RoomName, ready: Callable[[], None]) -> None:
        """Start the view of `room`. `ready` is called once its position is known; at once where it has none."""
        kept = self._policies.of(room).history
        if kept is None:
            ready()
            return
        view = self._views[room] = _View(kept)
        view.waiting.append(ready)
        self._start(self._repair(room, view))

    def close(self, room: RoomName) -> None:
        """End the view of `room`, which the bus no longer delivers."""
        view = self._views.pop(room, None)
        if view is not None:
            view.open = False

    def position(self, room: RoomName) -> Position | None:
        """The last message that the members of `room` were given; None in rooms without history."""
        view = self._views.get(room)
        return view.position if view else None

    def receive(self, message: Message) -> None:
        """Take a message from the bus."""
        view = self._views.get(message.room)
        if view is None:
            self._members.deliver(message)
        elif view.held is None:
            self._serve(message.room, view, message)
        elif len(view.held) < _MAX_HELD:
            view.held.append(message)

    def doubt(self, room: RoomName) -> None:
        """Repair `room`, because messages may be lost on their way to this pod."""
        view = self._views.get(room)
        if view is None:
            self._members.resync(room, "missed", None)
        elif view.held is None:
            self._hold(room, view)

    async def missed(self, room: RoomName, since: Position) -> list[Message] | None:
        """The messages after `since` up to the position of the room; None where they cannot be known.

        The answer holds until the caller awaits again: later messages are live. Raises BusLost.
        """
        view = self._views.get(room)
        if view is None or view.position is None:
            return None
        if since.epoch == view.position.epoch and since.offset > view.position.offset:
            await self._catch_up(room, view)
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

    async def _catch_up(self, room: RoomName, view: _View) -> None:
        """Complete the view, because a client got messages on another pod that this pod has not served yet."""
        read: Future[None] = self._runtime.loop.create_future()

        def done() -> None:
            if not read.done():
                read.set_result(None)

        view.waiting.append(done)
        if view.held is None:
            self._hold(room, view)
        await read

    async def check_forever(self) -> None:
        """Compare the positions of the rooms on the bus with those of the views, until cancelled."""
        while True:
            await sleep(CHECK_INTERVAL)
            try:
                positions = await self._bus.positions(list(self._views))
            except BusLost:
                continue
            for room, view in list(self._views.items()):
                self._compare(room, view, positions.get(room))

    async def stop(self) -> None:
        """Cancel all repairs."""
        for task in list(self._tasks):
            task.cancel()
            try:
                await task
            except CancelledError:
                pass

    def _compare(self, room: RoomName, view: _View, found: Position | None) -> None:
        """Repair a view that two checks found behind at the same position. After one check a message may be late."""
        # A room without messages is not found, and its view is at the start.
        at_start = found is None and view.position is not None and not view.position.offset
        if view.held is not None or found == view.position or at_start:
            view.suspect = None
        elif view.suspect is not None and view.suspect == view.position:
            view.suspect = None
            self._hold(room, view)
        else:
            view.suspect = view.position

    def _serve(self, room: RoomName, view: _View, message: Message) -> None:
        """Serve `message` where it is the next one, drop it where it was served, and read what is missing otherwise."""
        here, there = view.position, message.position
        if there is None:
            self._members.deliver(message)
        elif here is None:
            # Only after a bug while the room was opened. The members have nothing, so the first message is the start.
            self._advance(view, message)
        elif here.epoch == there.epoch and there.offset <= here.offset + 1:
            if there.offset > here.offset:
                self._advance(view, message)
        elif there.offset == 1 and not here.offset:
            # The room had no messages, and the first one has another epoch: an older release chose it, for example.
            self._members.resync(room, "lost", Position(there.epoch, 0))
            self._advance(view, message)
        else:
            self._hold(room, view, message)

    def _advance(self, view: _View, message: Message) -> None:
        view.position = message.position
        if view.readers and len(view.tail) < _MAX_HELD:
            view.tail.append(message)
        self._members.deliver(message)

    def _hold(self, room: RoomName, view: _View, *messages: Message) -> None:
        view.held = list(messages)
        self._start(self._repair(room, view))

    async def _repair(self, room: RoomName, view: _View) -> None:
        """Make the view complete, then go on with the messages that were held back."""
        try:
            await self._read_on(room, view)
        except Exception:
            # A bug. A room that stays held would get no more messages. So its members get a resync and go on live.
            held, view.held = view.held or [], []
            if view.open:
                placed = [message.position for message in held if message.position is not None]
                view.position = placed[-1] if placed else view.position
                self._members.resync(room, "lost", view.position)
                self._release(view)
            raise

    async def _read_on(self, room: RoomName, view: _View) -> None:
        """Read the history after the view's position."""
        more, filled = True, 0
        while more:
            page = await self._read(room, view)
            if not view.open:
                return
            if view.position is None or not page.whole:
                if view.position is not None:
                    self._members.resync(room, "lost", page.top)
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
        """Read the history after the view's position. Tries again until the bus answers."""
        while True:
            since = view.position
            query = Query(0) if since is None else Query(view.kept.size, since=since)
            try:
                return await self._bus.history(room, query, view.kept)
            except BusLost:
                # When the bus is back it doubts every room, but a room that is being repaired ignores that.
                await sleep(_RETRY)

    def _release(self, view: _View) -> None:
        held, view.held = view.held or [], None
        waiting, view.waiting = view.waiting, []
        for ready in waiting:
            ready()
        for message in held:
            self.receive(message)

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = self._runtime.tasks.once("recovery_repair", work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _merge(since: Position, page: Page, tail: list[Message], position: Position | None) -> list[Message] | None:
    """The messages after `since` up to `position`, from the page and from what was served while it was read."""
    if page.whole and position is not None and not (page.top.offset or position.offset):
        # The room has no messages. Its epoch may be a newer one than the view's.
        return []
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
