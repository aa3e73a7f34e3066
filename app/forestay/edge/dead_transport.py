"""Frees asyncio's transport of a lost connection at once, without the garbage collector.

On every Python before 3.12, and after an abort also on later ones, a transport of asyncio refers to its own methods:
that is a reference cycle. The collector runs rarely in a pod (ADR 0006), and what lived through two of its runs waits
for a full one. So each connection that lasted would leave its dead transport behind.
"""

import asyncio
from typing import Final

# The attributes in which a transport keeps its own methods. Newer versions of asyncio clear them in `close`.
_OWN_METHODS: Final = ("_read_ready_cb", "_write_ready")


def free(transport: asyncio.BaseTransport) -> None:
    """Break the cycle of `transport`, whose connection is lost. A transport without such attributes stays as it is."""
    attributes = getattr(transport, "__dict__", {})
    for name in _OWN_METHODS:
        if name in attributes:
            attributes[name] = None
