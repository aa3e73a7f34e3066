"""Rules written by hand, against a real gateway: masks, handshakes and limits, which Autobahn leaves out."""

import asyncio
import base64
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final

from tests.conformance import pause
from tests.conformance.gateway import PATIENCE, GatewayProcess
from tests.conformance.line import NO_CLOSE_FRAME, Line
from tests.conformance.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    PING,
    TEXT,
    Wire,
    close_payload,
    connect,
    frame,
    header,
    upgrade,
)

say = partial(print, flush=True)

_MASK: Final = b"\x01\x02\x03\x04"
_LIVES = "lives"
_NEVER = 2**40
_MIB = 2**20
_SETTINGS = {"MESSAGE_RATE": "0", "MESSAGE_BYTES_RATE": "0", "SEND_BUFFER_BYTES": str(_MIB)}


def _text(payload: bytes) -> bytes:
    return frame(FIN | TEXT, payload, _MASK)


def _close(code: int, reason: bytes = b"") -> bytes:
    return frame(FIN | CLOSE, close_payload(code, reason), _MASK)


STREAMS: Final[dict[str, tuple[bytes, set[int | str]]]] = {
    "an unmasked frame": (frame(FIN | TEXT, b"{}", None), {1002}),
    "a second message begun while the first is empty": (frame(TEXT, b"", _MASK) + _text(b"{}"), {1002}),
    "a reserved bit, 1": (frame(FIN | 0x40 | TEXT, b"{}", _MASK), {1002}),
    "a reserved bit, 3": (frame(FIN | 0x10 | TEXT, b"{}", _MASK), {1002}),
    "opcode 3": (frame(FIN | 0x3, b"", _MASK), {1002}),
    "opcode 11": (frame(FIN | 0xB, b"", _MASK), {1002}),
    "a ping of 126 bytes": (frame(FIN | PING, b"x" * 126, _MASK), {1002}),
    "a fragmented ping": (frame(PING, b"", _MASK), {1002}),
    "a continuation of nothing": (frame(FIN | CONTINUATION, b"x", _MASK), {1002}),
    "a second message begun before the first is over": (frame(TEXT, b"a", _MASK) + _text(b"{}"), {1002}),
    "text that is not UTF-8": (_text(b"\xc3\x28"), {1007}),
    "text that is not UTF-8 across fragments": (
        frame(TEXT, b"\xf0\x9f", _MASK) + frame(FIN | CONTINUATION, b"\x28", _MASK),
        {1007},
    ),
    "a surrogate": (_text(b"\xed\xa0\x80"), {1007}),
    "a close reason that is not UTF-8": (_close(1000, b"\xff"), {1007}),
    "a close frame of one byte": (frame(FIN | CLOSE, b"\x03", _MASK), {1002}),
    "a close frame without a code": (frame(FIN | CLOSE, b"", _MASK), {1000}),
    **{
        f"close code {code}": (_close(code), {1002})
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)
    },
    **{f"close code {code}": (_close(code), {code}) for code in (1000, 1001, 1011, 3000, 4403, 4999)},
    "the largest message": (frame(FIN | BINARY, b"x" * 65536, _MASK), {_LIVES}),
    "a message one byte larger": (frame(FIN | BINARY, b"x" * 65537, _MASK), {1009}),
    "fragments that add up to too much": (frame(BINARY, b"x" * 65536, _MASK) + frame(0, b"x", _MASK), {1009}),
    "a frame of 1 TiB, declared": (header(FIN | BINARY, _NEVER, _MASK) + b"x" * 100, {1009}),
    "a frame of 2^63 - 1 bytes, declared": (header(FIN | TEXT, 2**63 - 1, _MASK), {1009}),
    "a fragment, then 2^63 - 1 bytes, declared": (
        frame(TEXT, b"small", _MASK) + header(FIN | CONTINUATION, 2**63 - 1, _MASK),
        {1009},
    ),
    "a length whose first bit is set": (header(FIN | TEXT, 2**63, _MASK), {1002, 1009}),
    "a length in a longer form than needed": (header(FIN | BINARY, 5, _MASK, width=8) + b"12345", {_LIVES}),
}
"""What a client sends after the handshake, and how the connection may end."""

_SHORT_KEY = base64.b64encode(b"x" * 15).decode()
_SECOND = b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n"


def _changed(before: str, after: str) -> bytes:
    """A handshake with one line replaced."""
    whole = upgrade("/ws", "Authorization: Bearer {token}").decode()
    if before not in whole:
        raise LookupError(before)
    return whole.replace(before, after).encode()


HANDSHAKES: Final[dict[str, tuple[bytes, set[int]]]] = {
    "in order": (_changed("GET", "GET"), {101}),
    "no key": (_changed("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), {400}),
    "a short key": (_changed("dGhlIHNhbXBsZSBub25jZQ==", _SHORT_KEY), {400}),
    "a key that is not base64": (_changed("dGhlIHNhbXBsZSBub25jZQ==", "!" * 24), {400}),
    **{
        f"version {version}": (_changed("Version: 13", f"Version: {version}"), {400, 426})
        for version in ("8", "7", "0", "", "13, 8")
    },
    "no version": (_changed("Sec-WebSocket-Version: 13\r\n", ""), {400, 426}),
    "no Upgrade": (_changed("Upgrade: websocket\r\n", ""), {400, 426}),
    "Upgrade: notwebsocket": (_changed("Upgrade: websocket", "Upgrade: notwebsocket"), {400, 426}),
    "Connection: keep-alive": (_changed("Connection: Upgrade", "Connection: keep-alive"), {400, 426}),
    "Connection: notupgrade": (_changed("Connection: Upgrade", "Connection: notupgrade"), {400, 426}),
    "POST": (_changed("GET", "POST"), {400, 405}),
    "HTTP/1.0": (_changed("HTTP/1.1", "HTTP/1.0"), {400, 505}),
    "no token": (_changed("Authorization: Bearer {token}\r\n", ""), {401}),
    "two different tokens": (_changed("Bearer {token}", "Bearer {token}\r\nAuthorization: Bearer x"), {400}),
    "a foreign origin": (_changed("Host:", "Origin: https://evil.example\r\nHost:"), {403}),
    "two origins": (_changed("Host:", "Origin: http://127.0.0.1\r\nOrigin: http://127.0.0.1\r\nHost:"), {403}),
    "an unknown subprotocol": (_changed("Host:", "Sec-WebSocket-Protocol: chat\r\nHost:"), {400}),
    "a body, and a request in it": (_changed("Host:", f"Content-Length: {len(_SECOND)}\r\nHost:") + _SECOND, {400}),
    "both lengths": (
        _changed("Host:", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nHost:") + b"0\r\n\r\n",
        {400},
    ),
    "a header of 40 kB": (_changed("Host:", "X: " + "y" * 40_000 + "\r\nHost:"), {400, 431}),
    "200 headers": (_changed("Host:", "X: y\r\n" * 200 + "Host:"), {400, 431}),
    "20,000 headers": (_changed("Host:", "X: y\r\n" * 20_000 + "Host:"), {400, 431}),
    "a target of 10 kB": (_changed("/ws", "/" + "a" * 10_000), {400, 404, 414}),
}
"""An upgrade request, and the allowed statuses of its answer."""


async def rules() -> bool:
    """Checks all rules. Returns whether each is kept."""
    broken: list[str] = []
    await _by_hand(broken)
    # These only wait, each with a gateway of its own. What is above keeps this process too busy to answer pings.
    await asyncio.gather(_waits(broken), _silent(broken), _paused(broken))
    for each in broken:
        say(f"BROKEN {each}")
    return not broken


async def _by_hand(broken: list[str]) -> None:
    async with GatewayProcess(_SETTINGS) as gateway:
        for name, (data, allowed) in STREAMS.items():
            _note(broken, name, await _ending(gateway, data), allowed)
        for name, (request, statuses) in HANDSHAKES.items():
            _note(broken, f"handshake: {name}", await _status(gateway, request), statuses)
        for name, trial in TRIALS.items():
            _note(broken, name, await trial(gateway), {True})
        await gateway.stop()
        broken += [f"logged {count} times: {origin}: {first}" for origin, (count, first) in gateway.trouble.items()]


async def _waits(broken: list[str]) -> None:
    async with GatewayProcess(_SETTINGS) as gateway:
        for name, ended in zip(WAITS, await asyncio.gather(*(wait(gateway) for wait in WAITS.values())), strict=True):
            _note(broken, name, ended, {True})


async def _silent(broken: list[str]) -> None:
    short_timeouts = {"PING_INTERVAL": "1", "PONG_TIMEOUT": "1"}
    async with GatewayProcess(_SETTINGS | short_timeouts) as gateway:
        line = Line(await connect(gateway.port, gateway.token("rules")), broken.append)
        _note(broken, "silence after a ping", await line.ended(), {4408})
        await line.hang_up()


async def _paused(broken: list[str]) -> None:
    async with GatewayProcess(_SETTINGS | pause.SETTINGS) as gateway:
        codes = await pause.survivors(gateway)
        _note(broken, "clients closed by a pod that stood still for four seconds", set(codes) - {None}, [set()])


def _note(broken: list[str], name: str, got: object, allowed: Iterable[object]) -> None:
    say(f"  {'ok    ' if got in allowed else 'BROKEN'}  {name}: {got}")
    if got not in allowed:
        broken.append(f"{name}: {got} instead of {' or '.join(map(str, allowed))}")


async def _line(gateway: GatewayProcess) -> Line:
    return Line(await connect(gateway.port, gateway.token("rules")), lambda what: say(f"  heard: {what}"))


async def _ending(gateway: GatewayProcess, data: bytes) -> int | str | None:
    line = await _line(gateway)
    await line.send(data)
    lives = await line.lives(b"sign")
    ending = _LIVES if lives else await line.ended()
    await line.hang_up()
    return ending


async def _status(gateway: GatewayProcess, request: bytes) -> int | str:
    """The status of the only answer. A second answer would be to something that was no request."""
    wire = await Wire.open(gateway.port)
    await wire.send(request.replace(b"{token}", gateway.token("rules").encode()))
    async with asyncio.timeout(PATIENCE):
        head = await wire.answer()
        status = int(head[9:12] or 0)
        if status == 101:
            wire.hang_up()
            return status if b"Sec-WebSocket-Extensions" not in head else "101 with extensions"
        rest = await wire.reader.read()
    wire.hang_up()
    if re.search(rb"HTTP/1\.\d \d{3} ", rest):
        return f"{status}, and then another answer"
    # A request that is refused before its path is read may be no handshake.
    if status not in (404, 431) and b"sec-websocket-version: 13" not in head.lower() and b"malformed" not in rest:
        return f"{status} without the version that we speak"
    return status


async def _fragments_without_end(gateway: GatewayProcess) -> bool:
    before = gateway.memory
    ending = await _ending(gateway, frame(BINARY, b"", _MASK) + frame(0, b"x" * 65000, _MASK) * 200)
    return ending in (1009, NO_CLOSE_FRAME) and gateway.memory < before + 8


async def _answers_unread(gateway: GatewayProcess) -> bool:
    """The gateway stops reading a client that sends requests and never reads; memory stays the same."""
    wire, before = await connect(gateway.port, gateway.token("rules")), gateway.memory
    pings = frame(FIN | PING, b"x" * 125, _MASK) * 1000
    try:
        async with asyncio.timeout(10.0):
            for _ in range(400):
                wire.writer.write(pings)
                await wire.writer.drain()
    except TimeoutError:
        pass
    held, grown = wire.writer.transport.get_write_buffer_size() > 0, gateway.memory - before
    wire.hang_up(reset=True)
    say(f"          stopped: {held}, memory +{grown:.1f} MiB")
    return grown < 16


async def _rooms_unread(gateway: GatewayProcess) -> bool:
    """A member that never reads is ended when its buffer is full, and costs only that buffer."""
    token = gateway.token("rules")
    deaf, speaker = await connect(gateway.port, token), await _line(gateway)
    await deaf.send(_text(b'{"type":"join","room":"deaf"}'))
    before, connections = gateway.memory, await gateway.metric("forestay_connections")
    broadcast = _text(b'{"type":"broadcast","room":"deaf","payload":"' + b"x" * 60000 + b'"}')
    deadline = time.monotonic() + PATIENCE
    while await gateway.metric("forestay_connections") == connections and time.monotonic() < deadline:
        for _ in range(20):
            await speaker.send(broadcast)
        if not await speaker.lives(b"sign"):
            return False
    ended, grown = await gateway.metric("forestay_connections") < connections, gateway.memory - before
    deaf.hang_up(reset=True)
    await speaker.hang_up()
    say(f"          ended: {ended}, memory +{grown:.1f} MiB")
    return ended and grown < 16


async def _nothing_said(gateway: GatewayProcess, drops: bytes = b"") -> bool:
    """The gateway closes a connection whose request never ends."""
    wire, started, closed = await Wire.open(gateway.port), time.monotonic(), False
    await wire.send(drops[:16])
    while not closed and time.monotonic() - started < PATIENCE:
        if drops:
            await wire.send(drops[16:])
        try:
            async with asyncio.timeout(2.0):
                closed = not await wire.reader.read(65536)
        except TimeoutError:
            pass
        except ConnectionError:
            closed = True
    wire.hang_up(reset=True)
    say(f"          hung up: {closed}, after {time.monotonic() - started:.0f} s")
    return closed


TRIALS: Final[dict[str, Callable[[GatewayProcess], Awaitable[bool]]]] = {
    "200 fragments without an end": _fragments_without_end,
    "400,000 pings, no pong read": _answers_unread,
    "a member that never reads": _rooms_unread,
}
"""Rules that take some seconds, with a check for each."""

WAITS: Final[dict[str, Callable[[GatewayProcess], Awaitable[bool]]]] = {
    "a caller that says nothing": _nothing_said,
    "a caller that says one header every two seconds": partial(_nothing_said, drops=b"GET / HTTP/1.1\r\nX: y\r\n"),
}
"""Rules that only wait, all at the same time."""
