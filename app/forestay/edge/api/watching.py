"""Streams the frames of a connection, or what is published in a room, to an operator: a line of JSON for each."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import msgspec
from aiohttp import web

from forestay.core.cluster.watcher import Watcher
from forestay.core.cluster.watches import MOST_WATCHES
from forestay.core.rules.scopes import Grant, Scope
from forestay.core.sessions.backend import Backend
from forestay.edge.api.handler import Paths
from forestay.edge.api.looking import connection_in_path, no_connection
from forestay.edge.request_parts import name_in_path, number_in_query
from forestay.edge.time_limits import lift
from forestay.protocol.codes import ErrorCode, Refusal

NewWatcher = Callable[[str | None, str | None], Watcher]
"""Makes a Watcher of a connection, or of a room."""

# Streams at once on this pod.
_MOST: Final = 10
# Seconds of a stream, where the request does not say, and at most.
_SECONDS: Final = 600
_MOST_SECONDS: Final = 3600
# Seconds after which a watch is renewed, and after which a line says that the stream is alive.
_RENEWAL: Final = 5.0
# Seconds for which a reader may take nothing.
_PATIENCE: Final = 30.0
# Seconds for the last lines where this pod stops.
_CLOSING: Final = 1.0

_FULL: Final = f"the pod of this connection has {MOST_WATCHES} watches already, for all pods together; end one"

# The place of the name in both paths.
_NAME: Final = -2


class WatchPaths:
    """The paths that stream."""

    def __init__(self, backend: Backend, new: NewWatcher) -> None:
        self._backend = backend
        self._new = new
        self._open: set[Watcher] = set()
        self._none_open = asyncio.Event()
        self._closed = False

    def paths(self) -> Paths:
        return {
            "/v1/connections/{id}/watch": {"GET": self._connection},
            "/v1/rooms/{room}/watch": {"GET": self._room},
        }

    async def _connection(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        grant.require_everywhere(Scope.READ)
        return await self._stream(request, connection_in_path(request, _NAME), None)

    async def _room(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        room = self._backend.room(name_in_path(request, _NAME))
        grant.require(Scope.READ, room)
        return await self._stream(request, None, room)

    async def _stream(self, request: web.Request, connection: str | None, room: str | None) -> web.StreamResponse:
        seconds = number_in_query(request, "seconds", 0, _MOST_SECONDS, _SECONDS)
        async with self._watcher(connection, room) as watcher:
            pods, complete = await watcher.renew()
            if connection is not None and not pods:
                raise _unavailable(_FULL) if watcher.full else no_connection(complete=complete)
            first = {"pods": pods, "complete": complete, "payloads": watcher.payloads}
            response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"})
            lift(request)
            await response.prepare(request)
            if request.method != "HEAD":
                lines = _Lines(response)
                await lines.write("watching", first)
                await _Stream(lines, watcher, asyncio.get_running_loop().time() + seconds).run()
            return response

    @asynccontextmanager
    async def _watcher(self, connection: str | None, room: str | None) -> AsyncIterator[Watcher]:
        if self._closed:
            raise _unavailable("this pod stops; ask another pod")
        if len(self._open) >= _MOST:
            raise _unavailable(f"{_MOST} watches are open on this pod already; end one, or ask another pod")
        watcher = self._new(connection, room)
        self._open.add(watcher)
        self._none_open.clear()
        try:
            yield watcher
        finally:
            try:
                # The pods are told also where this request is cancelled.
                await asyncio.shield(watcher.end())
            finally:
                self._open.remove(watcher)
                if not self._open:
                    self._none_open.set()

    async def close(self) -> None:
        """End all streams with their last lines, because this pod stops. Waits for them for a moment."""
        self._closed = True
        if self._open:
            for watcher in self._open:
                watcher.stop()
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSING):
                    await self._none_open.wait()


def _unavailable(message: str) -> Refusal:
    return Refusal(ErrorCode.UNAVAILABLE, message, retry_after=_RENEWAL)


class _Lines:
    """Writes lines to a reader, and gives up where it takes nothing for too long."""

    def __init__(self, response: web.StreamResponse) -> None:
        self._response = response

    async def write(self, kind: str, fields: dict[str, object]) -> None:
        await self.write_all([(kind, fields)])

    async def write_all(self, lines: list[tuple[str, dict[str, object]]]) -> None:
        """Raises TimeoutError or ConnectionError where the reader does not take them."""
        now = round(time.time(), 3)
        data = b"".join([msgspec.json.encode({"kind": kind, "at": now} | fields) + b"\n" for kind, fields in lines])
        async with asyncio.timeout(_PATIENCE):
            await self._response.write(data)


class _Stream:
    """One stream, from its first frame to its end."""

    def __init__(self, lines: _Lines, watcher: Watcher, until: float) -> None:
        """`until`: loop time."""
        self._lines = lines
        self._watcher = watcher
        self._until = until

    async def run(self) -> None:
        """Write frames until the time is over, nothing more comes, or the reader is gone."""
        loop = asyncio.get_running_loop()
        renewing = loop.create_task(self._renew())
        try:
            reason = "over"
            while (left := self._until - loop.time()) > 0:
                frames, dropped = await self._watcher.next(min(left, _RENEWAL))
                lines: list[tuple[str, dict[str, object]]] = [
                    ("frame", {"pod": pod} | msgspec.to_builtins(frame)) for pod, frame in frames
                ]
                if dropped:
                    lines.append(("dropped", {"frames": dropped}))
                if not lines and left > _RENEWAL and not self._watcher.ended:
                    lines.append(("alive", {}))
                if lines:
                    await self._lines.write_all(lines)
                if self._watcher.ended:
                    reason = self._watcher.ended
                    break
            await self._lines.write("end", {"reason": reason})
        except (TimeoutError, ConnectionError):
            # The reader is gone, or takes nothing: there is nobody to tell.
            return
        finally:
            renewing.cancel()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_RENEWAL)
            await self._watcher.renew()
