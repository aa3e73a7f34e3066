"""Asks the functions of a module of hooks, in this process."""

from typing import Final

from forestay.core.ports.hook_events import HookEvent
from forestay.core.ports.hooks import HookFailed
from forestay.hooks.loading import HookModule, place_of

_LONGEST_TEXT: Final = 200


class PythonHooks:
    """The HookForm of a module."""

    def __init__(self, module: HookModule) -> None:
        self._file = module.file
        self._functions = module.functions

    async def ask(self, event: HookEvent, /) -> object:
        """See HookForm.ask."""
        try:
            return await self._functions[event.hook](event)
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            # A hook that exits must not end the pod. A real interrupt is a signal, which the loop takes.
            where = place_of(error.__traceback__, self._file) or self._file
            raise HookFailed("raised", f"{type(error).__name__}: {str(error)[:_LONGEST_TEXT]} ({where})") from None

    async def close(self) -> None:
        """See HookForm.close."""
