"""Registers each connection on this pod and among all pods, or says why it must end at once."""

from forestay.core.cluster.revocations import Revocations
from forestay.core.cluster.user_limit import UserLimit
from forestay.core.fanout.callers import caller_of
from forestay.core.fanout.connection import Connection
from forestay.core.fanout.hub import Hub
from forestay.core.hooks.hooks import Hooks
from forestay.core.ports.hook_events import DisconnectEvent
from forestay.core.rooms.presence import Presence
from forestay.core.rules.hooks import Hook
from forestay.protocol.codes import ENDINGS, CloseCode, Ending


class Registration:
    """What a connection needs to be counted: a place for its user, and a token that is not revoked."""

    def __init__(
        self, hub: Hub, user_limit: UserLimit, revocations: Revocations, presence: Presence, hooks: Hooks | None = None
    ) -> None:
        """`hooks`: None where the application has none."""
        self._hooks = hooks if hooks is not None and hooks.asks(Hook.DISCONNECT) else None
        self._hub = hub
        self._presence = presence
        self._user_limit = user_limit
        self._revocations = revocations

    async def register(self, connection: Connection) -> Ending | None:
        """Count `connection` from now on. Returns why it must end instead, and counts nothing then."""
        code = await self._user_limit.claim(connection) if self._user_limit.limited else None
        if code is None and self._revocations.covers(connection.identity):
            code = CloseCode.REVOKED
        if code is not None:
            self._user_limit.release(connection)
            return ENDINGS[code]
        self._hub.add(connection)
        self._presence.connected(connection.identity.user)
        return None

    def uncount(self, connection: Connection) -> None:
        """Stop counting `connection` for its user, because its client moves to another one."""
        self._user_limit.release(connection)
        self._hub.note_moving(connection)

    def remove(self, connection: Connection) -> None:
        """Remove a connection that has ended."""
        self._hub.remove(connection)
        self._presence.disconnected(connection.identity.user)
        if self._user_limit.limited:
            self._user_limit.release(connection)

    def tell_end(self, connection: Connection, ending: Ending, seconds: float) -> None:
        """Tell the application, if it wants to know, that a connection has ended after so many seconds."""
        if self._hooks is not None:
            self._hooks.tell(
                DisconnectEvent(
                    caller_of(connection), ending.code, ending.reason, by_client=ending.by_client, seconds=seconds
                )
            )
