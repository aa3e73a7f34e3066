"""Chooses the event loop of a pod: uvloop where it is installed, or asyncio's own."""

import asyncio
from collections.abc import Callable

from forestay.settings.secrets import variable_of
from forestay.settings.surroundings import Loop

NewLoop = Callable[[], asyncio.AbstractEventLoop]
"""Makes the event loop of a pod."""


def choose(loop: Loop) -> NewLoop:
    """What makes the loop that the setting asks for. Raises ValueError where that is uvloop, and it is missing."""
    if loop == "asyncio":
        return asyncio.new_event_loop
    try:
        import uvloop
    except ImportError as error:
        if loop == "auto":
            return asyncio.new_event_loop
        raise ValueError(
            f"{variable_of('loop')} is uvloop, which cannot be loaded ({error}); install forestay[uvloop], "
            "or set it to auto or asyncio"
        ) from None
    return uvloop.new_event_loop


def name_of(loop: asyncio.AbstractEventLoop) -> str:
    """The name of the library that a running loop comes from: `asyncio` or `uvloop`."""
    return type(loop).__module__.partition(".")[0]
