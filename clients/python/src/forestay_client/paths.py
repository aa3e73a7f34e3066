"""The addresses of a gateway beside that of its WebSocket, and the positions as the request for a stream has them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from forestay_client.messages import Position

ANCHOR: Final = "@me"
"""The user's own room, which every token opens: a stream has at least one room."""


def beside(url: str, path: str, query: Iterable[tuple[str, object]] = ()) -> str:
    """The address of `path`, which stands where `url` has its last part."""
    parts = urlsplit(url)
    base = parts.path.rpartition("/")[0]
    words = "&".join(filter(None, [parts.query, urlencode(list(query))]))
    return urlunsplit((parts.scheme, parts.netloc, f"{base}/{path}", words, ""))


def stream(url: str, rooms: Sequence[str]) -> str:
    """The address of the stream of these rooms."""
    return beside(url, "stream", [("room", room) for room in rooms or [ANCHOR]])


def of_room(url: str, room: str, what: str, query: Mapping[str, object]) -> str:
    """The address of a room's `messages`, `history` or `presence`."""
    return beside(url, f"rooms/{quote(room, safe='')}/{what}", query.items())


def of_calls(url: str) -> str:
    """The address of calls."""
    return beside(url, "calls")


def event_id(positions: Sequence[Position | None]) -> str:
    """What a `Last-Event-ID` says of rooms in their order; empty where no room has a position."""
    entries = ("" if here is None else f"{here.offset}.{here.epoch}" for here in positions)
    return f"*:{','.join(entries)}" if any(positions) else ""
