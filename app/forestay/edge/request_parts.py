"""Reads the parts of an HTTP request: names in the path, the query, and the body."""

import asyncio
import re
from collections.abc import Callable
from struct import pack
from typing import Annotated, Final, TypeAlias, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
from aiohttp import web
from msgspec import Meta, Raw, Struct

from forestay.core.ports.bus import Query
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.depth import deeper_than
from forestay.protocol.message import Position

_BINARY: Final = "application/octet-stream"

Parsed = TypeVar("Parsed")

LONGEST_KEY: Final = 128
_KEY_HEADER: Final = "Idempotency-Key"


Key: TypeAlias = Annotated[str, Meta(min_length=1, max_length=LONGEST_KEY)]


class RoomMessage(Struct, frozen=True):
    """The body of a request to publish a JSON message."""

    payload: Raw
    key: Key | None = None
    event: str | None = None


_QUOTED = re.compile(r"\\(.)")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})").search


def name_in_path(request: web.BaseRequest, place: int = -2) -> str:
    """The name of a room or a user in the path, without its percent-encoding. Raises Refusal.

    `place`: of its part among all parts; that before the last one, as in `/v1/rooms/{room}/messages`, if left out.
    Read from the path as it was sent. aiohttp would leave in what it cannot decode, and so let two names be one.
    """
    part = request.rel_url.raw_path.split("/")[place]
    try:
        if _BROKEN_ESCAPE(part):
            raise ValueError
        return unquote_to_bytes(part).decode()
    except ValueError:
        raise Refusal(
            ErrorCode.BAD_MESSAGE, "the name in the path is not percent-encoded UTF-8; encode it, with '/' as %2F"
        ) from None


async def read_body(request: web.BaseRequest, max_bytes: int, seconds: float | None = None) -> bytes:
    """The body of `request`, which must come within `seconds` where they are given. Raises Refusal.

    A larger body than `max_bytes` is refused as soon as that is known, whatever length it announced.
    """
    too_large = Refusal(ErrorCode.TOO_LARGE, f"the body has more than {max_bytes} bytes; send a smaller message")
    if (request.content_length or 0) > max_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > max_bytes:
                    raise too_large
    except TimeoutError:
        raise Refusal(
            ErrorCode.BAD_MESSAGE, f"the body was not complete after {seconds:g} s; send it at once"
        ) from None
    except (ConnectionError, web.RequestPayloadError):
        raise Refusal(
            ErrorCode.BAD_MESSAGE, "the connection broke before the body was complete; send the request again"
        ) from None
    return bytes(body)


def parse(body: bytes, max_depth: int, reader: Callable[[str], Parsed], form: str) -> Parsed:
    """What `reader` makes of the JSON in `body`. `form`: how the body must look. Raises Refusal."""
    try:
        # Decoded before it is parsed: the parser would pass invalid UTF-8 to every member of the room.
        text = body.decode()
        if deeper_than(text, max_depth):
            message = f"nested deeper than {max_depth} arrays and objects; flatten the body"
            raise Refusal(ErrorCode.TOO_DEEP, message)
        return reader(text)
    except UnicodeDecodeError:
        raise Refusal(ErrorCode.BAD_JSON, "the body is not UTF-8; encode it as UTF-8") from None
    except msgspec.ValidationError as error:
        raise Refusal(ErrorCode.BAD_MESSAGE, f"the body must be {form}: {error}") from None
    except msgspec.DecodeError as error:
        raise Refusal(ErrorCode.BAD_JSON, f"not valid JSON: {error}") from None


def is_binary(request: web.BaseRequest) -> bool:
    """Whether the body is a binary message, by its type."""
    # aiohttp takes this type where the header is missing.
    return request.content_type == _BINARY and "Content-Type" in request.headers


def binary_type(request: web.BaseRequest) -> bytes:
    """The binary type, as the first four bytes of the frame. Raises Refusal."""
    text = request.rel_url.query.get("type", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= 0xFFFFFFFF):
        raise Refusal(
            ErrorCode.BAD_BINARY, "the binary type is missing or wrong; add '?type=' with a number from 0 to 4294967295"
        )
    return pack("!I", int(text))


def publish_key(request: web.BaseRequest, in_body: str | None = None) -> str | None:
    """The key of a publish: that in the body, or in the header `Idempotency-Key`, in quotes or without. Raises Refusal.

    A structured field has quotes (RFC 8941), and many clients leave them out.
    """
    given = request.headers.getall(_KEY_HEADER, [])
    if not given:
        return in_body
    text = given[0].strip()
    key = _QUOTED.sub(r"\1", text[1:-1]) if len(text) > 1 and text[0] == text[-1] == '"' else text
    if len(given) > 1 or not 0 < len(key) <= LONGEST_KEY or not _is_printable(key):
        message = f"{_KEY_HEADER} must be one key of 1 to {LONGEST_KEY} printable characters of ASCII"
        raise Refusal(ErrorCode.BAD_MESSAGE, message)
    if in_body not in (None, key):
        message = f"{_KEY_HEADER} and 'key' in the body differ; send one of them"
        raise Refusal(ErrorCode.BAD_MESSAGE, message)
    return key


def history_query(request: web.BaseRequest) -> Query:
    """The query in `?limit=`, and in `?epoch=` with `?since=` or `?before=`. Raises Refusal."""
    given = request.rel_url.query
    limit = page_limit(request)
    bounds = [name for name in ("since", "before") if name in given]
    if not all(_is_number(given[name]) for name in bounds):
        raise Refusal(ErrorCode.BAD_MESSAGE, "'since' and 'before' must be numbers")
    if len(bounds) > 1 or (bounds and "epoch" not in given):
        raise Refusal(ErrorCode.BAD_MESSAGE, "give one of 'since' and 'before', and 'epoch' with it")
    positions = {name: Position(given["epoch"], int(given[name])) for name in bounds}
    return Query(limit, positions.get("since"), positions.get("before"))


def page_limit(request: web.BaseRequest) -> int:
    """The number in `?limit=`; 100 where it is missing. Raises Refusal."""
    limit = request.rel_url.query.get("limit", "100")
    if not _is_number(limit) or not 1 <= int(limit) <= 1000:
        raise Refusal(ErrorCode.BAD_MESSAGE, "'limit' must be a number from 1 to 1000")
    return int(limit)


def _is_printable(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16
