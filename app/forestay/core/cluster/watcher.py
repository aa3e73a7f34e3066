"""Watches one connection, or one room on all pods, for somebody who reads the frames as they come."""

from asyncio import Event, timeout
from collections import deque
from typing import Final

from forestay.core.cluster.control import ControlChannel
from forestay.core.cluster.control_messages import Answer, WatchQuestion
from forestay.core.facts.frames import Frame

KEPT: Final = 1000
"""Frames that wait for the reader. Of more, the oldest are dropped and counted."""


class Watcher:
    """One reader's end of a watch."""

    def __init__(
        self, control: ControlChannel, name: str, connection: str | None = None, room: str | None = None
    ) -> None:
        """`name`: of the watch, unique among all pods. One of the others is given."""
        self._control = control
        self._name = name
        self._connection = connection
        self._room = room
        self._frames: deque[tuple[str, Frame]] = deque()
        self._dropped = 0
        self._news = Event()
        self.payloads = False
        """Whether a pod shows payloads."""
        self.full = False
        """Whether a pod has too many watches for this one."""
        self.ended = ""
        """Why nothing more comes: `ended` with the connection, or `stopped` with this pod. Empty while it goes on."""

    async def renew(self) -> tuple[list[str], bool]:
        """Begin the watch, or let it go on. The pods that watch, sorted; and whether no other one has to."""
        self._control.see(self._name, self._see)
        answers, complete = await self._ask(end=False)
        watching = [answer for answer in answers if answer.changed]
        self.payloads = True in [one.seen.payloads for one in watching if one.seen is not None]
        self.full = True in [one.seen.full for one in answers if one.seen is not None]
        return sorted([answer.asker for answer in watching]), complete and not self.full

    async def end(self) -> None:
        """End the watch on all pods. Where one does not hear it, its lease ends it."""
        self._control.unsee(self._name)
        await self._ask(end=True)

    def stop(self) -> None:
        """Let nothing more come, because this pod stops."""
        self.ended = self.ended or "stopped"
        self._news.set()

    async def next(self, seconds: float) -> tuple[list[tuple[str, Frame]], int]:
        """The next frames, each with its pod, and how many were dropped. Waits for them at most so long."""
        if not self._frames and not self._dropped and not self.ended:
            self._news.clear()
            try:
                async with timeout(seconds):
                    await self._news.wait()
            except TimeoutError:
                pass
        frames, dropped = list(self._frames), self._dropped
        self._frames.clear()
        self._dropped = 0
        return frames, dropped

    async def _ask(self, *, end: bool) -> tuple[list[Answer], bool]:
        return await self._control.ask(
            lambda number, me: WatchQuestion(
                number, me, watch=self._name, connection=self._connection, room=self._room, end=end
            )
        )

    def _see(self, answer: Answer) -> None:
        seen = answer.seen
        if seen is None:
            return
        self._dropped += seen.dropped
        if seen.ended:
            self.ended = "ended"
        for frame in seen.frames:
            if len(self._frames) == KEPT:
                self._frames.popleft()
                self._dropped += 1
            self._frames.append((answer.asker, frame))
        self._news.set()
