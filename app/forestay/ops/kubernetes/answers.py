"""Reads answers of the API server: a list, a line of a watch, or an error."""

from typing import Final, TypeVar

import msgspec

from forestay.ops.kubernetes.endpoints import Change, Metadata, Slice, SlicesGone
from forestay.ops.kubernetes.unanswered import Cause, Unanswered
from forestay.protocol.depth import MAX_DEPTH, deeper_than

T = TypeVar("T")

NOT_FOUND: Final = 404
_DENIED: Final = (401, 403)
_GONE: Final = 410
_THROTTLED: Final = 429

# Characters of the server's message that go into the log.
_LONGEST_REASON: Final = 300


class _List(msgspec.Struct):
    metadata: Metadata
    items: list[Slice] | None = None


class _Allowed(msgspec.Struct):
    allowed: bool


class _Review(msgspec.Struct):
    status: _Allowed


class _Line(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Status(msgspec.Struct):
    code: int = 0
    message: str = ""


def read_list(body: bytes) -> tuple[list[Slice], str]:
    """Return the slices and the version of the list. Raises Unanswered."""
    found = _decoded(body, _List)
    return found.items or [], found.metadata.resource_version


def read_review(body: bytes) -> bool:
    """Return whether an access review allows what it asks for. Raises Unanswered."""
    return _decoded(body, _Review).status.allowed


def read_line(text: bytes) -> Change:
    """Return the change in one line of a watch. Raises Unanswered and SlicesGone, also for a line that is an error."""
    _check_depth(text)
    try:
        line = msgspec.json.decode(text, type=_Line)
        if line.type == "ERROR":
            status = msgspec.json.decode(line.object, type=_Status)
            raise fault(status.code, status.message)
        return Change(line.type, msgspec.json.decode(line.object, type=Slice))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unanswered(Cause.GARBAGE, str(error)) from error


def read_reason(body: bytes) -> str:
    """Return the message of an error; empty where the answer is not the API server's, for example a proxy's."""
    if deeper_than(body, MAX_DEPTH):
        return ""
    try:
        return msgspec.json.decode(body, type=_Status).message
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def _decoded(body: bytes, kind: type[T]) -> T:
    """Raises Unanswered."""
    _check_depth(body)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unanswered(Cause.GARBAGE, str(error)) from error


def _check_depth(body: bytes) -> None:
    """Raises Unanswered where `body` nests deeper than any answer of the API server."""
    if deeper_than(body, MAX_DEPTH):
        raise Unanswered(Cause.GARBAGE, f"nested deeper than {MAX_DEPTH} arrays and objects")


def fault(status: int, reason: str, retry_after: str = "") -> Unanswered | SlicesGone:
    """Return the error for a status. `retry_after`: the header. A date in it is ignored: the API server sends none."""
    if status == _GONE:
        return SlicesGone(reason)
    cause = Cause.DENIED if status in _DENIED else Cause.THROTTLED if status == _THROTTLED else Cause.FAILED
    seconds = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else None
    return Unanswered(cause, f"{status} {reason}"[:_LONGEST_REASON].rstrip(), seconds)
