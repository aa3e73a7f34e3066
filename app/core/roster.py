"""Who is connected to this pod, by connection and by user, and how many of one user may be."""

from enum import StrEnum

from app.core.connection import Connection


class UserLimitPolicy(StrEnum):
    """Who yields when a user opens one connection too many."""

    REJECT = "reject"
    """The new connection."""
    REPLACE = "replace"
    """The oldest one."""


class Roster:
    def __init__(self, per_user: int, policy: UserLimitPolicy) -> None:
        """`per_user`: connections one user may have; 0 is no limit."""
        self._per_user = per_user
        self._policy = policy
        self._by_id: dict[str, Connection] = {}
        self._by_user: dict[str, dict[Connection, None]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, connection: Connection) -> Connection | None:
        """Enter `connection`. Whoever has to go for it is returned: nobody, its user's oldest, or itself."""
        mine = self._by_user.setdefault(connection.identity.user, {})
        yielding: Connection | None = None
        if self._per_user and len(mine) >= self._per_user:
            if self._policy is UserLimitPolicy.REJECT:
                return connection
            yielding = next(iter(mine))
        mine[connection] = None
        self._by_id[connection.id] = connection
        return yielding

    def remove(self, connection: Connection) -> None:
        del self._by_id[connection.id]
        user = connection.identity.user
        mine = self._by_user[user]
        del mine[connection]
        if not mine:
            del self._by_user[user]

    def by_id(self, id: str) -> Connection | None:
        return self._by_id.get(id)

    def of_user(self, user: str) -> list[Connection]:
        """The connections of `user`, oldest first."""
        return list(self._by_user.get(user, ()))

    def everybody(self) -> list[Connection]:
        return list(self._by_id.values())
