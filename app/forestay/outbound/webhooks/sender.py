"""Sends one request to the receiver of webhooks, and says what came of it.

Only the status counts. An answer is read no further than that, but for a small rest that lets the connection be used
again.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aiohttp import ClientError, ClientResponse

from forestay.outbound.receiver import Receiver
from forestay.outbound.session import NOT_ABOUT_CONTENT, explained, open_session
from forestay.outbound.signature import signed_headers

CONNECTIONS: Final = 4
"""Requests of one pod at the same time."""

# Seconds for which an idle connection is kept.
_KEEP: Final = 15.0

LONGEST_RETRY_AFTER: Final = 300.0
"""Seconds. A receiver that asks for more is asked again after these."""

# The rest of an answer that is read: bytes, and seconds. A longer or slower one costs its connection.
_REST_BYTES: Final = 4096
_REST_SECONDS: Final = 0.5


class RequestResult(StrEnum):
    """What came of a request."""

    DELIVERED = "delivered"
    """A status from 200 to 299."""
    REFUSED = "refused"
    """Any other status but 410."""
    UNREACHABLE = "unreachable"
    """No connection, or one that broke before the status."""
    TIMEOUT = "timeout"
    GONE = "gone"
    """Status 410: the receiver wants no more webhooks."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request."""

    result: RequestResult
    reason: str
    """What happened, in words that repeat nothing of the answer."""
    status: int = 0
    """0 where none came."""
    retry_after: float = 0.0
    """Seconds after which the receiver wants to be asked again, at most LONGEST_RETRY_AFTER."""

    @property
    def receiver_fails(self) -> bool:
        """Whether any other request would have failed too, as far as can be told."""
        if self.result is RequestResult.REFUSED:
            return not 400 <= self.status < 500 or self.status in NOT_ABOUT_CONTENT
        return self.result in (RequestResult.UNREACHABLE, RequestResult.TIMEOUT)

    @property
    def about_events(self) -> bool:
        """Whether it may be one of the events that the receiver does not take."""
        return self.result is RequestResult.REFUSED and self.status >= 400 and self.status not in NOT_ABOUT_CONTENT


class Sender:
    """Requests to one receiver. Needs a running loop. Raises ValueError where its authority cannot be read."""

    def __init__(self, receiver: Receiver, clock: Callable[[], float]) -> None:
        """`clock`: Unix seconds."""
        self._receiver = receiver
        self._clock = clock
        self._session = open_session(receiver, CONNECTIONS, _KEEP)

    async def send(self, id: str, body: bytes) -> Answer:
        """Send `body` as the webhook `id`. Raises nothing but CancelledError."""
        headers = signed_headers(self._receiver.keys, id, int(self._clock()), body)
        try:
            async with self._session.post(
                self._receiver.url, data=body, headers=headers, allow_redirects=False
            ) as response:
                answer = _judge(response)
                await _read_rest(response)
        except TimeoutError:
            return Answer(RequestResult.TIMEOUT, f"no answer within {self._receiver.timeout:g} s")
        except (ClientError, OSError, ValueError) as error:
            return Answer(RequestResult.UNREACHABLE, explained(error, "FORESTAY_WEBHOOKS_CA"))
        return answer

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


def _judge(response: ClientResponse) -> Answer:
    status = response.status
    if 200 <= status < 300:
        return Answer(RequestResult.DELIVERED, f"status {status}", status)
    if status == 410:
        return Answer(RequestResult.GONE, "status 410", status)
    given = response.headers.get("Retry-After", "")
    seconds = min(LONGEST_RETRY_AFTER, float(given)) if given.isascii() and given.isdigit() and len(given) < 9 else 0.0
    redirect = "; redirects are not followed" if 300 <= status < 400 else ""
    return Answer(RequestResult.REFUSED, f"status {status}{redirect}", status, seconds)


async def _read_rest(response: ClientResponse) -> None:
    """Read a small rest of the answer. What happens to it changes nothing."""
    left = _REST_BYTES
    try:
        async with asyncio.timeout(_REST_SECONDS):
            while left > 0 and (data := await response.content.read(left)):
                left -= len(data)
    except (ClientError, OSError, ValueError):
        # TimeoutError is an OSError.
        response.close()
