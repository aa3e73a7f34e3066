"""What came from one side, kept in lanes: order counts within a lane, and not between two."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Hashable
from typing import Any


class Ended(Exception):
    """Nothing more will come; the words say why."""


class Lanes:
    """First in, first out, by lane."""

    def __init__(self) -> None:
        self._lanes: defaultdict[Hashable, deque[dict[str, Any]]] = defaultdict(deque)
        self._changed = asyncio.Event()
        self._ended = ""

    def put(self, lane: Hashable, thing: dict[str, Any]) -> None:
        self._lanes[lane].append(thing)
        self._wake()

    def end(self, why: str) -> None:
        self._ended = why
        self._wake()

    async def take(self, lane: Hashable, patience: float) -> dict[str, Any]:
        """The next of `lane`, when it is there. Raises TimeoutError, or Ended."""
        async with asyncio.timeout(patience):
            while not self._lanes[lane]:
                if self._ended:
                    raise Ended(self._ended)
                changed = self._changed
                await changed.wait()
        return self._lanes[lane].popleft()

    def left(self) -> list[tuple[Hashable, dict[str, Any]]]:
        """What nobody took."""
        return [(lane, thing) for lane, things in self._lanes.items() for thing in things]

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
