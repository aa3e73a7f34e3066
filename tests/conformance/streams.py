"""Byte streams below the level of messages: sequences of frames with faults in them, and HTTP requests alike."""

import random
from collections.abc import Callable

from tests.conformance.messages import SHARED_ROOM, Environment, text_message
from tests.conformance.reference import LARGEST
from tests.conformance.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    PING,
    PONG,
    TEXT,
    close_payload,
    frame,
    header,
    masked,
    upgrade,
)

_CODES = (0, 1, 999, *range(1000, 1017), 1100, 2000, 2999, 3000, 3999, 4000, 4403, 4999, 5000, 65535)
_REASONS = (b"", b"bye", b"x" * 123, "é😀".encode(), b"\xff\xfe", b"\xed\xa0\x80", b"\xc3", b"\x00\r\n\x1b[31m")


def stream(rng: random.Random, environment: Environment) -> bytes:
    """What a client sends after the handshake, correct or wrong."""
    recipe = rng.choice((_fragments, _fragments, _frames, _frames, _closing, _control, _lengths, _noise))
    data = recipe(rng, environment)
    # Correct frames before and after it: a reader must not be confused, and must not continue after an error.
    if rng.random() < 0.5:
        data = _message(rng, environment) + data
    if rng.random() < 0.5:
        data += _message(rng, environment)
    return data


def pieces(rng: random.Random, data: bytes) -> list[bytes]:
    """`data` cut at random points, because the split into reads must not matter."""
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.choice((0, 0, 1, 2, 5))))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def _message(rng: random.Random, environment: Environment) -> bytes:
    return frame(FIN | TEXT, text_message(rng, environment), rng.randbytes(4))


def _mask(rng: random.Random) -> bytes | None:
    return None if rng.random() < 0.05 else rng.randbytes(4)


def _fragments(rng: random.Random, environment: Environment) -> bytes:
    """One message in fragments with pings between them; sometimes a fragment is lost, doubled or misplaced."""
    text = rng.random() < 0.7
    payload = text_message(rng, environment) if text else rng.randbytes(rng.randrange(200))
    parts = pieces(rng, payload)
    frames = []
    for place, part in enumerate(parts):
        opcode = CONTINUATION if place else TEXT if text else BINARY
        last = FIN if place == len(parts) - 1 else 0
        frames.append(frame(last | opcode, part, _mask(rng)))
        if rng.random() < 0.3:
            frames.append(frame(FIN | rng.choice((PING, PONG)), rng.randbytes(rng.randrange(126)), rng.randbytes(4)))
    if rng.random() < 0.4:
        at = rng.randrange(len(frames))
        match rng.randrange(4):
            case 0:
                del frames[at]
            case 1:
                frames.insert(at, frames[at])
            case 2:
                frames.insert(at, _message(rng, environment))
            case _:
                rng.shuffle(frames)
    return b"".join(frames)


def _frames(rng: random.Random, environment: Environment) -> bytes:
    """Frames with random header bits and true lengths."""
    frames = []
    for _ in range(rng.randint(1, 4)):
        first = rng.choice((rng.randrange(256), FIN | rng.randrange(16), FIN | TEXT, CONTINUATION, FIN | CONTINUATION))
        size = rng.choice((0, 1, rng.randrange(126), rng.randrange(400)))
        payload = b"".join([b"a" * size]) if rng.random() < 0.5 else rng.randbytes(size)
        frames.append(frame(first, payload, _mask(rng)))
    return b"".join(frames)


def _closing(rng: random.Random, environment: Environment) -> bytes:
    reason = rng.choice(_REASONS)
    payload = rng.choice((b"", b"\x03", close_payload(rng.choice(_CODES), reason), rng.randbytes(rng.randrange(126))))
    return frame(FIN | CLOSE, payload, _mask(rng))


def _control(rng: random.Random, environment: Environment) -> bytes:
    """A control frame that is too long or fragmented, or many correct ones."""
    opcode = rng.choice((PING, PONG, CLOSE))
    match rng.randrange(3):
        case 0:
            return frame(FIN | opcode, rng.randbytes(rng.choice((126, 127, 300, 65536))), _mask(rng))
        case 1:
            return frame(opcode, b"", _mask(rng)) + frame(FIN | CONTINUATION, b"", _mask(rng))
        case _:
            return frame(FIN | rng.choice((PING, PONG)), rng.randbytes(rng.randrange(126)), _mask(rng)) * 50


def _lengths(rng: random.Random, environment: Environment) -> bytes:
    """A length at a boundary, in a longer form than needed, or false."""
    mask = rng.randbytes(4)
    opcode = FIN | rng.choice((TEXT, BINARY))
    match rng.randrange(3):
        case 0:
            size = rng.choice((0, 125, 126, LARGEST - 1, LARGEST, LARGEST + 1))
            return header(opcode, size, mask, width=8) + masked(mask, b"a" * size)
        case 1:
            return header(opcode, rng.choice((10, 1000)), mask, width=2) + rng.randbytes(rng.randrange(1200))
        case _:
            size = rng.choice((LARGEST + 1, 2**31, 2**40, 2**63 - 1, 2**63, 2**64 - 1, rng.randrange(2**64)))
            start = frame(TEXT, b"small", mask) if rng.random() < 0.3 else b""
            return start + header(CONTINUATION if start else opcode, size, mask, width=8) + rng.randbytes(100)


def _noise(rng: random.Random, environment: Environment) -> bytes:
    return rng.randbytes(rng.randint(1, 300))


def requests(rng: random.Random, environment: Environment, *, internal: bool) -> bytes:
    """An HTTP request for the public or the internal port, with random changes."""
    recipe: Callable[[random.Random, Environment], bytes] = rng.choice(
        (_api, _api, _handshake, _odd) if internal else (_handshake, _handshake, _odd, _noise)
    )
    data = recipe(rng, environment)
    if internal:
        # aiohttp's applications answer 500 to an Expect header that is neither known nor UTF-8.
        data = data.replace(b"Expect:", b"X-Expect:")
    return _torn(rng, data) if rng.random() < 0.3 else data


def _handshake(rng: random.Random, environment: Environment) -> bytes:
    token = environment.token
    if rng.random() < 0.4:
        token = rng.choice((token[:-3], "", "é", "x" * 5000, "a.b.c", environment.foreign_token))
    odd = (f"/ws?token={token}", "/ws?token=%ff%00", "/", "/%2e%2e/ws", "//ws", "*", "http://x/ws", "/ws#a", "/ws?a=")
    target = "/ws" if rng.random() < 0.6 else rng.choice(odd)
    lines = [
        *(f"Authorization: {token}", "Cookie: token=x", "Content-Length: 5"),
        *("Content-Length: -1", "Transfer-Encoding: chunked", "Transfer-Encoding: xchunked", "Expect: 100-continue"),
        *("Origin: null", "Origin: https://evil.example", "Origin: http://127.0.0.1", "Host: a", "Host: a\tb"),
        *("Sec-WebSocket-Protocol: forestay.v1", "Sec-WebSocket-Protocol: other", "Sec-WebSocket-Protocol: ,, ,"),
        *("Sec-WebSocket-Protocol: forestay.v1, base64url.bearer.forestay.!!!", "Upgrade: h2c", "Connection: close"),
        *("Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Version: 8", "Sec-WebSocket-Key: short"),
        *(": empty", "No colon", "Space : x", "X: " + "y" * 9000, "X\x00: y", " folded", "X: \xff\x80", "X: a\rb"),
    ]
    chosen = rng.sample(lines, rng.choice((0, 0, 1, 1, 2, 4)))
    if rng.random() < 0.8:
        chosen.append(f"Authorization: Bearer {token}")
    return upgrade(target, *chosen)


def _api(rng: random.Random, environment: Environment) -> bytes:
    method = rng.choice(("POST", "POST", "POST", "GET", "DELETE", "PUT", "PATCH", "OPTIONS", "HEAD", "TRACE"))
    odd = ("fuzz.a", "%2e%2e", "%00", "@me", "a" * 129, "%ff", "fuzz%2Fa", "", "é")
    room = SHARED_ROOM if rng.random() < 0.4 else rng.choice(odd)
    path = rng.choice(
        (
            *(f"/v1/rooms/{room}/messages", f"/v1/rooms/{room}/messages", f"/v1/users/{room}/messages"),
            *(f"/v1/rooms/{room}/messages?type=7", f"/v1/rooms/{room}/messages?type={'9' * 5000}", "/v1/nothing"),
            *(f"/v1/users/{room}/connections", "/metrics", "/livez", "/v1/rooms/x/messages?type=-1&type=²"),
        )
    )
    kind = rng.choice(("application/json", "application/json", "application/octet-stream", "text/plain; a=b", "a/;="))
    key = environment.api_key if rng.random() < 0.8 else rng.choice(("", "x", environment.api_key[:-1], "\xff"))
    body = rng.choice(
        (text_message(rng, environment), text_message(rng, environment), rng.randbytes(rng.randrange(300)), b"")
    )
    size = rng.choice((len(body), len(body), len(body), 0, len(body) + 5, 10**12))
    head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\nContent-Type: {kind}\r\n"
    return head.encode("utf-8", "replace") + f"Content-Length: {size}\r\n\r\n".encode() + body


def _odd(rng: random.Random, environment: Environment) -> bytes:
    return rng.choice(
        (
            *(b"\r\n\r\n", b"GET\r\n\r\n", b"GET /ws\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"),
            *(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"\xff" * 50, b"\x00"),
            b"GET / HTTP/1.0\r\n\r\n",
            b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /ws HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(200)) + b"\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\nx",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 30,
        )
    )


def _torn(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 2, 6))):
        at = rng.randrange(len(changed) + 1)
        changed[at : at + rng.choice((0, 1, 3))] = rng.randbytes(rng.choice((0, 1, 2)))
    return bytes(changed) or b"\x00"
