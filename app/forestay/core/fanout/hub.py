"""Who is connected to this pod, by connection and by user."""

from forestay.core.fanout.connection import Connection


class Hub:
    def __init__(self) -> None:
        self._by_id: dict[str, Connection] = {}
        self._by_user: dict[str, dict[Connection, None]] = {}
        self._moving: set[Connection] = set()

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, connection: Connection) -> None:
        self._by_id[connection.id] = connection
        self._by_user.setdefault(connection.identity.user, {})[connection] = None

    def remove(self, connection: Connection) -> None:
        del self._by_id[connection.id]
        user = connection.identity.user
        mine = self._by_user[user]
        del mine[connection]
        if not mine:
            del self._by_user[user]
        self._moving.discard(connection)

    def moves(self, connection: Connection) -> None:
        """`connection` was asked to connect elsewhere."""
        self._moving.add(connection)

    @property
    def moving(self) -> int:
        """How many were asked to connect elsewhere and are still here."""
        return len(self._moving)

    def by_id(self, id: str) -> Connection | None:
        return self._by_id.get(id)

    def of_user(self, user: str) -> list[Connection]:
        """The connections of `user`, oldest first."""
        return list(self._by_user.get(user, ()))

    def everybody(self) -> list[Connection]:
        return list(self._by_id.values())
