"""Asks the application whether a client may enter a room, where the policy of the room says so."""

from asyncio import Future

from forestay.core.fanout.callers import caller_of
from forestay.core.fanout.connection import Connection
from forestay.core.hooks.decisions import Decision
from forestay.core.hooks.hooks import Hooks
from forestay.core.ports.hook_events import JoinEvent
from forestay.core.rules.hooks import Hook
from forestay.core.rules.policies import Policies
from forestay.protocol.names import RoomName, shown


class JoinHook:
    """The hook `join`."""

    def __init__(self, hooks: Hooks | None, policies: Policies) -> None:
        """`hooks`: None where the application has none."""
        self._hooks = hooks
        self._policies = policies

    def ask(self, connection: Connection, name: RoomName) -> "Decision | Future[Decision] | None":
        """Ask whether `connection` may enter the room `name`. None where nothing is asked: then it may."""
        asked = self._policies.of(name).hooks
        if not asked or self._hooks is None or Hook.JOIN not in asked or name in connection.rooms:
            return None
        return self._hooks.ask(JoinEvent(caller_of(connection), shown(name)))

    async def require(self, connection: Connection, name: RoomName) -> None:
        """Ask the same and wait for the decision. Raises Refusal where it may not."""
        asked = self.ask(connection, name)
        if asked is None:
            return
        decision = asked if isinstance(asked, Decision) else await asked
        if decision.refusal is not None:
            raise decision.refusal
