"""What waits to be said, in order; and what becomes of it when the connection breaks."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

from forestay_client.errors import ForestayError, RefusedError, UnknownOutcomeError
from forestay_client.sentences import Sentence, new_id, refusal, write


class Request:
    """Something to say, and the future of its answer."""

    def __init__(self, said: Mapping[str, object] | bytes, *, repeatable: bool = False) -> None:
        """Raises ValueError or TypeError for what JSON has no word for."""
        self.id = None if isinstance(said, bytes) else new_id()
        """None where no answer comes: to have written it is the answer then."""
        self.data = said if isinstance(said, bytes) else write({**said, "id": self.id})
        self.repeatable = repeatable
        """Whether to say it again on the next connection does no harm."""
        self.written_on: object = None
        """The connection that it was given to; None where none has it."""
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

    def _fail(self, error: ForestayError) -> None:
        self.answer.set_exception(error)
        # asyncio would complain of an error that nobody asks for; who has asked hears it all the same.
        self.answer.exception()


class Outbox:
    """Requests of the application that no connection has taken yet."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: deque[Request] = deque()
        self.wake: Callable[[], None] = lambda: None
        """Called when there is something to take."""

    def add(self, request: Request) -> None:
        if len(self._waiting) >= self._limit:
            raise RefusedError("unavailable", f"{self._limit} requests wait for a connection already")
        self._waiting.append(request)
        self.wake()

    def take(self) -> Request | None:
        """The next one that somebody still waits for."""
        while self._waiting:
            request = self._waiting.popleft()
            if not request.answer.done():
                return request
        return None

    def lost(self, requests: list[Request]) -> None:
        """The connection broke before these were answered."""
        for request in reversed(requests):
            if request.repeatable:
                request.written_on = None
                self._waiting.appendleft(request)
            else:
                request.failed()
        self.wake()

    def discard(self, request: Request) -> None:
        """Nobody waits for it any more; if it was not written yet, it never is."""
        if request in self._waiting:
            self._waiting.remove(request)

    def fail(self) -> None:
        """There will be no connection."""
        while self._waiting:
            self._waiting.popleft().failed()
