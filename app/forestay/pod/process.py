"""Runs one pod as a process: from its start to the signal that ends it."""

import asyncio
import gc
import signal
from collections.abc import Callable

import structlog

from forestay.pod.inputs import Parts
from forestay.pod.open_settings import open_settings
from forestay.pod.server import Server
from forestay.settings.settings import Settings

log = structlog.get_logger(__name__)

# A full garbage collection walks every connection and finds no garbage. Its pause grows with their number. Young
# objects are collected rarely too: nearly all of ours are freed by their reference count.
_GC_THRESHOLDS = (50_000, 20, 100)

# What ends a pod.
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def serve(settings: Settings, parts: Parts, started: Callable[[int, int], None]) -> None:
    """Run a pod until a signal. SIGTERM drains it over the window, SIGINT without one; a second signal ends the drain.

    `started` is called with both ports when the pod is ready. Raises CannotStart.
    """
    loop = asyncio.get_running_loop()
    asked, hurry = asyncio.Event(), asyncio.Event()
    first: list[int] = []

    def signalled(number: int) -> None:
        first.append(number)
        (hurry if asked.is_set() else asked).set()

    for reason in open_settings(settings, parts.claim_rights):
        log.warning("open setting", reason=reason)
    server = Server(settings, parts)
    for number in _SIGNALS:
        loop.add_signal_handler(number, signalled, number)
    stopping = asyncio.ensure_future(asked.wait())
    starting = asyncio.ensure_future(server.start())
    try:
        # A signal also ends a start that waits for the bus.
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            gc.freeze()
            gc.set_threshold(*_GC_THRESHOLDS)
            started(server.port, server.internal_port)
            await stopping
    finally:
        starting.cancel()
        await asyncio.wait([starting])
        stopping.cancel()
        await server.stop(hurry, paced=first[:1] == [signal.SIGTERM])
        for number in _SIGNALS:
            # All is done. A signal that comes while the interpreter ends must not turn that into a failure.
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)
