"""Asks the functions of a module of hooks, in this process."""

import asyncio

from forestay.core.ports.hook_events import HookEvent
from forestay.core.ports.hooks import HookFailed, explained
from forestay.hooks.loading import HookModule, place_of


class PythonHooks:
    """The HookForm of a module."""

    def __init__(self, module: HookModule) -> None:
        self._file = module.file
        self._functions = module.functions

    async def ask(self, event: HookEvent, /) -> object:
        """See HookForm.ask."""
        try:
            return await self._functions[event.hook](event)
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:
            # Whatever it is: exits of the hook, groups of exceptions, and panics of libraries in Rust. A real interrupt
            # is a signal, which the loop takes.
            where = place_of(error.__traceback__, self._file) or self._file
            raise HookFailed("raised", f"{explained(error)} ({where})") from error

    async def close(self) -> None:
        """See HookForm.close."""
