"""Opens the HTTP session for requests to one receiver, and explains why a request failed.

Redirects, cookies and proxies are not used: the operator says where requests go, and no answer leads them elsewhere.
"""

from typing import Final

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from forestay import __version__
from forestay.outbound.receiver import Receiver, trust

NOT_ABOUT_CONTENT: Final = frozenset({401, 403, 404, 405, 407, 408, 425, 429, 502, 503, 504})
"""Statuses that any other request would have got too: wrong address or rights, too many requests, or a proxy without a
receiver behind it."""


class NotReached(Exception):
    """A receiver did not answer. The message says why, without its address."""


class _Connector(TCPConnector):
    """Uses no connection again on which something has come since its last answer.

    aiohttp would take that for the answer to the next request: a status that a proxy sends before it closes an idle
    connection, or an answer that was written twice.
    """

    async def _get(self, key: ConnectionKey, traces: list[Trace]) -> Connection | None:
        while (connection := await super()._get(key, traces)) is not None:
            protocol = connection.protocol
            if protocol is not None and not protocol.should_close:
                return connection
            connection.close()
        return None


def open_session(receiver: Receiver, connections: int, keep: float) -> ClientSession:
    """A session with at most so many `connections`. An idle one is kept for `keep` seconds.

    Needs a running loop. Raises ValueError where the authority of the receiver cannot be read.
    """
    return ClientSession(
        connector=_Connector(limit=connections, keepalive_timeout=keep, ssl=trust(receiver.ca)),
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=receiver.timeout),
        headers={
            "Content-Type": "application/json",
            "User-Agent": f"forestay/{__version__}",
            # What is small needs no compression, and what is not compressed has no bombs.
            "Accept-Encoding": "identity",
        },
        auto_decompress=False,
    )


async def reach(receiver: Receiver, ca: str) -> int:
    """Send an unsigned GET, which no receiver acts on. Returns the status. Raises NotReached.

    `ca`: the setting that names the authority.
    """
    try:
        async with (
            open_session(receiver, 1, 1.0) as session,
            session.get(receiver.url, allow_redirects=False) as answer,
        ):
            return answer.status
    except TimeoutError:
        raise NotReached(f"no answer within {receiver.timeout:g} s") from None
    except (ClientError, OSError, ValueError) as error:
        raise NotReached(explained(error, ca)) from None


def explained(error: Exception, ca: str) -> str:
    """What happened, in words that repeat nothing of the answer. `ca`: the setting that names the authority."""
    match error:
        case ClientConnectorCertificateError():
            why = getattr(error.certificate_error, "verify_message", "") or "it is not valid"
            return f"the certificate is not trusted: {why}; {ca} can name its authority"
        case ClientConnectorDNSError():
            return "the name of the host is unknown"
        case ClientConnectorError():
            return f"no connection: {error.os_error.strerror or 'refused'}"
        case _:
            return f"the answer broke off or is not HTTP ({type(error).__name__})"
