"""One open connection to a Redis server: bytes out, replies in as they come, and one end.

redis-py makes it (names, TLS, AUTH, SELECT); then its transport is ours. Reading through redis-py costs five to ten
times as much per message, it repeats commands that may have been executed, and it hides that a connection was replaced.
This is the only module that knows redis-py.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Final

import hiredis
from redis import exceptions as vendor
from redis.asyncio import Connection, SSLConnection

from forestay.bus.redis.client.address import Address, Place

Argument = bytes | str | int
Received = Callable[[object], None]
Lost = Callable[[str], None]

_NOTHING: Final = object()


class Away(Exception):
    """The server cannot be spoken to now; it may be in a moment."""


class Misconfigured(Exception):
    """The server will not speak to us as we are configured; the message says what to change."""


class Complaint(Exception):
    """What Redis answers instead of a result. The first word is its kind."""

    @property
    def kind(self) -> str:
        return str(self).partition(" ")[0]


def pack(*command: Argument) -> bytes:
    """A command as it goes over the wire."""
    return bytes(hiredis.pack_command(command))  # type: ignore[arg-type]  # the stub knows only commands of one word


class Wire(asyncio.Protocol):
    """Whoever attends is given every reply in order, and learns once that the connection is gone."""

    def __init__(self, writer: asyncio.StreamWriter, place: Place) -> None:
        self.place = place
        self.incarnation = b""
        """The server's `master_replid` when the connection was made; empty where it may not be asked."""
        # Kept, because a StreamWriter that nobody holds closes its transport.
        self._writer = writer
        self._transport = writer.transport
        self._reader = hiredis.Reader(replyError=Complaint, notEnoughData=_NOTHING)
        self._received: Received = _ignore
        self._lost: Lost = _ignore
        self._transport.set_protocol(self)

    def attend(self, received: Received, lost: Lost) -> None:
        """From now on give replies to `received`, and the reason to `lost` when the connection is gone."""
        self._received, self._lost = received, lost
        if self._transport.is_closing():
            self._end("the server closed the connection")

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def drop(self) -> None:
        """Let go of the connection at once; `lost` is not told."""
        self._received = self._lost = _ignore
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not _NOTHING:
                try:
                    self._received(reply)
                except Exception as bug:  # noqa: BLE001 - whosever it is, the connection and its other replies are well
                    asyncio.get_running_loop().call_exception_handler(
                        {"message": "a reply from Redis was not dealt with", "exception": bug}
                    )
        except hiredis.ProtocolError:
            self._end("what the server says is not Redis")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"the connection was lost: {exc}" if exc else "the server closed the connection")

    def _end(self, why: str) -> None:
        lost = self._lost
        self.drop()
        lost(why)


class _Plain(Connection):
    """A connection of redis-py that gives its transport away."""

    def take(self) -> asyncio.StreamWriter | None:
        """The open connection, which is the taker's to close."""
        writer, self._writer, self._reader = self._writer, None, None
        return writer

    def abandon(self) -> None:
        """Close what was not taken."""
        writer = self.take()
        if writer is not None:
            writer.transport.abort()


class _Secure(SSLConnection, _Plain):
    """The same over TLS."""


async def open_wire(address: Address, place: Place, within: float) -> Wire:
    """Connect to the server at `place`, within so many seconds. Raises Away or Misconfigured."""
    # RESP2 is read faster than RESP3, and a driver's name is an error to Redis before 7.2.
    options: dict[str, Any] = {
        "host": place.host,
        "port": place.port,
        "db": address.database,
        "username": address.user,
        "password": address.password,
        "protocol": 2,
        "socket_timeout": within,
        "socket_connect_timeout": within,
        "driver_info": None,
    }
    connection = _Secure(ssl_ca_certs=address.ca, **options) if address.tls else _Plain(**options)
    try:
        async with asyncio.timeout(within):
            try:
                await connection.connect()  # type: ignore[no-untyped-call]
            finally:
                _heed_cancellation()
        writer = connection.take()
        if writer is None:
            raise Away(f"{place} closed the connection at once")
        return Wire(writer, place)
    except TimeoutError:
        raise Away(f"{place} did not answer within {within:g} s") from None
    except (vendor.RedisError, OSError) as error:
        raise _reason(error, place) from error
    finally:
        # Also where this task was cancelled in the middle of it.
        connection.abandon()


def _heed_cancellation() -> None:
    """Be cancelled after all: `asyncio.wait_for`, with which the library sends, may swallow it before Python 3.12."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def ask(wire: Wire, *command: Argument) -> object:
    """One reply to one command, while nobody else attends. Raises Complaint or Away."""
    reply: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    def received(value: object) -> None:
        if not reply.done():
            reply.set_result(value)

    def lost(why: str) -> None:
        if not reply.done():
            reply.set_exception(Away(f"{wire.place}: {why}"))

    wire.attend(received, lost)
    wire.write(pack(*command))
    result = await reply
    if isinstance(result, Complaint):
        raise result
    return result


def _reason(error: BaseException, place: Place) -> Away | Misconfigured:
    """Whether trying again can help."""
    text = f"{place}: {error}"
    if isinstance(error, vendor.AuthenticationError | vendor.AuthenticationWrongNumberOfArgsError):
        return Misconfigured(f"{text}; check the user and the password in the bus URL")
    if isinstance(error, vendor.AuthorizationError):
        return Misconfigured(f"{text}; this Redis has no password, leave it out of the bus URL")
    if isinstance(error, vendor.NoPermissionError):
        return Misconfigured(f"{text}; give the Redis user that right")
    if isinstance(error, vendor.ResponseError) and "DB index" in str(error):
        return Misconfigured(f"{text}; choose another number behind the host in the bus URL")
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Misconfigured(f"{text}; name the authority's file with ?ca= in the bus URL")
        cause = cause.__cause__ or cause.__context__
    return Away(text)


def _ignore(_: object) -> None:
    """Nobody attends yet, or any more."""
