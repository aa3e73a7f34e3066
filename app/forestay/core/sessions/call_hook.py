"""Asks the application what a call of a client answers."""

from forestay.core.fanout.callers import caller_of
from forestay.core.fanout.connection import Connection
from forestay.core.hooks.hooks import Hooks
from forestay.core.ports.hook_events import CallEvent
from forestay.protocol.requests import Call


class CallHook:
    """The hook `call`."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks

    async def ask(self, connection: Connection, request: Call) -> bytes:
        """The answer, which is JSON. Raises Refusal."""
        event = CallEvent(caller_of(connection), request.method, bytes(request.payload))
        decision = await self._hooks.decision(event)
        if decision.refusal is not None:
            raise decision.refusal
        return decision.payload or b"null"
