"""Requests over plain HTTP, read and answered on the port of the scripted gateway's WebSockets."""

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Response

_HEAD_END: Final = b"\r\n\r\n"
# Over the port of a gateway nothing else is a WebSocket, or a question why there is none.
_WEBSOCKET: Final = b"/ws"


class Request:
    """One request, and the connection on which it is answered."""

    def __init__(self, method: str, target: str, headers: Mapping[str, str], transport: asyncio.Transport) -> None:
        parts = urlsplit(target)
        self.method = method
        self.path = [unquote(part) for part in parts.path.split("/")[1:]]
        self.query = parse_qs(parts.query)
        self.headers = headers
        self.transport = transport
        self.body = b""
        self.gone: Callable[[], None] = lambda: None
        """Called when the client has hung up."""

    @property
    def token(self) -> str | None:
        scheme, _, bearer = self.headers.get("authorization", "").partition(" ")
        return bearer if scheme.lower() == "bearer" else None

    @property
    def said(self) -> dict[str, Any]:
        """The body of a POST."""
        said: dict[str, Any] = json.loads(self.body or b"{}")
        return said

    def begin(self) -> None:
        """Answer with a stream of events."""
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")

    def answer(self, response: Response) -> None:
        """Answer with a whole response."""
        head = "".join(f"{name}: {value}\r\n" for name, value in response.headers.raw_items())
        line = f"HTTP/1.1 {response.status_code} {response.reason_phrase}\r\n"
        self.transport.write(f"{line}{head}\r\n".encode() + bytes(response.body or b""))
        self.transport.close()

    def cut(self) -> None:
        """Reset the connection, if the client has not done so."""
        if not self.transport.is_closing():
            reset(self.transport)


def reset(transport: asyncio.Transport) -> None:
    """End a connection as a crash does."""
    end = transport.get_extra_info("socket")
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def document(status: int, said: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON."""
    kind = "application/json" if status == 200 else "application/problem+json"
    return page(status, json.dumps(said).encode(), {"Content-Type": kind} | dict(headers or {}))


def page(status: int, body: bytes, headers: Mapping[str, str]) -> Response:
    """An answer that is the last one on its connection."""
    fields = Headers({"Content-Length": str(len(body)), **headers})
    fields["Connection"] = "close"
    return Response(status, HTTPStatus(status).phrase, fields, body)


class _Reader(asyncio.Protocol):
    """Reads one request."""

    def __init__(self, asked: Callable[[Request], None], transport: asyncio.Transport) -> None:
        self._asked = asked
        self._transport = transport
        self._came = b""
        self._request: Request | None = None

    def data_received(self, data: bytes) -> None:
        self._came += data
        if self._request is None and _HEAD_END in self._came:
            head, _, self._came = self._came.partition(_HEAD_END)
            line, *fields = head.decode("latin-1").split("\r\n")
            method, target, _ = line.split(" ")
            pairs = (field.partition(":") for field in fields)
            headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
            self._request = Request(method, target, headers, self._transport)
        elif self._request is None:
            return
        if len(self._came) >= int(self._request.headers.get("content-length", "0")):
            self._request.body, self._came = self._came, b""
            asked, self._asked = self._asked, lambda _: None
            asked(self._request)

    def connection_lost(self, _: Exception | None) -> None:
        if self._request is not None:
            self._request.gone()


class Carrier(ServerConnection):
    """A WebSocket's carrier, which passes on what is a request for something else."""

    def __init__(self, asked: Callable[[Request], None], *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._asked = asked
        self._came = b""
        self._decided = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._decided:
            super().data_received(data)
            return
        self._came += data
        if b"\n" not in self._came:
            return
        self._decided = True
        if self._came.split(b" ")[1].partition(b"?")[0].endswith(_WEBSOCKET):
            super().connection_made(self.transport)
            super().data_received(self._came)
        else:
            reader = _Reader(self._asked, self.transport)
            self.transport.set_protocol(reader)
            reader.data_received(self._came)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._decided:
            super().connection_lost(exc)

    def eof_received(self) -> None:
        if self._decided:
            super().eof_received()
