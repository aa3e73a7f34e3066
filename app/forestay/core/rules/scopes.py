"""What the key of a backend allows: to publish, to read and to manage, each in the rooms of some patterns.

The personal rooms of users have the pattern `@me`, as in the policies of rooms. What is about a user and not about a
room, such as its connections and its tokens, counts as its personal room.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.names import PERSONAL, Pattern, RoomName, shown

ALL_ROOMS: Final = "**"


class Scope(StrEnum):
    """What a backend may do."""

    PUBLISH = "publish"
    """Send messages."""
    READ = "read"
    """See the history, who is present, the connections of users, the pods, and what goes on in rooms."""
    MANAGE = "manage"
    """Put users into rooms and take them out, delete histories, end connections, revoke tokens, forget users, and drain
    and shed pods."""


@dataclass(frozen=True, slots=True, eq=False)
class Grant:
    """The scopes of one key, by the name under which the log knows it."""

    name: str
    scopes: Mapping[Scope, Sequence[Pattern]]

    def require(self, scope: Scope, room: RoomName) -> None:
        """Raises Refusal with FORBIDDEN unless the key has `scope` in `room`."""
        named = shown(room)
        if not any(pattern.matches(named) for pattern in self.scopes.get(scope, ())):
            raise self._lacks(scope, named)

    def require_in_all_rooms(self, scope: Scope) -> None:
        """Raises Refusal with FORBIDDEN unless the key has `scope` in all rooms."""
        if not any(pattern.text == ALL_ROOMS for pattern in self.scopes.get(scope, ())):
            raise self._lacks(scope, ALL_ROOMS)

    def require_of_all_users(self, scope: Scope) -> None:
        """Raises Refusal with FORBIDDEN unless the key has `scope` for what is about a user."""
        if not any(pattern.text == PERSONAL for pattern in self.scopes.get(scope, ())):
            raise self._lacks(scope, PERSONAL)

    def require_everywhere(self, scope: Scope) -> None:
        """Raises Refusal with FORBIDDEN unless the key has `scope` in all rooms and for all users."""
        self.require_in_all_rooms(scope)
        self.require_of_all_users(scope)

    def _lacks(self, scope: Scope, where: str) -> Refusal:
        message = f"the API key {self.name!r} lacks the scope {scope} for {where}; FORESTAY_API_KEYS_FILE gives scopes"
        return Refusal(ErrorCode.FORBIDDEN, message)


def full_grant(name: str) -> Grant:
    """All scopes, in all rooms and for all users."""
    everywhere = [Pattern(ALL_ROOMS), Pattern(PERSONAL)]
    return Grant(name, dict.fromkeys(Scope, everywhere))
