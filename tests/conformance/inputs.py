"""What a hostile or broken client may send, made from a seed and a number, so that each input can be repeated.

Five kinds: noise, mutated messages, streams of frames, streams cut off in the middle, HTTP requests.
"""

import random
from dataclasses import dataclass
from typing import Final

from tests.conformance.messages import Environment, noise, text_message
from tests.conformance.reference import LARGEST, Verdict, judge
from tests.conformance.streams import pieces, requests, stream
from tests.conformance.wire import BINARY, FIN, TEXT, frame

_KINDS: Final = {"noise": 20, "message": 40, "stream": 20, "cut": 10, "request": 10}
"""The share of each kind in percent."""


@dataclass(frozen=True, slots=True)
class Said:
    """A well-formed message on a reused connection. For any content, the connection must survive it."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Streamed:
    """Bytes on a new connection, in `parts`. The reference says how it must end."""

    parts: list[bytes]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Cut:
    """Bytes on a new connection, then silence: the client vanished or stopped."""

    data: bytes
    upgraded: bool
    """Whether they come after the handshake. A handshake can be cut off too."""
    reset: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """An HTTP request, or a part of one."""

    data: bytes
    internal: bool


Input = Said | Streamed | Cut | Asked


def make(seed: int, number: int, environment: Environment) -> tuple[str, Input]:
    """Returns input `number` of `seed`, and its kind. The same `environment` gives the same bytes."""
    rng = random.Random(f"{seed}:{number}")
    [kind] = rng.choices(list(_KINDS), list(_KINDS.values()))
    if kind in ("noise", "message"):
        return kind, _message(rng, kind, environment)
    if kind == "stream":
        return kind, _streamed(rng, stream(rng, environment))
    if kind == "cut":
        return kind, _cut(rng, environment)
    internal = rng.random() < 0.4
    return kind, Asked(requests(rng, environment, internal=internal), internal)


def _message(rng: random.Random, kind: str, environment: Environment) -> Input:
    opcode, payload = noise(rng) if kind == "noise" else (TEXT, text_message(rng, environment))
    data = frame(FIN | opcode, payload, rng.randbytes(4))
    if len(payload) > LARGEST or (opcode != BINARY and not _is_text(payload)):
        return _streamed(rng, data)
    return Said(data)


def _streamed(rng: random.Random, data: bytes) -> Streamed:
    return Streamed(pieces(rng, data), judge(data))


def _cut(rng: random.Random, environment: Environment) -> Cut:
    upgraded = rng.random() < 0.75
    if upgraded:
        data = b"".join(
            frame(FIN | TEXT, text_message(rng, environment), rng.randbytes(4)) for _ in range(rng.randint(1, 3))
        )
    else:
        data = requests(rng, environment, internal=False)
    return Cut(data[: rng.randrange(len(data) + 1)], upgraded, reset=rng.random() < 0.5)


def _is_text(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True
