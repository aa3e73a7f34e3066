"""The Tasks port for tests: asyncio's tasks, without restarts and reports."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context


class PlainTasks:
    """Runs each task once, in an empty context as the port promises."""

    def keep(
        self, name: str, work: Callable[[], Coroutine[object, object, None]], *, restart: bool = True
    ) -> asyncio.Task[None]:
        return self.once(name, work())

    def once(self, name: str, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work, name=name, context=Context())
