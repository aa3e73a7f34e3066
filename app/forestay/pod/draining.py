"""Runs the one drain of a pod: because a backend asks for it, or because the process ends."""

import asyncio

from forestay.ops.moves.drain import Drain, DrainTimes
from forestay.pod.announcements import Announcements
from forestay.settings.settings import Settings


class Draining:
    def __init__(self, settings: Settings, drain: Drain, announcements: Announcements, asked: asyncio.Event) -> None:
        """`asked` is set when a backend asks for a drain. The pod lets no connection in from then on."""
        self._settings = settings
        self._drain = drain
        self._announcements = announcements
        self._asked = asked
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def asked(self) -> bool:
        """Whether a backend has asked for the drain."""
        return self._asked.is_set()

    async def when_asked(self) -> None:
        """Wait until a backend asks for a drain, and carry it out. The process goes on."""
        await self._asked.wait()
        await asyncio.shield(self._begin(paced=True))

    async def finish(self, hurry: asyncio.Event, *, paced: bool) -> None:
        """Drain because the process ends; where a drain is under way, wait for its end.

        `paced`: over the window. `hurry` ends the waiting when it is set.
        """
        if self._task is not None and not paced:
            self._hurry.set()
        drained, hastened = self._begin(paced=paced), asyncio.ensure_future(hurry.wait())
        await asyncio.wait([drained, hastened], return_when=asyncio.FIRST_COMPLETED)
        if hastened.done():
            self._hurry.set()
        hastened.cancel()
        await drained

    def _begin(self, *, paced: bool) -> asyncio.Task[None]:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(paced=paced))
        return self._task

    async def _run(self, *, paced: bool) -> None:
        settings = self._settings
        window = settings.drain_window if paced else 0.0
        self._announcements.draining(window)
        budget = settings.drain_deadline or settings.drain_budget
        closing = max(0.0, budget - settings.flush_timeout)
        await self._drain.run(DrainTimes(window, settings.drain_lead, settings.close_timeout, closing), self._hurry)
        self._announcements.drained()
