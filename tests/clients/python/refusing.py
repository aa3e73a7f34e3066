"""A server that answers each handshake as it is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager


class Refusing:
    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[str] = []
        """The head of each request."""


def problem(status: int, code: str, detail: str, **headers: str) -> bytes:
    """A gateway's answer to a handshake that it refuses."""
    body = json.dumps({"type": "about:blank", "status": status, "code": code, "detail": detail})
    return answer(status, body, {"Content-Type": "application/problem+json"} | headers)


def answer(status: int, body: str = "", headers: Mapping[str, str] | None = None) -> bytes:
    """An answer in HTTP. In the names of headers `_` stands for `-`."""
    fields = {"Content-Length": str(len(body.encode()))} | dict(headers or {})
    lines = [f"HTTP/1.1 {status} Because", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


@asynccontextmanager
async def refusing(*answers: bytes, path: str = "/ws") -> AsyncIterator[Refusing]:
    """A server with these answers, the last of them for ever."""
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readexactly(3)
            if head == b"GET":
                head += await reader.readuntil(b"\r\n\r\n")
            there.requests.append(head.decode("latin-1"))
            writer.write(left.pop(0) if len(left) > 1 else left[0])
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    there = Refusing(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}{path}")
    try:
        yield there
    finally:
        server.close()
