"""Handlers by event; one that raises is logged, and breaks nothing."""

import inspect
import logging
from collections.abc import Callable
from typing import Any

_LOG = logging.getLogger("forestay_client")

Handler = Callable[[Any], object]


class Handlers:
    """Who wants to hear of what, in the order in which they said so."""

    def __init__(self, *events: str) -> None:
        self._handlers: dict[str, list[Handler]] = {event: [] for event in events}

    def add(self, event: str, handler: Handler) -> Callable[[], None]:
        """Call `handler` with each `event` from now on; what is returned ends that."""
        if event not in self._handlers:
            raise ValueError(f"no event {event!r}; there are {', '.join(self._handlers)}")
        if inspect.iscoroutinefunction(handler):
            # Nobody would await it, and two messages could be handled at once.
            raise TypeError("a handler is a plain function; to await something, use `async for`")
        self._handlers[event].append(handler)

        def remove() -> None:
            if handler in self._handlers[event]:
                self._handlers[event].remove(handler)

        return remove

    def emit(self, event: str, value: object) -> None:
        for handler in tuple(self._handlers[event]):
            try:
                handler(value)
            except Exception:  # noqa: BLE001 - whatever the application did wrong, the client goes on
                _LOG.exception("a handler of %r raised", event)
