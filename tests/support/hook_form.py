"""A form of hooks whose answers a test decides."""

import asyncio
from collections.abc import Awaitable, Callable

from forestay.core.ports.hook_events import HookEvent
from forestay.core.ports.hooks import Allow, Result
from forestay.core.rules.hooks import Hook
from forestay.pod.hooks import Application


class AskedForm:
    """The HookForm that a function of a test answers for. It keeps what it was asked."""

    def __init__(self, answer: Callable[[HookEvent], Awaitable[object]] | None = None) -> None:
        """Without `answer` everything is allowed at once."""
        self._answer = answer
        self.asked: list[HookEvent] = []
        self.running = 0
        self.closed = False

    async def ask(self, event: HookEvent, /) -> object:
        self.asked.append(event)
        self.running += 1
        try:
            if self._answer is not None:
                return await self._answer(event)
        finally:
            self.running -= 1
        return Result() if event.hook is Hook.CALL else Allow()

    async def close(self) -> None:
        self.closed = True

    def about(self, hook: Hook) -> list[HookEvent]:
        """What it was asked about `hook`."""
        return [event for event in self.asked if event.hook is hook]


class Gate:
    """Lets hooks wait until the test opens it."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def wait(self, event: HookEvent) -> object:
        await self.open.wait()
        return Allow()


def application(form: AskedForm, *asked: Hook) -> Application:
    """The application behind `form`. `asked`: the hooks that are about no room; default all of them."""
    return Application(form, frozenset(asked or (Hook.CONNECT, Hook.CALL, Hook.DISCONNECT)))
