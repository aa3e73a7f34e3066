"""One connection that is kept: found, made, watched, and made again after a rest when it breaks.

Whoever uses it is told synchronously of its end, so that nothing is written into a connection that is gone. This module
does not know what is said over it.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final, Protocol

from forestay.bus.redis.client.address import Place
from forestay.bus.redis.client.connection import Away, Misconfigured, Wire

SHORTEST_REST: Final = 0.1
LONGEST_REST: Final = 2.0
"""Seconds. Rests are drawn between nothing and a bound that doubles from the one to the other: pods that lost Redis
together do not come back together."""

# Seconds that a connection must have lived for the next rest to be a short one again.
_STABLE: Final = 5.0

Dial = Callable[[], Awaitable[Wire]]


class Linked(Enum):
    """How far a link is."""

    TRYING = "not connected; nothing says yet that it will not be in a moment"
    UP = "connected"
    DOWN = "not connected, and the last try failed"


class User(Protocol):
    """Who speaks over a link."""

    def connected(self, wire: Wire) -> None: ...

    def received(self, reply: object) -> None: ...

    def disconnected(self, why: str) -> None:
        """What was written and not answered will not be answered."""

    def unreachable(self, error: Away | Misconfigured) -> None:
        """A try failed; the next one comes after a rest."""


def tell_bug(task: asyncio.Task[None]) -> None:
    """A task that ended by itself did so by a mistake of ours, and nobody else would hear of it."""
    if not task.cancelled() and (bug := task.exception()) is not None:
        task.get_loop().call_exception_handler({"message": "a task of the bus failed", "exception": bug, "task": task})


class Link:
    def __init__(self, dial: Dial, user: User, patience: float) -> None:
        """`patience`: seconds for one try."""
        self._dial = dial
        self._patience = patience
        self._user = user
        self._wire: Wire | None = None
        self._gone = asyncio.Event()
        self._urged = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.state = Linked.TRYING

    @property
    def place(self) -> Place | None:
        """Where it leads now; None where it does not."""
        return self._wire.place if self._wire is not None else None

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep())
        self._task.add_done_callback(tell_bug)

    def hurry(self) -> None:
        """Rest no longer: somebody else has just reached the server."""
        if self.state is not Linked.UP:
            self._urged.set()

    def write(self, data: bytes) -> None:
        if self._wire is not None:
            self._wire.write(data)

    def break_off(self, why: str, *, suspect: bool = False) -> None:
        """Give the present connection up and make another. `suspect`: the server is taken for down until it is made."""
        if self._wire is not None:
            self._wire.drop()
            self._lost(why, Linked.DOWN if suspect else Linked.TRYING)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self.break_off("closed", suspect=True)
        self.state = Linked.DOWN

    def _lost(self, why: str, state: Linked = Linked.TRYING) -> None:
        self._wire = None
        self.state = state
        self._gone.set()
        self._user.disconnected(why)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            try:
                wire = await self._try()
            except (Away, Misconfigured) as error:
                self.state = Linked.DOWN
                self._user.unreachable(error)
            else:
                since = loop.time()
                self._gone.clear()
                self._urged.clear()
                self._wire = wire
                self.state = Linked.UP
                wire.attend(self._user.received, self._lost)
                # It may have ended between the greeting and here.
                if self._wire is wire:
                    self._user.connected(wire)
                await self._gone.wait()
                if loop.time() - since > _STABLE:
                    failures = 0
            await self._rest(random.uniform(0, min(LONGEST_REST, SHORTEST_REST * 2**failures)))
            failures = min(failures + 1, 10)

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._urged.wait()
        except TimeoutError:
            return
        self._urged.clear()

    async def _try(self) -> Wire:
        try:
            async with asyncio.timeout(self._patience):
                return await self._dial()
        except TimeoutError:
            raise Away(f"no connection within {self._patience:g} s") from None
