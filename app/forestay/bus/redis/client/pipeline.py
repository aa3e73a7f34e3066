"""Sends commands to one node in order: one batch is under way, the next one collects.

Commands that wait while a batch is under way go out together as the next one. So order costs nothing, and load makes
batches large. A command that was written and not answered may have been executed; it is never written again.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from forestay.bus.redis.client.command import Command, ErrorReply, Failure
from forestay.bus.redis.client.connection import pack
from forestay.bus.redis.client.link import LinkState, NodeAccess
from forestay.bus.redis.client.report import Report
from forestay.bus.redis.scripts import SCRIPTS

MAX_WAITING: Final = 20_000
MAX_WAITING_BYTES: Final = 32 * 2**20
"""Commands, and their bytes, that may wait: about what a Redis takes in a second. Further commands are refused."""

MAX_ATTEMPTS: Final = 5
"""How often a command may be sent before Redis finds a script or a node for it. Only the last attempt executes it."""

# One batch: large enough to make a round trip cheap, small enough to be answered long before its timeout.
MAX_BATCH: Final = 512
_MAX_BATCH_BYTES: Final = 2**20

# Seconds to wait for replies when the pipeline closes. Without them the senders would not know the outcome.
_CLOSE_TIMEOUT: Final = 1.0

# A timer of uvloop may fire so many seconds early.
_TIMER_STEP: Final = 0.001

_LOAD_SCRIPTS: Final = b"".join(pack("SCRIPT", "LOAD", script.text) for script in SCRIPTS)


class PipelineOwner(Protocol):
    """Learns whether a pipeline works, and which commands belong to other nodes."""

    def pipeline_up(self, incarnation: bytes) -> None: ...

    def pipeline_down(self, reason: str) -> None: ...

    def redirected(self, pipeline: "Pipeline", commands: Sequence[tuple[Command, ErrorReply]]) -> None:
        """Another node has the partitions of these commands, as the replies say. They were not executed."""


class Pipeline:
    def __init__(self, access: NodeAccess, owner: PipelineOwner, report: Report, max_batch: int = MAX_BATCH) -> None:
        """A command waits `access.timeout` seconds to be written, and a written one as long for its reply."""
        self._loop = asyncio.get_running_loop()
        self._owner = owner
        self._report = report
        self._timeout = access.timeout
        self._max_batch = max_batch
        self.link = access.link(self)
        self._waiting: deque[Command] = deque()
        self._waiting_bytes = 0
        self._in_flight: deque[Command] = deque()
        """The batch under way: written, and not answered yet."""
        self._load_replies = 0
        """Replies to `SCRIPT LOAD` that come before those of the batch."""
        self._without_script: list[Command] = []
        self._redirected: list[tuple[Command, ErrorReply]] = []
        self._read_only = False
        self._closing = False
        self._batch_done: asyncio.Future[None] | None = None
        self._flush_scheduled = False
        self._due = 0.0
        """When the batch under way has to be answered, in the loop's time."""
        self._reply_timer: asyncio.TimerHandle | None = None
        """Fires no later than that. It may be set for a batch that is answered."""
        self._expiry_timer: asyncio.TimerHandle | None = None

    @property
    def up(self) -> bool:
        return self.link.state is LinkState.UP

    def start(self) -> None:
        self.link.start()

    async def close(self) -> None:
        """Wait a moment for the replies of the batch under way, then settle every command."""
        self._closing = True
        self._refuse_waiting()
        if self._in_flight:
            self._batch_done = self._loop.create_future()
            await asyncio.wait([self._batch_done], timeout=min(_CLOSE_TIMEOUT, self._timeout))
        await self.link.close()
        self._refuse_waiting()

    def offer(self, command: Command) -> None:
        """Send `command` after all that were offered before, or refuse it at once."""
        size = len(command.data)
        full = len(self._waiting) >= MAX_WAITING or (self._waiting and self._waiting_bytes + size > MAX_WAITING_BYTES)
        if full or self._closing or self.link.state is LinkState.DOWN:
            command.settle(Failure.REFUSED)
            return
        command.offered_at = command.offered_at or self._loop.time()
        self._waiting.append(command)
        self._waiting_bytes += size
        if self.link.state is LinkState.UP and not self._in_flight:
            self._schedule_flush()
        elif self._expiry_timer is None:
            self._start_expiry_timer(command.offered_at)

    def withdraw(self, partition: int) -> list[Command]:
        """Remove the waiting commands of `partition`, and return them in their order."""
        taken = [command for command in self._waiting if command.partition == partition]
        if taken:
            self._waiting = deque(command for command in self._waiting if command.partition != partition)
            self._waiting_bytes -= sum(len(command.data) for command in taken)
        return taken

    def _schedule_flush(self) -> None:
        if not self._flush_scheduled:
            # At the end of this tick: commands that others offer in it go out in the same batch.
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Write the next batch, unless one is under way."""
        self._flush_scheduled = False
        waiting, batch = self._waiting, self._in_flight
        if not waiting or batch or self.link.state is not LinkState.UP:
            return
        parts: list[bytes] = []
        size = 0
        while (
            waiting and len(parts) < self._max_batch and (not size or size + len(waiting[0].data) <= _MAX_BATCH_BYTES)
        ):
            command = waiting.popleft()
            batch.append(command)
            parts.append(command.data)
            size += len(command.data)
        self._waiting_bytes -= size
        now = self._loop.time()
        # The oldest command is due first. A batch always has a fifth of the time, or a command that waited long would
        # end it early.
        self._expect_replies(max(batch[0].offered_at + self._timeout, now + self._timeout / 5))
        if waiting and self._expiry_timer is None:
            self._start_expiry_timer(waiting[0].offered_at)
        self.link.write(b"".join(parts))

    def received(self, reply: object) -> None:
        if self._load_replies:
            self._load_replies -= 1
            return
        if not self._in_flight:
            self.link.reconnect("the server sent a reply without a command")
            return
        command = self._in_flight.popleft()
        try:
            if isinstance(reply, ErrorReply):
                self._failed(command, reply)
            else:
                command.settle(reply)
        finally:
            if not self._in_flight:
                self._batch_answered()

    def _failed(self, command: Command, error: ErrorReply) -> None:
        match error.kind:
            case "NOSCRIPT" if command.attempts < MAX_ATTEMPTS:
                command.attempts += 1
                self._without_script.append(command)
                return
            case "MOVED" | "ASK" if command.attempts < MAX_ATTEMPTS:
                command.attempts += 1
                self._redirected.append((command, error))
                return
            case "READONLY":
                self._read_only = True
            case _:
                pass
        self._report.error_reply(error)
        command.settle(Failure.UNKNOWN if error.halfway else error)

    def _batch_answered(self) -> None:
        """Repeat the commands of the batch that were not executed, and send the next one."""
        self._tell_batch_done()
        if self._without_script:
            # None of them was executed: they go first again, after the scripts that they need.
            for command in reversed(self._without_script):
                self._waiting.appendleft(command)
                self._waiting_bytes += len(command.data)
            self._without_script = []
            self._load_replies = len(SCRIPTS)
            self.link.write(_LOAD_SCRIPTS)
        if self._redirected:
            redirected, self._redirected = self._redirected, []
            self._owner.redirected(self, redirected)
        if self._read_only:
            self.link.reconnect("the server became a replica")
        elif self._waiting:
            self._flush()

    def _expect_replies(self, due: float) -> None:
        """The batch has to be answered by `due`, in the loop's time.

        The timer goes on from batch to batch: to start one and to cancel it costs more than the rest of a small batch.
        """
        self._due = due
        if self._reply_timer is not None and self._reply_timer.when() > due:
            self._reply_timer.cancel()
            self._reply_timer = None
        if self._reply_timer is None:
            self._reply_timer = self._loop.call_at(due, self._check_replies)

    def _check_replies(self) -> None:
        self._reply_timer = None
        if self._in_flight and self._loop.time() + _TIMER_STEP < self._due:
            self._expect_replies(self._due)
        elif self._in_flight:
            self.link.reconnect(f"no reply for {self._timeout:g} s", down=True)

    def _tell_batch_done(self) -> None:
        if self._batch_done is not None and not self._batch_done.done():
            self._batch_done.set_result(None)

    def _start_expiry_timer(self, offered_at: float) -> None:
        self._expiry_timer = self._loop.call_at(offered_at + self._timeout, self._expire)

    def _expire(self) -> None:
        """Refuse the commands that have waited too long: their senders should not wait any more."""
        self._expiry_timer = None
        limit = self._loop.time() - self._timeout
        while self._waiting and self._waiting[0].offered_at <= limit:
            command = self._waiting.popleft()
            self._waiting_bytes -= len(command.data)
            command.settle(Failure.REFUSED)
        if self._waiting and self._expiry_timer is None:
            self._start_expiry_timer(self._waiting[0].offered_at)

    def _refuse_waiting(self) -> None:
        waiting, self._waiting, self._waiting_bytes = self._waiting, deque(), 0
        if self._expiry_timer is not None:
            self._expiry_timer.cancel()
            self._expiry_timer = None
        for command in waiting:
            command.settle(Failure.REFUSED)

    def connected(self, incarnation: bytes) -> None:
        self._load_replies = 0
        self._read_only = False
        self._schedule_flush()
        self._owner.pipeline_up(incarnation)

    def disconnected(self, reason: str) -> None:
        if self._reply_timer is not None:
            self._reply_timer.cancel()
            self._reply_timer = None
        self._tell_batch_done()
        in_flight, self._in_flight = self._in_flight, deque()
        without_script, self._without_script = self._without_script, []
        redirected, self._redirected = self._redirected, []
        for command in (*without_script, *(command for command, _ in redirected)):
            command.settle(Failure.REFUSED)
        for command in in_flight:
            command.settle(Failure.UNKNOWN)
        self._owner.pipeline_down(reason)

    def down(self) -> None:
        self._refuse_waiting()
