"""A module of hooks that answers calls, for the tests: FORESTAY_HOOKS_MODULE=tests.support.call_hooks.

Where the gateway runs in the test's own loop, the test holds answers back by `Gate`.
"""

import asyncio
from typing import Final

from forestay.hooks import CallEvent, Refuse, Result

MODULE: Final = __name__
SECRET: Final = "the password of the database"
"""In the error that a hook raises. It must not leave the pod."""

_gates: dict[str, "Gate"] = {}


class Gate:
    """Holds the calls of `hold` with its name until the test opens it."""

    def __init__(self, name: str) -> None:
        self.asked = asyncio.Event()
        """Set when a call has come to it."""
        self.opened = asyncio.Event()
        self.count = 0
        """Calls that have come."""
        _gates[name] = self

    async def held(self) -> None:
        self.count += 1
        self.asked.set()
        await self.opened.wait()


async def call(event: CallEvent) -> object:
    """Answer by the method."""
    match event.method:
        case "echo":
            return Result(event.payload)
        case "whoami":
            return Result({"user": event.user, "wire": event.caller.wire, "connection": event.connection})
        case "hold":
            gate = _gates[event.payload]
            await gate.held()
            return Result(f"{event.payload} is open")
        case "orders.create":
            return Result({"id": 17})
        case "buy":
            return Refuse("sold_out", "none left")
        case "raise":
            raise RuntimeError(SECRET)
        case "hang":
            return await asyncio.get_running_loop().create_future()
        case "large":
            return Result("x" * 1_000_000)
        case "garbage":
            return {"not": "an answer"}
        case method:
            return Refuse("no_such_method", f"there is no method {method!r}")
