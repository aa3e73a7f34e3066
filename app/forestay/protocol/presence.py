"""Values of presence: one user in a room, and a page of them."""

from collections.abc import Sequence

from msgspec import Raw, Struct


class Member(Struct, frozen=True):
    """One user in a room, on all pods together."""

    user: str
    connections: int
    info: bytes | None = None
    """JSON from the user's token that the other members may see."""


class PresencePage(Struct, frozen=True):
    """A part of the list of users in a room."""

    connections: int
    """Connections of all users in the room."""
    users: int
    """Users in the room."""
    members: Sequence[Member]
    """Sorted by the bytes of the user names."""
    more: bool
    """Whether users follow after this page."""
    degraded: bool = False
    """Whether users may be missing, or too many: the registry does not take all changes, or did not a moment ago."""


class Change(Struct):
    """The payload of news: who has come to a room, or has left it."""

    user: str
    info: Raw = Raw(b"null")


def user_fields(user: str, info: bytes | None) -> dict[str, object]:
    """`user` and, where the token has one, `info` as fields of a JSON object."""
    return {"user": user} if info is None else {"user": user, "info": Raw(info)}
