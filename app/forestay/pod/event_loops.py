"""Chooses the event loop of a pod: uvloop where it is installed, or asyncio's own."""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Final

import structlog

from forestay.core.ports.hooks import explained
from forestay.edge.log_throttle import LogThrottle
from forestay.hooks.loading import place_of
from forestay.settings.secrets import variable_of
from forestay.settings.surroundings import Loop

log = structlog.get_logger(__name__)

NewLoop = Callable[[], asyncio.AbstractEventLoop]
"""Makes the event loop of a pod."""


_OLDEST: Final = (0, 23)
"""The first release of uvloop that gives a write to the kernel at once.

With older ones all that was just written seems to wait for the client, and clients would be taken for slow ones.
"""


_LATEST_END: Final = 2.0
"""Seconds from the stop of a pod to the end of its process."""


def choose(loop: Loop) -> NewLoop:
    """What makes the loop that the setting asks for. Raises ValueError where that is uvloop, and it is missing."""
    if loop == "asyncio":
        return asyncio.new_event_loop
    try:
        return _uvloop()
    except ImportError as error:
        if loop == "auto":
            return asyncio.new_event_loop
        raise ValueError(
            f"{variable_of('loop')} is uvloop, which cannot be used ({error}); install forestay[uvloop], "
            "or set it to auto or asyncio"
        ) from None


def _uvloop() -> NewLoop:
    """Raises ImportError where uvloop is missing or too old."""
    import uvloop

    version = str(vars(uvloop)["__version__"])
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
        raise ImportError(f"uvloop {version} is too old")
    return uvloop.new_event_loop


def run(new_loop: NewLoop, work: Coroutine[object, object, None]) -> None:
    """Run a pod on a new loop, to its end. Soon after it the process ends, whatever the application still runs.

    Python would wait for tasks that ignore their cancellation and for threads, for ever.
    """
    _hold_standard_files()
    failed = True
    with asyncio.Runner(loop_factory=new_loop) as runner:
        try:
            _run_to_its_end(runner, work)
            failed = False
        finally:
            latest = threading.Timer(_LATEST_END, _end_process, (int(failed),))
            latest.daemon = True
            latest.start()


def _run_to_its_end(runner: asyncio.Runner, work: Coroutine[object, object, None]) -> None:
    """Run `work` until it returns, whatever the tasks do that the application started.

    SystemExit and KeyboardInterrupt of a task stop the loop. It goes on where it was. A real interrupt is a signal,
    which `work` takes.
    """
    loop = runner.get_loop()
    loop.set_exception_handler(_but_escaped)
    throttle = LogThrottle("the application tried to end the process, which goes on", log.error)
    main: asyncio.Task[object] | None = None

    async def known() -> None:
        nonlocal main
        main = asyncio.current_task()
        await work

    go_on: Callable[[], object] = partial(runner.run, known())
    ended = False
    while not ended:
        try:
            go_on()
            ended = True
        except (SystemExit, KeyboardInterrupt) as error:
            if main is None or main.done():
                raise
            where = place_of(error.__traceback__, None) or "no place is known"
            reason = (
                f"{explained(error)} in a task or a callback that it started ({where}); raise another exception there"
            )
            loop.call_soon(throttle.count, type(error).__name__, reason)
            go_on = partial(loop.run_until_complete, main)


def _but_escaped(loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """Log what nobody has caught, but what has a line already."""
    if not isinstance(context.get("exception"), SystemExit | KeyboardInterrupt):
        loop.default_exception_handler(dict(context))


def _end_process(status: int) -> None:
    log.warning(
        "process ended, though a task or a thread still ran",
        reason="a hook did not end when it was cancelled, or waits for a thread; let it end within its time",
    )
    # No exit function runs: one of them waits for the threads.
    logging.shutdown()
    os._exit(status)


def _hold_standard_files() -> None:
    """Open the null device in the place of each standard file that is closed.

    Else the loop's own files would get their numbers, and uvloop aborts the process when it closes such a file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # It gets the lowest free number, which is this one.
            os.open(os.devnull, os.O_RDWR)


def name_of(loop: asyncio.AbstractEventLoop) -> str:
    """The name of the library that a running loop comes from: `asyncio` or `uvloop`."""
    return type(loop).__module__.partition(".")[0]
