"""The connections of this pod, by id and by user."""

from collections import Counter
from collections.abc import Mapping

from forestay.core.fanout.connection import Connection
from forestay.core.rules.rate_limit import TokenBucket
from forestay.protocol.codes import ENDINGS, CloseCode


class Hub:
    """Holds each connection from its welcome to its end."""

    def __init__(self) -> None:
        self._by_id: dict[str, Connection] = {}
        self._by_user: dict[str, dict[Connection, None]] = {}
        self._by_wire: Counter[str] = Counter()
        self._moving: set[Connection] = set()
        self._expected: dict[str, tuple[str, CloseCode | None]] = {}
        """Connections whose registration waits, by id: their user, and how they were ended meanwhile."""

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, connection: Connection) -> None:
        """Add a connection that was welcomed."""
        self._by_id[connection.id] = connection
        self._by_user.setdefault(connection.identity.user, {})[connection] = None
        self._by_wire[connection.wire.name] += 1

    def expect(self, id: str, user: str) -> None:
        """Know of a connection of `user` that is not welcomed yet, until `expected_no_more`."""
        self._expected[id] = (user, None)

    def expects(self, id: str) -> bool:
        """Whether the registration of the connection with this id waits."""
        return id in self._expected

    def expected_of(self, user: str) -> list[str]:
        """The ids of the expected connections of `user`."""
        return [id for id, (whose, _) in self._expected.items() if whose == user]

    def expected_no_more(self, id: str) -> CloseCode | None:
        """Forget an expected connection. Returns how it was ended meanwhile; None if it was not."""
        return self._expected.pop(id)[1]

    def end(self, id: str, code: CloseCode) -> bool:
        """End the connection with this id; if it is only expected, it is not welcomed. False if it is not here."""
        connection = self._by_id.get(id)
        if connection is not None:
            connection.end(ENDINGS[code])
        elif id in self._expected:
            self._expected[id] = (self._expected[id][0], code)
        else:
            return False
        return True

    def remove(self, connection: Connection) -> None:
        """Remove a connection that has ended."""
        del self._by_id[connection.id]
        user = connection.identity.user
        of_user = self._by_user[user]
        del of_user[connection]
        if not of_user:
            del self._by_user[user]
        self._by_wire[connection.wire.name] -= 1
        self._moving.discard(connection)

    def note_moving(self, connection: Connection) -> None:
        """Note that the client of `connection` was asked to connect elsewhere."""
        self._moving.add(connection)

    @property
    def moving(self) -> int:
        """The number of connections whose client was asked to connect elsewhere."""
        return len(self._moving)

    @property
    def by_wire(self) -> Mapping[str, int]:
        """Connections by the name of their wire."""
        return self._by_wire

    def by_id(self, id: str) -> Connection | None:
        """The connection with this id, or None."""
        return self._by_id.get(id)

    def of_user(self, user: str) -> list[Connection]:
        """The connections of `user`, oldest first."""
        return list(self._by_user.get(user, ()))

    def clients(self) -> list[list[Connection]]:
        """All connections, those of one client together: they share a bucket, and mostly end together."""
        found: dict[TokenBucket, list[Connection]] = {}
        for connection in self._by_id.values():
            found.setdefault(connection.bucket, []).append(connection)
        return list(found.values())

    def everybody(self) -> list[Connection]:
        """All connections."""
        return list(self._by_id.values())
