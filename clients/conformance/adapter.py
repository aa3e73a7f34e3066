"""The adapter of an SDK as a child process: commands in, events out, one JSON object a line."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from clients.conformance.lanes import Ended, Lanes
from clients.conformance.timeline import Timeline

PATIENCE: Final = 15.0
"""Seconds. Nothing takes this long; whatever does is broken, and the machine may be busy."""

_LINE_LIMIT: Final = 16 * 1024 * 1024


def lane_of(event: Mapping[str, Any]) -> Hashable:
    """Events of one kind keep their order within a room, and answers are one's own."""
    kind = event.get("on")
    if kind in ("result", "failure"):
        return "answer", event.get("as")
    return kind, event.get("room")


class Adapter:
    """One running adapter."""

    def __init__(self, process: asyncio.subprocess.Process, timeline: Timeline) -> None:
        self._process = process
        self._timeline = timeline
        self._lanes = Lanes()
        self._ending = False
        self.hello: dict[str, Any] = {}
        self.watch: Callable[[dict[str, Any]], None] = lambda _: None
        """Called with each event as it comes."""
        self.unsupported: list[str] = []
        """Commands that this SDK has nothing for."""
        self._reading = asyncio.create_task(self._read())

    async def tell(self, command: Mapping[str, Any]) -> None:
        self._timeline.note("tell", dict(command))
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            await self._process.stdin.drain()

    async def take(self, lane: Hashable, patience: float = PATIENCE) -> dict[str, Any]:
        """The next event of `lane`."""
        return await self._lanes.take(lane, patience)

    def left(self) -> list[dict[str, Any]]:
        """Events that nobody expected."""
        return [event for _, event in self._lanes.left()]

    def suspend(self) -> None:
        """The machine sleeps."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        self._signal(signal.SIGCONT)

    async def end(self) -> int:
        """End its input; the status that it ends with. What fails from here on fails because it ends."""
        self._ending = True
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(PATIENCE):
            await self._reading
            return await self._process.wait()

    async def kill(self) -> None:
        self._signal(signal.SIGKILL)
        await self._process.wait()
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading

    def _signal(self, number: signal.Signals) -> None:
        """To the whole group: a command may be a script that starts what it stands for."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                self._timeline.note("adapter", f"not JSON: {line.decode(errors='replace').rstrip()}")
                continue
            self._timeline.note("adapter", event)
            self._hear(event)
        self._lanes.end("the adapter ended")

    def _hear(self, event: dict[str, Any]) -> None:
        kind = event.get("on")
        if kind == "unsupported":
            self.unsupported.append(str(event.get("do")))
            self._lanes.end(f"the SDK has no {event.get('do')}")
            return
        if self._ending and kind in ("failure", "state", "room"):
            return
        self.watch(event)
        self._lanes.put(lane_of(event), event)


@asynccontextmanager
async def started(command: Sequence[str], timeline: Timeline) -> AsyncIterator[Adapter]:
    """The adapter that `command` starts, once it has said hello; killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_LIMIT,
        start_new_session=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("FORESTAY_")},
    )
    adapter = Adapter(process, timeline)
    try:
        try:
            adapter.hello = await adapter.take(("hello", None), 2 * PATIENCE)
        except TimeoutError:
            raise Ended("the adapter did not say hello") from None
        yield adapter
    finally:
        await adapter.kill()
