"""One frame of a client, as somebody who watches sees it."""

from typing import Final

from msgspec import Struct

LONGEST: Final = 1000
"""Characters of a payload that are shown."""


class Frame(Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"sender": "from"}):
    """What a client sent, or what is written to it. What does not belong to it is left out."""

    at: float
    """Unix seconds."""
    way: str
    """`in`: from a client or a backend; `out`: to a client."""
    type: str
    """Of the request, of the reply, or `message`."""
    room: str | None = None
    connection: str | None = None
    user: str | None = None
    """Who sent what came in; None for a backend."""
    sender: str | None = None
    """The sender of a message that goes out; None for a backend."""
    event: str | None = None
    bytes: int | None = None
    """Of the payload, or of the request that came in."""
    offset: int | None = None
    code: str | None = None
    """The error code of a refusal."""
    reason: str | None = None
    lost: bool = False
    """Whether a message was not written, because the client reads slowly."""
    payload: str | None = None
    """Its first characters, where the settings let operators see it."""
    cut: bool = False
    """Whether the payload has more of them."""
