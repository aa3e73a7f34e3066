"""Lets handshakes that begin at the same time take each of their steps together.

A handshake runs so much code once that the caches of a processor do not hold it. Where hundreds of clients come back at
once, all of them take a step before any of them takes the next one. That costs much less CPU than one whole handshake
after the other.
"""

from asyncio import sleep


class Lockstep:
    """The handshakes that are under way. Each is in a task of its own."""

    def __init__(self) -> None:
        self._under_way = 0

    def enter(self) -> None:
        """A handshake is about to begin. It is counted before its task runs, so that the first one waits for others."""
        self._under_way += 1

    def leave(self) -> None:
        """A handshake has ended."""
        self._under_way -= 1

    async def step(self) -> None:
        """Let the others take the step that the caller has taken. One that is alone does not wait."""
        if self._under_way > 1:
            await sleep(0)
