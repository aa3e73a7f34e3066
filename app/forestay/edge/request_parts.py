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
from forestay.protocol.position import Position

_BINARY: Final = "application/octet-stream"

Parsed = TypeVar("Parsed")

LONGEST_KEY: Final = 128
_KEY_HEADER: Final = "Idempotency-Key"

# Printable characters of ASCII: without spaces and quotes, or in quotes as a string of a structured field (RFC 8941).
_BARE_KEY = re.compile(r"[!#-~]+", re.ASCII).fullmatch
_QUOTED_KEY = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])+)"', re.ASCII).fullmatch


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
    if not body:
        raise Refusal(ErrorCode.BAD_JSON, f"the request has no body; it must be {form}")
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
        raise Refusal(ErrorCode.BAD_JSON, f"not valid JSON: {error}; the body must be {form}") from None


def is_binary(request: web.BaseRequest) -> bool:
    """Whether the body is a binary message, by its type."""
    # aiohttp takes this type where the header is missing.
    return request.content_type == _BINARY and "Content-Type" in request.headers


def query_value(request: web.BaseRequest, name: str) -> str | None:
    """The value of `name` in the query; None where it is missing. Raises Refusal where it is there twice."""
    found = request.rel_url.query.getall(name, [])
    if len(found) > 1:
        raise Refusal(ErrorCode.BAD_MESSAGE, f"{name!r} is in the query {len(found)} times; send it once")
    return found[0] if found else None


def binary_type(request: web.BaseRequest) -> bytes:
    """The binary type in `?type=`, as the first four bytes of the frame; 0 where it is missing. Raises Refusal."""
    text = query_value(request, "type")
    if text is None:
        text = "0"
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= 0xFFFFFFFF):
        raise Refusal(ErrorCode.BAD_BINARY, "the binary type is wrong; '?type=' must be a number from 0 to 4294967295")
    return pack("!I", int(text))


def publish_key(request: web.BaseRequest, in_body: str | None = None) -> str | None:
    """The key of a publish: that in the body, else that in the header `Idempotency-Key`. Raises Refusal."""
    given = request.headers.getall(_KEY_HEADER, [])
    if not given:
        return in_body
    text = given[0].strip()
    quoted = _QUOTED_KEY(text)
    key = text if quoted is None else _QUOTED.sub(r"\1", quoted[1])
    if len(given) > 1 or not 0 < len(key) <= LONGEST_KEY or (quoted is None and not _BARE_KEY(text)):
        message = (
            f"{_KEY_HEADER} must be one key of 1 to {LONGEST_KEY} printable characters of ASCII; with spaces or quotes "
            f'in it, write it as "…" with \\ before each quote and backslash'
        )
        raise Refusal(ErrorCode.BAD_MESSAGE, message)
    return key if in_body is None else in_body


def history_query(request: web.BaseRequest) -> Query:
    """The query in `?limit=`, and in `?epoch=` with `?since=` or `?before=`. Raises Refusal."""
    epoch, limit = query_value(request, "epoch"), page_limit(request)
    since, before = offset_in_query(request, "since"), offset_in_query(request, "before")
    bounds = [offset for offset in (since, before) if offset is not None]
    if not bounds:
        return Query(limit)
    if len(bounds) > 1 or epoch is None:
        raise Refusal(ErrorCode.BAD_MESSAGE, "give one of 'since' and 'before', and 'epoch' with it")
    bound = Position(epoch, bounds[0])
    return Query(limit, since=bound) if before is None else Query(limit, before=bound)


def offset_in_query(request: web.BaseRequest, name: str) -> int | None:
    """The offset in the query under `name`; None where it is missing. Raises Refusal."""
    text = query_value(request, name)
    if text is not None and not _is_number(text):
        raise Refusal(ErrorCode.BAD_MESSAGE, f"{name!r} must be a number from 0 to 999999999999999")
    return None if text is None else int(text)


def number_in_query(request: web.BaseRequest, name: str, least: int, most: int, otherwise: int) -> int:
    """The number in the query under `name`; `otherwise` where it is missing. Raises Refusal."""
    text = query_value(request, name)
    if text is not None and not (_is_number(text) and least <= int(text) <= most):
        raise Refusal(ErrorCode.BAD_MESSAGE, f"{name!r} must be a number from {least} to {most}")
    return otherwise if text is None else int(text)


def page_limit(request: web.BaseRequest, otherwise: int = 100) -> int:
    """The number in `?limit=`; `otherwise` where it is missing. Raises Refusal."""
    return number_in_query(request, "limit", 1, 1000, otherwise)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16
