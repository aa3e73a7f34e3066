"""Knows the open WebSockets of one port: ends those whose message is not complete in time, and all when it closes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from forestay.protocol.codes import CloseCode, Ending

FRAGMENTS: Final = 1024
"""Fragments that one message may have, and one more for each `BYTES_PER_FRAGMENT` of the largest message."""
BYTES_PER_FRAGMENT: Final = 64

_TOO_LONG: Final = Ending(CloseCode.NO_PONG, "a message was not complete in time")


@dataclass(frozen=True, slots=True)
class MessageLimits:
    """What one message of a client may take, beside its size."""

    seconds: float
    """From its first byte to its last one."""
    fragments: int


class OpenSocket(Protocol):
    """A WebSocket, as this module needs it."""

    def reading(self) -> bool:
        """Whether we take what the client sends."""

    def break_off(self, ending: Ending) -> None:
        """End the client, which broke a rule. Nothing more is read from it."""

    def stop(self) -> None:
        """End at once, without a word."""


class Assemblies:
    """The messages of which a part has come and the rest has not, of all clients."""

    def __init__(self, limits: MessageLimits) -> None:
        self.limits = limits
        self._begun: dict[OpenSocket, float] = {}
        """By loop time, the oldest first."""
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._begun)

    def __contains__(self, socket: OpenSocket) -> bool:
        return socket in self._begun

    def begin(self, socket: OpenSocket) -> None:
        """A message of this client has begun just now."""
        loop = asyncio.get_running_loop()
        self._begun.pop(socket, None)
        self._begun[socket] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self.limits.seconds, self._look)

    def end(self, socket: OpenSocket) -> None:
        """No message of this client is incomplete."""
        self._begun.pop(socket, None)

    def _look(self) -> None:
        """End the clients that took too long, and look again when the next one may."""
        loop = asyncio.get_running_loop()
        while self._begun:
            socket, begun = next(iter(self._begun.items()))
            rest = begun + self.limits.seconds - loop.time()
            if rest > 0:
                self._timer = loop.call_later(rest, self._look)
                return
            if socket.reading():
                self.end(socket)
                socket.break_off(_TOO_LONG)
            else:
                # We read nothing from it: it has not taken its answers, or has sent more than we could carry out.
                self.begin(socket)
        self._timer = None


class OpenSockets:
    """The WebSockets of one port, from the upgrade until their connection is lost."""

    def __init__(self, limits: MessageLimits, lost: Callable[[], None]) -> None:
        """`lost`: called when the connection of one is lost."""
        self.assemblies = Assemblies(limits)
        self._lost = lost
        self._open: set[OpenSocket] = set()
        self._none_open = asyncio.Event()
        self._none_open.set()

    def add(self, socket: OpenSocket) -> None:
        """A request was upgraded."""
        self._open.add(socket)
        self._none_open.clear()

    def remove(self, socket: OpenSocket) -> None:
        """The connection of one is lost."""
        self._open.discard(socket)
        self._lost()
        if not self._open:
            self._none_open.set()

    async def close(self, seconds: float) -> None:
        """Wait until none is open, at most `seconds`. Then end the others."""
        try:
            async with asyncio.timeout(seconds):
                await self._none_open.wait()
        except TimeoutError:
            pass
        for socket in list(self._open):
            socket.stop()
