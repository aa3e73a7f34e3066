"""Aborts the transport of a client that does not take its end in time."""

import asyncio
import weakref


def abort_later(transport: asyncio.Transport, seconds: float) -> None:
    """Abort `transport` in `seconds`, if it is still there."""
    # A weak reference, because nearly every transport is gone before that. A strong one would keep it past the young
    # generation, and on Python 3.11 a dead transport is a cycle that only a full collection frees.
    asyncio.get_running_loop().call_later(seconds, _abort, weakref.ref(transport))


def _abort(transport: "weakref.ref[asyncio.Transport]") -> None:
    alive = transport()
    if alive is not None:
        alive.abort()
