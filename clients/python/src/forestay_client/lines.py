"""What all rooms of a client share: its connections, what waits to be said, and who bound which type."""

from collections.abc import Callable
from dataclasses import dataclass

from forestay_client.backoff import Backoff
from forestay_client.connection import Connection
from forestay_client.errors import ForestayError, RefusedError, TooLargeError, UnknownOutcomeError
from forestay_client.events import Handlers
from forestay_client.membership import Membership
from forestay_client.options import Options
from forestay_client.outbox import Outbox, Request
from forestay_client.sentences import Sentence


@dataclass(frozen=True, slots=True)
class Place:
    """A room, as far as the client has to do with it."""

    membership: Membership
    handlers: Handlers
    disconnected: Callable[[ForestayError | None], None]
    """Called with the reason when the client is disconnected, and with None when it comes back."""


class Lines:
    def __init__(self, options: Options) -> None:
        self.options = options
        self.outbox = Outbox(options.outbox)
        self.rooms: dict[str, Place] = {}
        self.bindings: dict[int, str] = {}
        """The room of each binary type; the gateway forgets it with the connection."""
        self.current: Connection | None = None
        self.successor: Connection | None = None
        """The one that will take over, while the client moves."""
        self.error: ForestayError | None = None
        """Why the client is disconnected for good."""

    def open(self) -> list[Connection]:
        """The connections on which rooms are to be joined."""
        return [each for each in (self.current, self.successor) if each is not None]

    def backoff(self, spread: float = 2.0) -> Backoff:
        return Backoff(self.options.min_delay, self.options.max_delay, spread)

    async def request(self, request: Request, patience: float | None = None) -> Sentence:
        """Send something as soon as there is a connection; its answer.

        `patience`: seconds for it, in place of the `timeout` of the options. Raises RefusedError, or
        UnknownOutcomeError where it was sent and no answer came.
        """
        if self.error is not None:
            raise RefusedError("unavailable", str(self.error))
        limit = 0 if self.current is None else self.current.welcome.limits.message_bytes
        if limit and request.size > limit:
            raise TooLargeError(request.size, limit)
        self.outbox.add(request)
        try:
            return await self.outbox.answer(request, self.options.timeout if patience is None else patience)
        except TimeoutError:
            if request.written_on and not request.repeatable:
                raise UnknownOutcomeError(None) from None
            missing = "answer" if request.written_on else "connection"
            raise RefusedError("unavailable", f"no {missing} in time") from None
        finally:
            request.answer.cancel()
            self.outbox.discard(request)
