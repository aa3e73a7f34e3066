"""How many connections a user may have, on all pods together.

Each connection is counted in the registry before it is welcomed. Where the registry cannot be asked, this pod's own
count stands in, and what came in meanwhile is counted when it can.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum

from forestay.core.fanout.connection import Connection
from forestay.core.fanout.hub import Hub
from forestay.core.ports.bus import BusLost, Outcome
from forestay.core.ports.registry import Claim, Registry


class UserLimitPolicy(StrEnum):
    """Who yields when a user opens one connection too many."""

    REJECT = "reject"
    """The new connection."""
    REPLACE = "replace"
    """The oldest one."""


class UserLimit:
    def __init__(self, registry: Registry, hub: Hub, per_user: int, policy: UserLimitPolicy) -> None:
        """`per_user`: connections one user may have; 0 is no limit, and nothing is counted."""
        self.per_user = per_user
        self._registry = registry
        self._hub = hub
        self._replace = policy is UserLimitPolicy.REPLACE
        self._counted: dict[str, str] = {}
        """Connections that the registry counts, and their users; those that are gone too, until it has heard so."""
        self._owed: dict[str, str] = {}
        """Connections of this pod that the registry does not count yet."""

    @property
    def connections(self) -> int:
        """Those of this pod, of all users."""
        return len(self._hub)

    async def claim(self, connection: Connection) -> Claim:
        """Whether `connection` may be welcomed, and who has to go for it."""
        user = connection.identity.user
        try:
            claim = await self._registry.claim(user, connection.id, self.per_user, replace=self._replace)
        except BusLost:
            claim = self._alone(user)
            if claim.granted:
                self._owed[connection.id] = user
        else:
            if claim.granted:
                self._counted[connection.id] = user
        return claim

    def release(self, connection: Connection) -> None:
        """`connection` counts no more."""
        self._owed.pop(connection.id, None)
        user = self._counted.get(connection.id)
        if user is not None:
            self._release(connection.id, user)

    async def correct(self, believed: Iterable[tuple[str, str]]) -> None:
        """Make the registry count what is here; of what it believes of this pod, take back what is not so."""
        self._owed |= self._counted
        self._counted = {id: user for user, id in believed}
        await self.renew()

    async def renew(self) -> None:
        """Make the registry count what it does not, and no more of what is gone."""
        for id, user in list(self._counted.items()):
            if self._gone(id):
                self._release(id, user)
        for id, user in list(self._owed.items()):
            if self._gone(id):
                self._owed.pop(id, None)
                continue
            await self._registry.claim(user, id, 0, replace=False)
            if self._owed.pop(id, None) is None:
                # It ended while it was being counted.
                self._release(id, user)
            else:
                self._counted[id] = user

    def _gone(self, id: str) -> bool:
        """Whether it is not here, or about to leave: who makes before it breaks has two for a moment."""
        connection = self._hub.by_id(id)
        return connection is None or connection.relocating is not None

    def _release(self, id: str, user: str) -> None:
        def settled(outcome: Outcome) -> None:
            if outcome is Outcome.ACCEPTED:
                self._counted.pop(id, None)

        self._registry.release(user, id, settled)

    def _alone(self, user: str) -> Claim:
        mine: Sequence[Connection] = [one for one in self._hub.of_user(user) if one.relocating is None]
        if len(mine) < self.per_user:
            return Claim(granted=True)
        if not self._replace:
            return Claim(granted=False)
        return Claim(granted=True, yielding=[one.id for one in mine[: len(mine) - self.per_user + 1]])
