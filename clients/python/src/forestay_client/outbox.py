"""What waits to be said, in order; and what becomes of it when the connection breaks."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

from forestay_client.errors import ForestayError, RefusedError, UnknownOutcomeError
from forestay_client.sentences import Sentence, cost_of, new_id, refusal, size_of, write

TRIES = 20
"""How often a request is said that the gateway refuses for its rate. Who is paced meets that rarely, and once."""


class Request:
    """Something to say, and the future of its answer."""

    def __init__(self, said: Mapping[str, object] | bytes, *, repeatable: bool = False, own: bool = False) -> None:
        """Raises UnsendableError for what JSON has no word for."""
        self.id = None if isinstance(said, bytes) else new_id()
        """None where no answer comes: to have written it is the answer then."""
        self.data = said if isinstance(said, bytes) else write({**said, "id": self.id})
        self.size = size_of(self.data)
        self.cost = 1 if isinstance(said, bytes) else cost_of(said)
        self.repeatable = repeatable
        """Whether to say it again on the next connection does no harm."""
        self.leaves = None if isinstance(said, bytes) or said["type"] != "leave" else said["room"]
        """The room, if this is to leave it."""
        self.own = own
        """Whether it is the client's, about one connection, and not the application's."""
        self.written_on: object = None
        """The connection that it was given to; None where none has it."""
        self.written_at = 0.0
        """When, by the clock of the loop."""
        self.tries = 0
        self.answer: asyncio.Future[Sentence] = asyncio.get_running_loop().create_future()

    def answered(self, sentence: Sentence) -> None:
        if self.answer.done():  # nobody waits for it any more
            return
        if sentence.get("type") == "error":
            self._fail(refusal(sentence))
        else:
            self.answer.set_result(sentence)

    def failed(self) -> None:
        """There will be no answer."""
        if not self.answer.done():
            self._fail(UnknownOutcomeError(None) if self.written_on else RefusedError("unavailable", "not connected"))

    def refuse(self, error: RefusedError) -> None:
        """It is not going to be said, and why."""
        if not self.answer.done():
            self._fail(error)

    def _fail(self, error: ForestayError) -> None:
        self.answer.set_exception(error)
        # asyncio would complain of an error that nobody asks for; who has asked hears it all the same.
        self.answer.exception()


class Outbox:
    """Requests of the application that no connection has taken yet."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[Request] = deque()
        self._left_at = 0.0
        self.taker: object = None
        """The connection that takes them, if there is one."""
        self.wake: Callable[[], None] = lambda: None
        """Called when there is something to take."""

    def add(self, request: Request) -> None:
        if len(self._waiting) >= self._limit:
            raise RefusedError("unavailable", f"{self._limit} requests wait to be sent already")
        self._waiting.append(request)
        self.wake()

    def served(self, taker: object, wake: Callable[[], None]) -> None:
        """A connection takes them from now on."""
        self.taker, self.wake = taker, wake
        wake()

    def left(self, taker: object, requests: list[Request]) -> None:
        """A connection takes no more of them, and had not said these."""
        if self.taker is taker:
            self.taker, self._left_at = None, asyncio.get_running_loop().time()
        self._waiting.extendleft(reversed(requests))
        self.wake()

    def head(self) -> Request | None:
        """The next one that somebody still waits for; it stays here until it is taken."""
        while self._waiting and self._waiting[0].answer.done():
            self._waiting.popleft()
        return self._waiting[0] if self._waiting else None

    def take(self) -> Request | None:
        """The next one that somebody still waits for."""
        return None if self.head() is None else self._waiting.popleft()

    def lost(self, requests: list[Request]) -> None:
        """The connection broke before these were answered."""
        for request in reversed(requests):
            if request.repeatable:
                request.written_on = None
                self._waiting.appendleft(request)
            else:
                request.failed()
        self.wake()

    async def answer(self, request: Request, patience: float) -> Sentence:
        """The answer. Raises TimeoutError after `patience` seconds since it was written, or without a connection.

        What a connection takes its time to write, because of its rate, does not time out meanwhile.
        """
        loop = asyncio.get_running_loop()
        since = loop.time()
        while True:
            if request.written_on is not None:
                since = max(since, request.written_at)
            elif self.taker is not None:
                since = loop.time()
            else:
                since = max(since, self._left_at)
            if (left := since + patience - loop.time()) <= 0:
                raise TimeoutError
            await asyncio.wait({request.answer}, timeout=left)
            if request.answer.done():
                return request.answer.result()

    def discard(self, request: Request) -> None:
        """Nobody waits for it any more; if it was not written yet, it never is."""
        if request in self._waiting:
            self._waiting.remove(request)

    def fail(self) -> None:
        """There will be no connection."""
        while self._waiting:
            self._waiting.popleft().failed()
