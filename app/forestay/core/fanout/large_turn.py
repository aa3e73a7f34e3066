"""Lets one large thing be encoded in each step of the loop."""

from asyncio import Lock, sleep
from contextlib import AbstractAsyncContextManager
from types import TracebackType


class LargeTurn(AbstractAsyncContextManager[None, None]):
    """The turn to encode something large, kept until the next step of the loop.

    Without it many clients that ask at once would hold the loop for as long as all of their answers take.
    """

    def __init__(self) -> None:
        self._lock = Lock()

    async def __aenter__(self) -> None:
        await self._lock.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await sleep(0)
        finally:
            self._lock.release()
