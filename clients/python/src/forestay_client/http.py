"""Asks a gateway over HTTP/1.1: each request on a connection of its own, by the way that a WebSocket would take."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from websockets.asyncio.client import connect_http_proxy, connect_socks_proxy
from websockets.exceptions import InvalidMessage
from websockets.proxy import get_proxy, parse_proxy
from websockets.uri import WebSocketURI, parse_uri

from forestay_client.options import Options

_LONGEST_LINE: Final = 65536
_MOST_HEADERS: Final = 256
_AT_ONCE: Final = 65536


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, and how to read its body."""

    status_code: int
    reason_phrase: str
    headers: Mapping[str, str]
    """By their names in title case."""
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    body: bytearray = field(default_factory=bytearray)
    """What `read` has read."""

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises EOFError where it breaks off."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            while size := int((await self._line()).split(b";")[0], 16):
                while size:
                    part = await self.reader.read(min(size, _AT_ONCE))
                    if not part:
                        raise EOFError
                    size -= len(part)
                    yield part
                await self._line()
            return
        left = int(self.headers.get("Content-Length", "-1"))
        while left:
            part = await self.reader.read(min(left, _AT_ONCE) if left > 0 else _AT_ONCE)
            if not part and left > 0:
                raise EOFError
            if not part:
                return
            left -= len(part) if left > 0 else 0
            yield part

    async def read(self) -> bytes:
        """The whole body, and the end of the connection."""
        try:
            async for part in self.chunks():
                self.body.extend(part)
        finally:
            self.close()
        return bytes(self.body)

    def close(self) -> None:
        """End the connection at once."""
        self.writer.transport.abort()

    async def _line(self) -> bytes:
        return await _line(self.reader)


async def ask(address: str, options: Options, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
    """The answer to a GET, or to a POST of `body`, when its head is there.

    `address` begins with `ws:` or `wss:`. Raises OSError, ProxyError, InvalidMessage and EOFError.
    """
    uri = parse_uri(address)
    reader, writer = await _open(uri, options)
    try:
        fields = {"Host": _host(uri), **headers, "Connection": "close"}
        if body is not None:
            fields["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        method = "GET" if body is None else "POST"
        writer.write(f"{method} {uri.resource_name} HTTP/1.1\r\n{head}\r\n".encode() + (body or b""))
        status, reason = await _status(reader)
        while status < 200:
            await _headers(reader)
            status, reason = await _status(reader)
        return Answer(status, reason, await _headers(reader), reader, writer)
    except ValueError:
        writer.transport.abort()
        raise InvalidMessage("this is no HTTP") from None
    except BaseException:
        writer.transport.abort()
        raise


async def _open(uri: WebSocketURI, options: Options) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    tls = (options.ssl or ssl.create_default_context()) if uri.secure else None
    named = uri.host if tls else None
    proxy = get_proxy(uri) if options.proxy is True else options.proxy
    if proxy is None:
        return await asyncio.open_connection(uri.host, uri.port, ssl=tls, server_hostname=named, limit=_LONGEST_LINE)
    parsed = parse_proxy(proxy)
    if parsed.scheme.startswith("socks"):
        sock = await connect_socks_proxy(parsed, uri)
        return await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=named, limit=_LONGEST_LINE)
    transport = await connect_http_proxy(parsed, uri, ssl=True if parsed.scheme == "https" else None)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport.set_protocol(protocol)
    if tls is not None:
        transport = await loop.start_tls(transport, protocol, tls, server_hostname=named) or transport
    protocol.connection_made(transport)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


def _host(uri: WebSocketURI) -> str:
    host = f"[{uri.host}]" if ":" in uri.host else uri.host
    return host if uri.port == (443 if uri.secure else 80) else f"{host}:{uri.port}"


async def _line(reader: asyncio.StreamReader) -> bytes:
    line = await reader.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    return line.rstrip(b"\r\n")


async def _status(reader: asyncio.StreamReader) -> tuple[int, str]:
    version, status, *reason = (await _line(reader)).decode("latin-1").split(" ", 2)
    if not version.startswith("HTTP/1."):
        raise ValueError(version)
    return int(status), reason[0] if reason else ""


async def _headers(reader: asyncio.StreamReader) -> Mapping[str, str]:
    fields: dict[str, str] = {}
    for _ in range(_MOST_HEADERS):
        line = await _line(reader)
        if not line:
            return fields
        name, _, value = line.decode("latin-1").partition(":")
        fields[name.strip().title()] = value.strip()
    raise ValueError("too many headers")
