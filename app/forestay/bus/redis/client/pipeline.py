"""Commands to one node, in order: one batch on its way, the rest waiting, and an honest fate for each.

What waits while a batch is on its way goes out together as the next one, so order costs nothing and load makes batches
large. A command that was written and not answered may have been executed; it is never written again.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from forestay.bus.redis.client.command import Command, Fate
from forestay.bus.redis.client.connection import Away, Complaint, Misconfigured, Wire
from forestay.bus.redis.client.link import Dial, Link, Linked
from forestay.bus.redis.scripts import ALL, load

MOST_WAITING: Final = 20_000
MOST_BYTES: Final = 32 * 2**20
"""Commands, and their bytes, that may wait: about what a Redis takes in a second. Beyond it a command is refused."""

MOST_TRIES: Final = 5
"""How often a command may be sent before Redis finds a script or a node for it. It is executed by the last try only."""

# One batch: large enough to make a round trip cheap, small enough to be answered long before it is given up.
LARGEST_BATCH: Final = 512
_BATCH_BYTES: Final = 2**20

# Seconds that replies are waited for at the end; who asked would otherwise be told that nobody knows.
_FAREWELL: Final = 1.0


class Owner(Protocol):
    """Who is told how a lane fares."""

    def lane_up(self, wire: Wire) -> None: ...

    def lane_down(self, why: str) -> None: ...

    def lane_failed(self, error: Away | Misconfigured) -> None: ...

    def complained(self, complaint: Complaint) -> None:
        """Redis answered something else than a result."""

    def elsewhere(self, lane: "Lane", commands: Sequence[tuple[Command, Complaint]]) -> None:
        """Another node has what these commands are about; they were not executed."""


class Lane:
    def __init__(self, dial: Dial, owner: Owner, patience: float, batch: int = LARGEST_BATCH) -> None:
        """`patience`: seconds that a command waits to be written, and that a written one waits for its reply."""
        self._loop = asyncio.get_running_loop()
        self._owner = owner
        self._patience = patience
        self._batch = batch
        self.link = Link(dial, self, patience)
        self._waiting: deque[Command] = deque()
        self._bytes = 0
        self._flying: deque[Command] = deque()
        self._unclaimed = 0
        """Replies to come that no command waits for, before those of the batch."""
        self._unscripted: list[Command] = []
        self._elsewhere: list[tuple[Command, Complaint]] = []
        self._demoted = False
        self._closing = False
        self._idle: asyncio.Future[None] | None = None
        self._scheduled = False
        self._landing: asyncio.TimerHandle | None = None
        self._sweeping: asyncio.TimerHandle | None = None

    @property
    def up(self) -> bool:
        return self.link.state is Linked.UP

    def start(self) -> None:
        self.link.start()

    async def close(self) -> None:
        """Let what is on its way arrive, for a moment; whatever else there is gets its fate."""
        self._closing = True
        self._refuse_waiting()
        if self._flying:
            self._idle = self._loop.create_future()
            await asyncio.wait([self._idle], timeout=min(_FAREWELL, self._patience))
        await self.link.close()
        self._refuse_waiting()

    def offer(self, command: Command) -> None:
        """Do `command` after everything that was offered before, or refuse it at once."""
        size = len(command.data)
        full = len(self._waiting) >= MOST_WAITING or (self._waiting and self._bytes + size > MOST_BYTES)
        if full or self._closing or self.link.state is Linked.DOWN:
            command.then(Fate.REFUSED)
            return
        command.since = command.since or self._loop.time()
        self._waiting.append(command)
        self._bytes += size
        if self.link.state is Linked.UP and not self._flying:
            self._schedule()
        elif self._sweeping is None:
            self._sweep_at(command.since)

    def withdraw(self, partition: int) -> list[Command]:
        """Take back what waits and is about `partition`, in its order."""
        taken = [command for command in self._waiting if command.partition == partition]
        if taken:
            self._waiting = deque(command for command in self._waiting if command.partition != partition)
            self._bytes -= sum(len(command.data) for command in taken)
        return taken

    def _schedule(self) -> None:
        if not self._scheduled:
            # The end of this tick: whoever else publishes in it goes along.
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        waiting, flying = self._waiting, self._flying
        if not waiting or flying or self.link.state is not Linked.UP:
            return
        parts: list[bytes] = []
        size = 0
        while waiting and len(parts) < self._batch and (not size or size + len(waiting[0].data) <= _BATCH_BYTES):
            command = waiting.popleft()
            flying.append(command)
            parts.append(command.data)
            size += len(command.data)
        self._bytes -= size
        now = self._loop.time()
        # The oldest is due first. A batch always has a fifth of the time, or those who waited long would end it early.
        due = max(flying[0].since + self._patience, now + self._patience / 5)
        self._landing = self._loop.call_at(due, self._overdue)
        if waiting and self._sweeping is None:
            self._sweep_at(waiting[0].since)
        self.link.write(b"".join(parts))

    def received(self, reply: object) -> None:
        if self._unclaimed:
            self._unclaimed -= 1
            return
        if not self._flying:
            self.link.break_off("the server says more than it was asked")
            return
        command = self._flying.popleft()
        try:
            if isinstance(reply, Complaint):
                self._complained(command, reply)
            else:
                command.then(reply)
        finally:
            if not self._flying:
                self._landed()

    def _complained(self, command: Command, complaint: Complaint) -> None:
        match complaint.kind:
            case "NOSCRIPT" if command.tries < MOST_TRIES:
                command.tries += 1
                self._unscripted.append(command)
                return
            case "MOVED" | "ASK" if command.tries < MOST_TRIES:
                command.tries += 1
                self._elsewhere.append((command, complaint))
                return
            case "READONLY":
                self._demoted = True
            case _:
                pass
        self._owner.complained(complaint)
        command.then(complaint)

    def _landed(self) -> None:
        """Every command of the batch is answered."""
        self._stop_waiting_for_replies()
        if self._unscripted:
            # None of them was executed: they go first again, behind the scripts they need.
            for command in reversed(self._unscripted):
                self._waiting.appendleft(command)
                self._bytes += len(command.data)
            self._unscripted = []
            self._unclaimed = len(ALL)
            self.link.write(load())
        if self._elsewhere:
            elsewhere, self._elsewhere = self._elsewhere, []
            self._owner.elsewhere(self, elsewhere)
        if self._demoted:
            self.link.break_off("the server became a replica")
        elif self._waiting:
            self._flush()

    def _stop_waiting_for_replies(self) -> None:
        if self._landing is not None:
            self._landing.cancel()
            self._landing = None
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _overdue(self) -> None:
        self.link.break_off(f"no answer for {self._patience:g} s", suspect=True)

    def _sweep_at(self, since: float) -> None:
        self._sweeping = self._loop.call_at(since + self._patience, self._sweep)

    def _sweep(self) -> None:
        """Refuse what has waited too long; whoever published it should not wait any more."""
        self._sweeping = None
        old = self._loop.time() - self._patience
        while self._waiting and self._waiting[0].since <= old:
            command = self._waiting.popleft()
            self._bytes -= len(command.data)
            command.then(Fate.REFUSED)
        if self._waiting and self._sweeping is None:
            self._sweep_at(self._waiting[0].since)

    def _refuse_waiting(self) -> None:
        waiting, self._waiting, self._bytes = self._waiting, deque(), 0
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        for command in waiting:
            command.then(Fate.REFUSED)

    def connected(self, wire: Wire) -> None:
        self._unclaimed = 0
        self._demoted = False
        self._schedule()
        self._owner.lane_up(wire)

    def disconnected(self, why: str) -> None:
        self._stop_waiting_for_replies()
        flying, self._flying = self._flying, deque()
        unscripted, self._unscripted = self._unscripted, []
        elsewhere, self._elsewhere = self._elsewhere, []
        for command in (*unscripted, *(command for command, _ in elsewhere)):
            command.then(Fate.REFUSED)
        for command in flying:
            command.then(Fate.UNKNOWN)
        if self.link.state is Linked.DOWN:
            self._refuse_waiting()
        self._owner.lane_down(why)

    def unreachable(self, error: Away | Misconfigured) -> None:
        self._refuse_waiting()
        self._owner.lane_failed(error)
