"""Listens on a port and accepts connections, as long as there is room and there are files for them.

asyncio's own server logs each accept that fails, and accepts a whole backlog before anything else runs.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from typing import Final

import structlog

from forestay.edge.listening.lobby import Lobby
from forestay.edge.log_throttle import LogThrottle

log = structlog.get_logger(__name__)

# Connections that wait to be accepted; the kernel caps it at net.core.somaxconn. With less, many clients that reconnect
# at once would wait for SYN retransmissions.
_BACKLOG: Final = 4096

# Connections that are accepted in one step of the loop. Between two steps the others get their turn.
_AT_ONCE: Final = 64

# Connections that go for new ones in one step. Their files are free in the next one.
_DISMISSED_AT_ONCE: Final = 16

# Seconds of rest: where the port is full, and where the process or the machine has no more files or memory.
_REST_FULL: Final = 0.05
_REST_WITHOUT_FILES: Final = 1.0

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_ADVICE: Final = {
    errno.EADDRINUSE: "choose another port, or stop the process that has it",
    errno.EACCES: "choose a port from 1024, or give the process the right to this one",
}

_ALL_ADDRESSES: Final = ("*", "::")
_ALL_OF_IPV4: Final = "0.0.0.0"  # noqa: S104 - the operator asked for all addresses


class CannotListen(Exception):
    """A port is taken or may not be used; the message names it and says what to do."""


class Listener:
    """Listens on one port."""

    def __init__(self, lobby: Lobby, make: Callable[[], asyncio.Protocol]) -> None:
        """`make`: returns the protocol of a new connection, which tells the lobby when it is closed."""
        self._lobby = lobby
        self._make = make
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._rests: dict[socket.socket, asyncio.TimerHandle] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self._failed = LogThrottle("connections not accepted")

    async def open(self, host: str, port: int) -> int:
        """Listen, and return the port. `port`: 0 for any free one. Raises CannotListen.

        `host`: an address or a name; `*` and `::` are all addresses, of IPv4 and IPv6.
        """
        self._sockets = await _bind(self._loop, host, port)
        for one in self._sockets:
            one.listen(_BACKLOG)
            self._loop.add_reader(one, self._accept, one)
        return int(self._sockets[0].getsockname()[1])

    def close(self) -> None:
        """Stop listening. Connections stay."""
        for rest in self._rests.values():
            rest.cancel()
        self._rests.clear()
        for one in self._sockets:
            self._loop.remove_reader(one)
            one.close()
        self._sockets.clear()

    def _accept(self, listening: socket.socket) -> None:
        dismissed = 0
        for number in range(_AT_ONCE):
            if self._lobby.blocked:
                if not number:
                    self._failed.count("the port is full")
                    self._rest(listening, _REST_FULL)
                return
            try:
                accepted, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                # The connection waits in the backlog, so its socket would wake the loop again and again.
                self._failed.count(os.strerror(error.errno))
                self._rest(listening, _REST_WITHOUT_FILES)
                return
            accepted.settimeout(0)
            dismissed += self._lobby.accepted()
            task = self._loop.create_task(self._connect(accepted))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)
            if dismissed >= _DISMISSED_AT_ONCE:
                return

    async def _connect(self, accepted: socket.socket) -> None:
        protocol = self._make()
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, accepted)
        except OSError:
            # The client has gone. The transport was not made, so the protocol is not told of its end.
            accepted.close()
            protocol.connection_lost(None)

    def _rest(self, listening: socket.socket, seconds: float) -> None:
        self._loop.remove_reader(listening)
        self._rests[listening] = self._loop.call_later(seconds, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        del self._rests[listening]
        self._loop.add_reader(listening, self._accept, listening)


async def check_free(host: str, port: int) -> None:
    """Check that a Listener could listen there now. Raises CannotListen."""
    for one in await _bind(asyncio.get_running_loop(), host, port):
        one.close()


async def _bind(loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[socket.socket]:
    """Sockets for all addresses of `host`, on one port. Raises CannotListen."""
    try:
        return await _bind_each(loop, host, port)
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "the address must be one of this machine")
        raise CannotListen(f"cannot listen on {host}:{port}: {error.strerror}; {advice}") from None


async def _bind_each(loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[socket.socket]:
    """Raises OSError."""
    if host in _ALL_ADDRESSES:
        if socket.has_dualstack_ipv6():
            return [_bound(socket.AF_INET6, ("::", port), both=True)]
        host = _ALL_OF_IPV4
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            # A name can have several addresses. They share the port that the first one got.
            chosen = port or (sockets[0].getsockname()[1] if sockets else 0)
            sockets.append(_bound(family, (address[0], chosen, *address[2:])))
    except OSError:
        for one in sockets:
            one.close()
        raise
    return sockets


def _bound(family: int, address: tuple[object, ...], *, both: bool = False) -> socket.socket:
    """A socket that is bound to `address`. `both`: one for IPv6 takes IPv4 too."""
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.settimeout(0)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
        one.bind(address)
    except OSError:
        one.close()
        raise
    return one
