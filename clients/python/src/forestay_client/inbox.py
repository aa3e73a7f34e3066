"""The messages of a room that wait for its `async for`; bounded, and honest about what it dropped."""

import asyncio
from collections import deque
from dataclasses import replace

from forestay_client.errors import ForestayError
from forestay_client.messages import Message


class Inbox:
    """Begins to keep messages before anybody iterates, so that none is lost between a join and its loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._messages: deque[Message] = deque()
        self._gap: str | None = None
        self._open = False
        self._read = False
        self._told = False
        self._error: ForestayError | None = None
        self._wake = asyncio.Event()

    def open(self) -> None:
        """Messages are coming."""
        self._open, self._error = True, None

    def close(self, error: ForestayError | None = None) -> None:
        """No more are coming: loops end, with `error` where there is one, after what is here already."""
        self._open, self._error = False, error
        self._wake.set()

    def gap(self, reason: str) -> None:
        """Messages are missing in front of the next one."""
        self._gap = reason

    def add(self, message: Message) -> bool:
        """Keep a message; whether this is news: one had to go for it that somebody would have read."""
        news = False
        if len(self._messages) >= self._limit:
            news = self._read and not self._told
            self._told = news or self._told
            self._drop()
        self._messages.append(message if self._gap is None else replace(message, gap=self._gap))
        self._gap = None
        self._wake.set()
        return news

    def _drop(self) -> None:
        if not self._read:
            # Handlers do all the work, or the loop comes late: there is no point in keeping the newest of too many.
            self._messages.clear()
            self._gap = "overflow"
            return
        gap = self._messages.popleft().gap or "overflow"
        if self._messages:
            self._messages[0] = replace(self._messages[0], gap=self._messages[0].gap or gap)
        else:
            self._gap = self._gap or gap

    async def take(self) -> Message | None:
        """The next message, or None when no more are coming. Raises what ended them."""
        self._read = True
        while not self._messages:
            if not self._open:
                if self._error is not None:
                    raise self._error
                return None
            self._wake.clear()
            await self._wake.wait()
        self._told = False
        return self._messages.popleft()
