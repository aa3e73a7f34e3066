"""A gateway that does what it is told: it lets in, refuses, says, closes and falls silent at a scenario's word."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from clients.conformance.lanes import Ended, Lanes
from clients.conformance.requests import Carrier, document, page, reset
from clients.conformance.requests import Request as PlainRequest
from clients.conformance.streams import Streamed
from clients.conformance.timeline import Timeline

_BEARER: Final = "base64url.bearer.forestay."
# Every sentence of a gateway carries one; what it says is not looked at.
TIMESTAMP: Final = "2026-01-01T00:00:00.000Z"


class Connection:
    """One attempt to connect, and what comes of it."""

    def __init__(self, number: int, request: Request, carrier: ServerConnection, timeline: Timeline) -> None:
        self.number = number
        self.kind = "websocket"
        self.token = _token(request)
        self.verdict: asyncio.Future[Response | None] = asyncio.get_running_loop().create_future()
        """None lets it in."""
        self.greeting: dict[str, Any] | None = None
        self.opened = asyncio.Event()
        self.closed: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        """What the client closed with; 1006 if it hung up."""
        self.heard = Lanes()
        self.socket: ServerConnection | None = None
        self._carrier = carrier
        self._timeline = timeline

    @property
    def _name(self) -> str:
        return f"gateway {self.number}"

    @property
    def _there(self) -> ServerConnection:
        if self.socket is None:
            raise Ended(f"connection {self.number} is not open")
        return self.socket

    async def say(self, sentence: Mapping[str, Any] | str | bytes) -> None:
        """A message to the client: an object, text as it is, or bytes."""
        self._timeline.note(self._name, f"says {_shown(sentence)}")
        if isinstance(sentence, Mapping):
            sentence = json.dumps({"timestamp": TIMESTAMP} | dict(sentence), ensure_ascii=False)
        await self._there.send(sentence)

    def close(self, code: int, reason: str) -> None:
        """Close without waiting for the client's part."""
        self._timeline.note(self._name, f"closes {code} {reason}")
        self._there.protocol.send_close(code, reason)
        self._there.send_data()

    def stall(self) -> None:
        """Read and answer nothing from now on; the connection stays."""
        self._timeline.note(self._name, "stalls")
        self._there.transport.pause_reading()

    def cut(self) -> None:
        """Reset the connection, open or not, if the client has not done so."""
        self._timeline.note(self._name, "cut")
        if not self._carrier.transport.is_closing():
            reset(self._carrier.transport)

    async def serve(self, opened: ServerConnection) -> None:
        """Greet, and note what comes until the end."""
        self.socket = opened
        try:
            if self.greeting is not None:
                await self.say(self.greeting)
            self.opened.set()
            async for message in opened:
                await self._hear(message)
        except ConnectionClosed:
            pass
        self.opened.set()
        received = opened.protocol.close_rcvd
        code, reason = (received.code, received.reason) if received else (1006, "")
        self._timeline.note(self._name, f"closed by the client: {code} {reason}")
        self.closed.set_result((code, reason))
        self.heard.end(f"connection {self.number} is closed ({code})")

    async def _hear(self, message: str | bytes) -> None:
        self._timeline.note(self._name, f"hears {_shown(message)}")
        if isinstance(message, bytes):
            self.heard.put("binary", {"hex": message.hex()})
            return
        sentence = json.loads(message)
        if sentence.get("type") == "ping":
            await self.say({"type": "pong"} | {name: sentence[name] for name in ("id",) if name in sentence})
        elif sentence.get("type") != "pong":
            self.heard.put(lane_of(sentence), sentence)


def lane_of(sentence: Mapping[str, Any]) -> Hashable:
    """A client's rooms come back in any order, and a publish has no order with a join."""
    return sentence.get("type"), sentence.get("room")


class Gateway:
    """The listener, and everybody who came, numbered from 1."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._came = asyncio.Event()
        self._by_socket: dict[ServerConnection, Connection] = {}
        self.plain: Response | None = None
        """What a plain GET is answered with, after a refused handshake; None is 426: nothing is wrong."""
        self.mute = False
        """Whether a plain GET has no answer."""
        self.connections: list[Connection | Streamed] = []
        self.url = ""

    async def arrived(self, number: int, patience: float) -> Connection | Streamed:
        """The attempt with that number, when it has come. Raises TimeoutError."""
        async with asyncio.timeout(patience):
            while len(self.connections) < number:
                await self._came.wait()
        return self.connections[number - 1]

    def hang_up(self) -> None:
        """End every connection and every attempt."""
        for carrier, connection in self._by_socket.items():
            connection.verdict.cancel()
            carrier.transport.abort()
        for streamed in self.connections:
            if isinstance(streamed, Streamed):
                streamed.hang_up()

    async def decide(self, carrier: ServerConnection, request: Request) -> Response | None:
        """What a handshake is answered with, as soon as the scenario has said so."""
        if "Upgrade" not in request.headers:
            self._timeline.note("gateway", "is asked why")
            if self.mute:
                carrier.transport.abort()
            return self.plain or refusal(426, {})
        connection = Connection(len(self.connections) + 1, request, carrier, self._timeline)
        self._by_socket[carrier] = connection
        self._arrive(connection)
        return await connection.verdict

    def asked(self, request: PlainRequest) -> None:
        """Take a request that is for no WebSocket: for a stream, or about a room."""
        here = [one for one in self.connections if isinstance(one, Streamed) and one.here]
        if request.path[-1] == "stream":
            if here:
                here[-1].go_on(request)
            else:
                self._arrive(Streamed(len(self.connections) + 1, request, self._timeline))
            return
        named = request.said.get("connection") if request.method == "POST" else None
        open_ones = [one for one in self.connections if isinstance(one, Streamed) and one.opened.is_set()]
        meant = [one for one in open_ones if named == f"c{one.number}"] or here or open_ones
        meant[-1].ask(request)

    def _arrive(self, connection: Connection | Streamed) -> None:
        self._timeline.note(f"gateway {connection.number}", f"is asked for a {connection.kind}")
        self.connections.append(connection)
        self._came.set()
        self._came = asyncio.Event()

    async def serve(self, carrier: ServerConnection) -> None:
        """Serve one that was let in, until it ends."""
        await self._by_socket[carrier].serve(carrier)


@asynccontextmanager
async def listening(timeline: Timeline) -> AsyncIterator[Gateway]:
    """A scripted gateway on a free port."""
    gateway = Gateway(timeline)
    server = await serve(
        gateway.serve,
        "127.0.0.1",
        0,
        process_request=gateway.decide,
        select_subprotocol=_spoken,
        compression=None,
        open_timeout=None,
        ping_interval=None,
        close_timeout=0.1,
        create_connection=partial(Carrier, gateway.asked),  # type: ignore[arg-type]
    )
    gateway.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/ws"
    try:
        yield gateway
    finally:
        gateway.hang_up()
        server.close(close_connections=False)
        await server.wait_closed()


def _spoken(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """A client that offers nothing speaks it all the same."""
    return next((one for one in offered if one == "forestay.v1"), None)


def refusal(status: int, headers: Mapping[str, str], code: str = "unavailable", detail: str = "") -> Response:
    """The answer to a handshake that is refused."""
    return document(status, {"type": "about:blank", "status": status, "code": code, "detail": detail}, headers)


def blocked(status: int, text: str) -> Response:
    """The answer of something between the client and a gateway."""
    return page(status, text.encode(), {"Content-Type": "text/html"})


def _token(request: Request) -> str | None:
    """The token of a handshake, whichever way it came."""
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return bearer
    offered = ",".join(request.headers.get_all("Sec-WebSocket-Protocol"))
    for protocol in map(str.strip, offered.split(",")):
        if protocol.startswith(_BEARER):
            text = protocol.removeprefix(_BEARER)
            return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    query = parse_qs(urlsplit(request.path).query)
    return next(iter(query.get("access_token") or query.get("token") or []), None)


def _shown(message: Mapping[str, Any] | str | bytes) -> str:
    if isinstance(message, bytes):
        return f"bytes {message.hex()}"
    return message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)
