"""Time, ids, random numbers and observers: given to the core, so that a test can give others."""

from asyncio import AbstractEventLoop
from collections.abc import Callable
from dataclasses import dataclass

from forestay.core.ports.observer import Observer
from forestay.core.ports.tracer import Tracer


@dataclass(frozen=True, slots=True)
class Runtime:
    loop: AbstractEventLoop
    """Schedules, and tells monotonic time in seconds."""
    clock: Callable[[], float]
    """Unix seconds."""
    new_id: Callable[[], str]
    """A name that no connection on any pod has had."""
    uniform: Callable[[float, float], float]
    """A random number between two."""
    observer: Observer | None = None
    """None where nobody listens: facts then cost a comparison."""
    tracer: Tracer | None = None
    """None where there are no traces: what a caller sent along then travels as it came."""
