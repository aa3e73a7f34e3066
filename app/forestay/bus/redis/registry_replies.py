"""Reads what the scripts of the registry reply. Replies are trusted no more than any other data on the bus."""

from collections.abc import Iterable
from typing import Final

import msgspec

from forestay.bus.redis.client.command import Failure
from forestay.core.ports.bus import Outcome
from forestay.core.ports.registry import Revocation
from forestay.protocol.depth import MAX_DEPTH, deeper_than
from forestay.protocol.envelope import BadEnvelope
from forestay.protocol.inspection import inspect_json

_decode_revocation: Final = msgspec.json.Decoder(Revocation).decode


def read_outcome(reply: object) -> Outcome:
    if reply == 1:
        return Outcome.ACCEPTED
    return Outcome.UNKNOWN if reply is Failure.UNKNOWN else Outcome.REFUSED


def read_revocation(text: object) -> Revocation | None:
    if not isinstance(text, bytes) or deeper_than(text, MAX_DEPTH):
        return None
    try:
        return _decode_revocation(text)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def is_json(text: str) -> bool:
    try:
        inspect_json(to_bytes(text), MAX_DEPTH)
    except BadEnvelope:
        return False
    return True


def to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def text(data: object) -> str:
    return data.decode("utf-8", "replace") if isinstance(data, bytes) else ""


def texts(found: Iterable[object]) -> list[str]:
    return [text(one) for one in found]
