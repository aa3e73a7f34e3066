"""Keeps each room with history complete on this pod: no message twice, none missing, none out of order.

Each such room has a position: the last message that its members here were given. The pod reads missing messages from
the history, once for the whole room, in three cases: a message does not follow on the position, the bus lost its
connection, or a regular check finds the room ahead. If the history no longer has them, the members get a `resync`. A
room without history has no position. If messages may be lost there, the members always get a `resync`.
"""

from asyncio import CancelledError, Future, Semaphore, Task, sleep
from collections.abc import Callable, Coroutine
from typing import Final, Protocol

from forestay.core.fanout.backlog import Backlog
from forestay.core.ports.bus import Bus, BusLost, Page, Query
from forestay.core.ports.runtime import Runtime
from forestay.core.rooms.missed import Missed, MissedReader
from forestay.core.rooms.view import View
from forestay.core.rules.policies import Policies
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position

CHECK_INTERVAL = 5.0
"""Seconds between two checks of the positions of all rooms. One request reads all of them."""

RETRY = 0.5
"""Seconds until a bus that is away is asked again."""

# Reads of histories for joiners at the same time, on the whole pod. When a pod is gone, thousands of clients come with
# a position to the others: more at once would fill the memory, and stop the loop when the answers come.
_READERS: Final = 32
# A read that finds nothing new may have begun before the last message came; the next one has not.
_ATTEMPTS: Final = 3


class Members(Protocol):
    """The members of the rooms on this pod."""

    def deliver(self, message: Message) -> None:
        """Give `message` to the members of its room."""

    def resync(self, name: RoomName, reason: str, position: Position | None) -> None:
        """Tell the members of a room that messages are lost, why, and where live messages go on."""


class Recovery:
    """The views of all rooms with history on this pod."""

    def __init__(self, runtime: Runtime, bus: Bus, policies: Policies, members: Members, part_bytes: int) -> None:
        """`part_bytes`: bytes of messages that a joiner is given at once. One message always comes."""
        self._runtime = runtime
        self.reading = Semaphore(_READERS)
        """Held while a joiner reads what it missed. The loop wakes no more of them at once than may read."""
        self._missed = MissedReader(runtime.loop, bus, part_bytes)
        self._bus = bus
        self._policies = policies
        self._members = members
        self._views: dict[RoomName, View] = {}
        self._tasks: set[Task[None]] = set()

    def open(self, room: RoomName, ready: Callable[[], None]) -> None:
        """Start the view of `room`. `ready` is called once its position is known; at once where it has none."""
        kept = self._policies.of(room).history
        if kept is None:
            ready()
            return
        view = self._views[room] = View(kept)
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

    def offset(self, room: RoomName) -> int:
        """The offset of that message; 0 where there is none."""
        position = self.position(room)
        return 0 if position is None else position.offset

    def receive(self, message: Message) -> None:
        """Take a message from the bus."""
        view = self._views.get(message.room)
        if view is None:
            self._members.deliver(message)
        elif view.held is None:
            self._serve(message.room, view, message)
        elif not view.held.add(message, len(message.payload)):
            view.overflowed = True

    def doubt(self, room: RoomName) -> None:
        """Repair `room`, because messages may be lost on their way to this pod."""
        view = self._views.get(room)
        if view is None:
            self._members.resync(room, "missed", None)
        elif view.held is None:
            self._start_repair(room, view)

    async def missed(self, room: RoomName, since: Position, part_bytes: int | None = None) -> Missed | None:
        """The next messages after `since`, up to the position of the room; None where they cannot be known.

        `part_bytes`: where it is less than usual. The caller holds `reading`. Raises BusLost.
        """
        view = self._views.get(room)
        if view is None or view.position is None:
            return None
        if since.epoch == view.position.epoch and since.offset > view.position.offset:
            await self._catch_up(room, view)
        for _ in range(_ATTEMPTS):
            if view.position == since:
                return Missed((), level=True)
            found = await self._missed.read(room, view, since, part_bytes)
            if found is None or found.messages or found.level:
                return found
        return None

    async def _catch_up(self, room: RoomName, view: View) -> None:
        """Complete the view, because a client got messages on another pod that this pod has not served yet."""
        read: Future[None] = self._runtime.loop.create_future()

        def done() -> None:
            if not read.done():
                read.set_result(None)

        view.waiting.append(done)
        if view.held is None:
            self._start_repair(room, view)
        try:
            await read
        finally:
            if done in view.waiting:
                view.waiting.remove(done)

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

    def _compare(self, room: RoomName, view: View, found: Position | None) -> None:
        """Repair a view that two checks found behind at the same position. After one check a message may be late."""
        # A room without messages is not found, and its view is at the start.
        at_start = found is None and view.position is not None and not view.position.offset
        if view.held is not None or found == view.position or at_start:
            view.suspect = None
        elif view.suspect is not None and view.suspect == view.position:
            view.suspect = None
            self._start_repair(room, view)
        else:
            view.suspect = view.position

    def _serve(self, room: RoomName, view: View, message: Message) -> None:
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
            self._start_repair(room, view, message)

    def _advance(self, view: View, message: Message) -> None:
        view.note(message)
        self._members.deliver(message)

    def _start_repair(self, room: RoomName, view: View, *messages: Message) -> None:
        """Hold messages back, `messages` first, until the history is read."""
        view.held = Backlog()
        for message in messages:
            view.held.add(message, len(message.payload))
        self._start(self._repair(room, view))

    async def _repair(self, room: RoomName, view: View) -> None:
        """Make the view complete, then go on with the messages that were held back."""
        try:
            await self._read_on(room, view)
        except Exception:
            # A bug. A room that stays held would get no more messages. So its members get a resync and go on live.
            held, view.held = view.held or Backlog(), Backlog()
            if view.open:
                placed = [message.position for message in held if message.position is not None]
                view.position = placed[-1] if placed else view.position
                self._members.resync(room, "lost", view.position)
                self._release(room, view)
            raise

    async def _read_on(self, room: RoomName, view: View) -> None:
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
            self._runtime.observer.gap_filled(room, filled)
        self._release(room, view)

    async def _read(self, room: RoomName, view: View) -> Page:
        """Read the history after the view's position. Tries again until the bus answers."""
        while True:
            since = view.position
            query = Query(0) if since is None else Query(view.kept.size, since=since)
            try:
                return await self._bus.history(room, query, view.kept)
            except BusLost:
                # When the bus is back it doubts every room, but a room that is being repaired ignores that.
                await sleep(RETRY)

    def _release(self, room: RoomName, view: View) -> None:
        held, view.held = view.held or Backlog(), None
        waiting, view.waiting = view.waiting, []
        for ready in waiting:
            ready()
        for message in held:
            self.receive(message)
        if view.overflowed:
            view.overflowed = False
            if view.held is None:
                self._start_repair(room, view)

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = self._runtime.tasks.once("recovery_repair", work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
