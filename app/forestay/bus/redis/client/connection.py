"""Connections to one Redis server: first one command at a time, then a stream of replies.

redis-py makes the connection (names, TLS, AUTH, SELECT); then its transport is ours. Reading through redis-py costs
five to ten times as much per message, it repeats commands that may have been executed, and it hides that a connection
was replaced. This is the only module that imports redis-py and hiredis.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Final

import hiredis
from redis import exceptions as vendor
from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection

from forestay.bus.redis.client.address import Address, HostPort
from forestay.bus.redis.client.command import ErrorReply
from forestay.bus.redis.client.tls import tls_context

Argument = bytes | str | int
Received = Callable[[object], None]
Lost = Callable[[str], None]

GIVE_RIGHT: Final = "give the Redis user that right; docs/redis.md has the rule for all that a pod needs"
"""The remedy where the user of the bus may not run a command."""

_NO_REPLY: Final = object()
_CLOSED_BY_SERVER: Final = "the server closed the connection"
_NOT_RESP: Final = "the server sent something that is not the Redis protocol"


class ConnectError(Exception):
    """There is no usable connection to a server."""


class Unreachable(ConnectError):
    """The server cannot be used now; a later attempt may succeed."""


class Misconfigured(ConnectError):
    """The server cannot be used with this configuration; the message says what to change."""


def pack(*command: Argument) -> bytes:
    """A command in the form in which Redis reads it."""
    return bytes(hiredis.pack_command(command))  # type: ignore[arg-type]  # the stub knows only commands of one word


class RespClient(asyncio.Protocol):
    """An open connection that sends one command at a time and waits for its reply.

    A RespConnection can take it over, once no command is under way.
    """

    def __init__(self, writer: asyncio.StreamWriter, host: HostPort) -> None:
        self.host = host
        # Kept, because a StreamWriter without references closes its transport.
        self._writer = writer
        self._transport = writer.transport
        self._reader = hiredis.Reader(replyError=ErrorReply, notEnoughData=_NO_REPLY)
        self._reply: asyncio.Future[object] | None = None
        self._closed = False
        self._transport.set_protocol(self)

    async def ask(self, *command: Argument) -> object:
        """Send `command` and return its reply. Raises ErrorReply or Unreachable."""
        if self._closed or self._transport.is_closing():
            raise Unreachable(f"{self.host}: {_CLOSED_BY_SERVER}")
        self._reply = asyncio.get_running_loop().create_future()
        self._transport.write(pack(*command))
        reply = await self._reply
        if isinstance(reply, ErrorReply):
            raise reply
        return reply

    def drop(self) -> None:
        """Close the connection at once."""
        self._closed = True
        self._transport.abort()

    def take(self) -> tuple[asyncio.StreamWriter, hiredis.Reader]:
        """Give the open connection away. Raises Unreachable if the server has closed it."""
        if self._closed or self._transport.is_closing():
            self.drop()
            raise Unreachable(f"{self.host}: {_CLOSED_BY_SERVER}")
        return self._writer, self._reader

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not _NO_REPLY:
                if self._reply is not None and not self._reply.done():
                    self._reply.set_result(reply)
        except hiredis.ProtocolError:
            self._fail(_NOT_RESP)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection was lost: {exc}" if exc else _CLOSED_BY_SERVER)

    def _fail(self, reason: str) -> None:
        self.drop()
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(Unreachable(f"{self.host}: {reason}"))


class RespConnection(asyncio.Protocol):
    """An open connection that passes on every reply in order, and its own end once."""

    def __init__(self, client: RespClient, received: Received, lost: Lost) -> None:
        """Take over the connection of `client`. Raises Unreachable if the server has closed it.

        `received` is called with each reply, `lost` with the reason when the connection ends.
        """
        self.host = client.host
        self._writer, self._reader = client.take()
        self._transport = self._writer.transport
        self._received = received
        self._lost = lost
        self._transport.set_protocol(self)

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def drop(self) -> None:
        """Close the connection at once. Neither callback is called any more."""
        self._received = self._lost = _ignore
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not _NO_REPLY:
                try:
                    self._received(reply)
                except Exception as bug:  # noqa: BLE001 - a bug elsewhere; the connection and its other replies are fine
                    asyncio.get_running_loop().call_exception_handler(
                        {"message": "handling a reply from Redis failed", "exception": bug}
                    )
        except hiredis.ProtocolError:
            self._end(_NOT_RESP)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"the connection was lost: {exc}" if exc else _CLOSED_BY_SERVER)

    def _end(self, reason: str) -> None:
        lost = self._lost
        self.drop()
        lost(reason)


class _Taken:
    """Lets a connection of redis-py give its transport away."""

    _writer: asyncio.StreamWriter | None
    _reader: asyncio.StreamReader | None

    def take(self) -> asyncio.StreamWriter | None:
        """The open connection. The caller has to close it."""
        writer, self._writer, self._reader = self._writer, None, None
        return writer

    def abandon(self) -> None:
        """Close the connection unless it was taken."""
        writer = self.take()
        if writer is not None:
            writer.transport.abort()


class _Plain(_Taken, Connection):
    """Over TCP."""


class _Secure(_Taken, SSLConnection):
    """Over TLS."""


class _Local(_Taken, UnixDomainSocketConnection):
    """Over a Unix socket."""


def _connection(address: Address, host: HostPort, within: float) -> _Plain | _Secure | _Local:
    # RESP2 is read faster than RESP3, and a driver's name is an error to Redis before 7.2.
    options: dict[str, Any] = {
        "db": address.database,
        "username": address.user,
        "password": address.password,
        "protocol": 2,
        "socket_timeout": within,
        "socket_connect_timeout": within,
        "driver_info": None,
    }
    if not host.port:
        return _Local(path=host.host, **options)
    options |= {"host": host.host, "port": host.port}
    if not address.tls:
        return _Plain(**options)
    secure = _Secure(**options)
    # That of redis-py trusts the authorities of the system besides those of a file, and reads them for each connection.
    secure.ssl_context.context = tls_context(address)
    return secure


async def open_client(address: Address, host: HostPort, within: float) -> RespClient:
    """Connect to the server at `host`, within so many seconds. Raises ConnectError."""
    try:
        connection = _connection(address, host, within)
    except ValueError as error:
        raise Misconfigured(f"{host}: {error}") from None
    try:
        async with asyncio.timeout(within):
            try:
                await connection.connect()  # type: ignore[no-untyped-call]
            finally:
                _raise_swallowed_cancellation()
        writer = connection.take()
        if writer is None:
            raise Unreachable(f"{host} closed the connection at once")
        return RespClient(writer, host)
    except TimeoutError:
        raise Unreachable(f"{host} did not answer within {within:g} s") from None
    except (vendor.RedisError, OSError) as error:
        raise _connect_error(error, address, host) from error
    finally:
        # Also when this task was cancelled while connecting.
        connection.abandon()


def _raise_swallowed_cancellation() -> None:
    """Raise CancelledError if this task was cancelled.

    redis-py sends with `asyncio.wait_for`, which may swallow a cancellation before Python 3.12.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _connect_error(error: BaseException, address: Address, host: HostPort) -> ConnectError:
    """Misconfigured with a remedy if another attempt cannot help, else Unreachable."""
    text = f"{host}: {_without_secrets(str(error), address).rstrip('.')}"
    if isinstance(error, vendor.AuthenticationError | vendor.AuthenticationWrongNumberOfArgsError):
        return Misconfigured(f"{text}; check the user and the password in the bus URL")
    if isinstance(error, vendor.AuthorizationError):
        return Misconfigured(f"{text}; this Redis has no password, leave it out of the bus URL")
    if isinstance(error, vendor.NoPermissionError):
        return Misconfigured(f"{text}; {GIVE_RIGHT}")
    if isinstance(error, vendor.ResponseError) and "DB index" in str(error):
        return Misconfigured(f"{text}; choose another number after the host in the bus URL")
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Misconfigured(f"{text}; name the authority's file with ?ca= in the bus URL")
        cause = cause.__cause__ or cause.__context__
    return Unreachable(text)


def _without_secrets(text: str, address: Address) -> str:
    """`text` without our credentials. A server repeats the arguments of a command that it does not know, AUTH too."""
    for secret in (address.password, address.user):
        if secret:
            text = text.replace(secret, "…")
    return text


def _ignore(_: object) -> None:
    """Takes the callbacks of a connection that was dropped."""
