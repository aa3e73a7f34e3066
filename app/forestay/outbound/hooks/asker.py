"""Sends one question, and reads the answer as far as it may be: its status, its type, and a bounded number of bytes."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import (
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientOSError,
    ClientResponse,
    ClientSSLError,
    ServerDisconnectedError,
)

from forestay.core.ports.hooks import HookFailed, HookFailure
from forestay.outbound.receiver import Receiver
from forestay.outbound.session import NOT_ABOUT_CONTENT, explained, open_session

KEEP: Final = 1.5
"""Seconds for which an idle connection is kept. Common servers close theirs after 2 s or more. One that the server
closes at the moment of a question costs a call its answer, for it is not asked again."""


class NotAnswered(HookFailed):
    """No answer that can be read. `status`: its status, 0 where there is none."""

    def __init__(self, failure: HookFailure, cause: str, status: int = 0) -> None:
        super().__init__(failure, cause)
        self.status = status

    @property
    def receiver_fails(self) -> bool:
        """Whether any other question would have failed too, as far as can be told."""
        return (
            self.failure in ("unreachable", "timeout") or 300 <= self.status < 400 or self.status in NOT_ABOUT_CONTENT
        )


class Asker:
    """Questions to one receiver. Needs a running loop. Raises ValueError where its authority cannot be read."""

    def __init__(self, receiver: Receiver, connections: int, most_bytes: int) -> None:
        """`connections`: those at the same time. `most_bytes`: of an answer."""
        self._receiver = receiver
        self._most_bytes = most_bytes
        self._session = open_session(receiver, connections, KEEP)

    async def ask(self, body: bytes, headers: Mapping[str, str], *, again: bool, told: bool) -> bytes | None:
        """The body of the answer; None where its status says all. Raises NotAnswered.

        `told`: nothing is asked, and only the status counts. `again`: ask once more where the connection broke before
        there was an answer. Where there was no connection at all, this is done in any case: the receiver may be behind
        an address with several pods, one of which is gone.
        """
        try:
            response = await self._post(body, headers)
        except (ServerDisconnectedError, ClientOSError) as error:
            if not (_nothing_sent(error) or (again and _nothing_heard(error))):
                raise NotAnswered("unreachable", self._explained(error)) from None
            response = await self._second(body, headers)
        except (ClientError, OSError, ValueError) as error:
            raise self._failed(error) from None
        try:
            return await self._read(response, told=told)
        except TimeoutError as error:
            raise self._failed(error) from None
        except (ClientError, OSError, ValueError) as error:
            raise NotAnswered("bad_answer", self._explained(error)) from None
        finally:
            # What is not read to its end costs the connection.
            response.release()

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def _second(self, body: bytes, headers: Mapping[str, str]) -> ClientResponse:
        try:
            return await self._post(body, headers)
        except (ClientError, OSError, ValueError) as error:
            raise self._failed(error) from None

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> ClientResponse:
        return await self._session.post(self._receiver.url, data=body, headers=headers, allow_redirects=False)

    async def _read(self, response: ClientResponse, *, told: bool) -> bytes | None:
        status = response.status
        if status not in (HTTPStatus.OK, HTTPStatus.NO_CONTENT):
            redirect = "; redirects are not followed" if 300 <= status < 400 else ""
            raise NotAnswered("status", f"status {status} instead of 200 or 204{redirect}", status)
        if told or status == HTTPStatus.NO_CONTENT:
            return None
        if response.content_type != "application/json" or len(response.headers.getall("Content-Type")) > 1:
            raise NotAnswered("bad_answer", "the answer is not application/json")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise NotAnswered("bad_answer", "the answer is compressed, which the question did not ask for")
        body = bytearray()
        if (response.content_length or 0) <= self._most_bytes:
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > self._most_bytes:
                    break
            else:
                return bytes(body)
        raise NotAnswered("too_large", f"the answer has more than {self._most_bytes} bytes")

    def _failed(self, error: Exception) -> NotAnswered:
        """What came before the head of an answer."""
        if isinstance(error, TimeoutError):
            return NotAnswered("timeout", f"no answer within {self._receiver.timeout:g} s")
        if isinstance(error, ServerDisconnectedError | ClientOSError):
            return NotAnswered("unreachable", self._explained(error))
        return NotAnswered("bad_answer", self._explained(error))

    def _explained(self, error: Exception) -> str:
        return explained(error, "FORESTAY_HOOKS_CA")


def _nothing_sent(error: Exception) -> bool:
    """Whether there was no connection. A name or a certificate that is wrong is not tried again."""
    return isinstance(error, ClientConnectorError) and not isinstance(error, ClientConnectorDNSError | ClientSSLError)


def _nothing_heard(error: Exception) -> bool:
    """Whether a connection broke before there was an answer. Where a part of its head came, the error has that."""
    return not isinstance(error, ClientConnectorError) and isinstance(getattr(error, "message", ""), str)
