"""Limits the connections of a user on all pods together.

The registry counts each connection before it is welcomed. While the registry cannot be reached, the limit holds for
this pod alone, and the connections that came meanwhile are registered later.
"""

from asyncio import CancelledError
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from forestay.core.cluster.control import ControlChannel
from forestay.core.fanout.connection import Connection
from forestay.core.fanout.hub import Hub
from forestay.core.ports.bus import AnswerLost, BusLost, Outcome
from forestay.core.ports.registry import Claim, Registry
from forestay.protocol.codes import CloseCode


class UserLimitPolicy(StrEnum):
    """Which connection is closed when a user opens one too many."""

    REJECT = "reject"
    """The new one."""
    REPLACE = "replace"
    """The oldest one."""


@dataclass(frozen=True, slots=True)
class UserLimitRules:
    """The limit, and what happens beyond it."""

    per_user: int
    """Connections that a user may have; 0 means no limit, and nothing is counted."""
    policy: UserLimitPolicy


class UserLimit:
    """The claims of this pod's connections to a place."""

    def __init__(self, registry: Registry, hub: Hub, control: ControlChannel, rules: UserLimitRules) -> None:
        self._registry = registry
        self._hub = hub
        self._control = control
        self._per_user = rules.per_user
        self.limited = rules.per_user > 0
        """Whether there is a limit. Without one nothing is counted."""
        self._replace = rules.policy is UserLimitPolicy.REPLACE
        self._counted: dict[str, str] = {}
        """Connections that the registry counts or may count, by id, with their user.

        Ended ones stay until it has released them.
        """
        self._owed: dict[str, str] = {}
        """Connections of this pod that the registry does not count yet, by id, with their user."""

    @property
    def connections(self) -> int:
        """Connections of this pod, of all users."""
        return len(self._hub)

    async def claim(self, connection: Connection) -> CloseCode | None:
        """Claim a place for `connection`, and end those that have to go for it. Returns why it must end instead.

        For use where there is a limit.
        """
        user = connection.identity.user
        # Another pod may give the place away, or a backend disconnect the user, before the answer is here.
        self._hub.expect(connection.id, user)
        try:
            claim = await self._registry.claim(user, connection.id, self._per_user, replace=self._replace)
        except BusLost as lost:
            claim = self._local_claim(user)
            if claim.granted:
                self._owed[connection.id] = user
            if isinstance(lost, AnswerLost):
                # The registry may count it, also where this pod refuses it. So it is released at its end.
                self._counted[connection.id] = user
        except CancelledError:
            # The registry may count it. The next heartbeat releases it.
            self._counted[connection.id] = user
            raise
        else:
            if claim.granted:
                self._counted[connection.id] = user
        finally:
            ended = self._hub.expected_no_more(connection.id)
        self._end(claim.yielding)
        return ended if claim.granted else CloseCode.CONNECTION_LIMIT

    def release(self, connection: Connection) -> None:
        """Stop counting `connection`."""
        self._owed.pop(connection.id, None)
        user = self._counted.get(connection.id)
        if user is not None:
            self._release(connection.id, user)

    async def correct(self, believed: Iterable[tuple[str, str]]) -> None:
        """Make the registry count the connections that are here, and release those that it wrongly counts here.

        `believed`: pairs of a user and a connection's id. Raises BusLost.
        """
        self._owed |= self._counted
        self._counted = {id: user for user, id in believed}
        await self.renew()

    async def renew(self) -> None:
        """Make the registry count what it does not count yet, and release what is gone. Raises BusLost."""
        for id, user in list(self._counted.items()):
            if self._gone(id):
                self._release(id, user)
        for id, user in list(self._owed.items()):
            if self._gone(id):
                self._owed.pop(id, None)
                continue
            try:
                await self._registry.claim(user, id, 0, replace=False)
            except AnswerLost:
                self._counted[id] = user
                raise
            # A release that is refused is repeated only for connections that are counted.
            self._counted[id] = user
            if self._owed.pop(id, None) is None:
                # It ended while the registry was asked.
                self._release(id, user)

    def _end(self, ids: Iterable[str]) -> None:
        elsewhere = [id for id in ids if not self._hub.end(id, CloseCode.CONNECTION_LIMIT)]
        if elsewhere:
            self._control.end(elsewhere, CloseCode.CONNECTION_LIMIT)

    def _gone(self, id: str) -> bool:
        """Whether the connection has ended or is moving. A client that moves has two connections for a moment."""
        connection = self._hub.by_id(id)
        if connection is None:
            return not self._hub.expects(id)
        return connection.relocating is not None

    def _release(self, id: str, user: str) -> None:
        def settled(outcome: Outcome) -> None:
            if outcome is Outcome.ACCEPTED:
                self._counted.pop(id, None)

        self._registry.release(user, id, settled)

    def _local_claim(self, user: str) -> Claim:
        """A claim that looks at the connections of this pod only."""
        here: Sequence[Connection] = [one for one in self._hub.of_user(user) if one.relocating is None]
        if len(here) < self._per_user:
            return Claim(granted=True)
        if not self._replace:
            return Claim(granted=False)
        return Claim(granted=True, yielding=[one.id for one in here[: len(here) - self._per_user + 1]])
