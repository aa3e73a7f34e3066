"""The Verifier port: turns what a caller shows into an identity."""

from collections.abc import Awaitable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from forestay.core.rules.access import Identity
from forestay.protocol.codes import ErrorCode, Refusal


class TicketUse(Enum):
    """What a caller shows a ticket for."""

    CONNECT = "connect"
    """To open a connection. The ticket is then used."""
    STREAM = "stream"
    """To open an event stream, which may come back with its secret."""
    RESUME = "resume"
    """To come back: the ticket has opened a stream with this secret."""
    LOOK = "look"
    """To ask whether it would open a connection. The ticket stays as it is."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket that a caller shows in place of a token."""

    text: str
    use: TicketUse = TicketUse.CONNECT
    secret: str = ""
    """Of the stream that it opens, or that it resumes."""


class BadClaims(Refusal):
    """Refuses a token whose signature is good: it has expired, or is not for this gateway."""

    def __init__(self, message: str, user: str) -> None:
        super().__init__(ErrorCode.BAD_TOKEN, message)
        self.user = user


class Verifier(Protocol):
    """Verifies tokens."""

    async def verify(self, token: str, /) -> Identity:
        """The identity in `token`. Raises only Refusal: BAD_TOKEN, or UNAVAILABLE where the keys cannot be fetched.

        It is BadClaims where it is known whose token it is.
        """

    async def close(self) -> None: ...


class Identifier(Protocol):
    """Identifies callers by tokens and by tickets."""

    def verify(self, shown: str | Ticket, /) -> Awaitable[Identity]:
        """See Verifier.verify. UNAVAILABLE is also the refusal while tickets cannot be looked up."""


@dataclass(frozen=True, slots=True)
class PublishedKeys:
    """What is known of an issuer's key set."""

    usable: int
    """How many of its keys verify tokens."""
    age: float
    """Seconds since it was fetched; since the start where it never was."""
