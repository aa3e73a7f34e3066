"""What the core gets from the process: the loop, the time, ids, random numbers, tasks and observers."""

from asyncio import AbstractEventLoop
from collections.abc import Callable
from dataclasses import dataclass, field

from forestay.core.facts.traffic import Traffic
from forestay.core.facts.watching import Watching
from forestay.core.ports.observer import Observer
from forestay.core.ports.tasks import Tasks
from forestay.core.ports.tracer import Tracer


@dataclass(frozen=True, slots=True)
class Runtime:
    """Handed to the parts of the core, so that a test can hand in others."""

    loop: AbstractEventLoop
    """Schedules callbacks, and tells the monotonic time in seconds that they are planned in.

    That time may move in steps of a millisecond. What measures how long something took uses `perf`.
    """
    clock: Callable[[], float]
    """Tells Unix time in seconds."""
    perf: Callable[[], float]
    """Tells fine monotonic time in seconds. It measures durations, and is not compared with the loop's time."""
    new_id: Callable[[], str]
    """Makes an id that is unique among all pods."""
    uniform: Callable[[float, float], float]
    """Draws a random number between two bounds."""
    tasks: Tasks
    observer: Observer | None = None
    """None where nothing is observed. A fact then costs one comparison."""
    tracer: Tracer | None = None
    """None where no spans are made. The trace context of a caller then passes through unchanged."""
    traffic: Traffic = field(default_factory=Traffic)
    """The numbers to which each message is added."""
    watching: Watching = field(default_factory=Watching)
    """Who looks at this pod."""
