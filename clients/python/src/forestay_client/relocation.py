"""Make before break: the next connection is ready before the gateway closes this one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from forestay_client.backoff import Backoff
from forestay_client.codes import Verdict
from forestay_client.connection import Connection
from forestay_client.handshake import HandshakeError

Open = Callable[[], Awaitable[Connection]]
Enter = Callable[[Connection], Sequence[asyncio.Future[None]]]
"""Join all rooms on a connection; what is done when each of them is joined and has caught up."""


class Relocation:
    """The way from a connection that was told to go to the one that takes its place."""

    def __init__(self, old: Connection, open: Open, enter: Enter, backoff: Backoff) -> None:
        self._old = old
        self._open = open
        self._enter = enter
        self._backoff = backoff
        self._found: Connection | None = None

    async def run(self) -> Connection | None:
        """The connection to go on with, as ready as it could be before the old one ended; None where there is none."""
        notice = self._old.notice.result()
        if not self._old.time_left:
            return None
        seeking = asyncio.ensure_future(self._seek(notice.after))
        ends: set[asyncio.Future[Any]] = {seeking, self._old.closed}
        try:
            await asyncio.wait(ends, timeout=self._old.time_left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            seeking.cancel()
        await asyncio.wait({seeking})
        found = self._found
        return None if found is None or found.closed.done() else found

    async def _seek(self, after: float) -> None:
        await asyncio.sleep(after)
        done = await self._settle_in()
        while not done:
            await asyncio.sleep(self._backoff.next())
            done = await self._settle_in()

    async def _settle_in(self) -> bool:
        """One try; whether there is no use in another."""
        try:
            found = self._found = await self._open()
        except HandshakeError as error:
            await asyncio.sleep(error.ending.retry_after)
            # What it may mean besides is found out in the ordinary way, when the old connection has ended.
            return error.ending.verdict is not Verdict.RECONNECT
        ends: set[asyncio.Future[Any]] = {asyncio.gather(*self._enter(found)), found.closed}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        return not found.closed.done()
