"""Asks the application about a message that a client publishes, and gives it the payload that the application says."""

from asyncio import Future

from forestay.core.hooks.decisions import Decision
from forestay.core.hooks.hooks import Hooks
from forestay.core.ports.hook_events import BroadcastEvent, Caller
from forestay.core.rooms.publishing import Publisher
from forestay.protocol.codes import Refusal
from forestay.protocol.message import Message
from forestay.protocol.names import shown


class AskedMessage:
    """A message about which the application is asked."""

    __slots__ = ("event", "message")

    def __init__(self, caller: Caller, message: Message) -> None:
        self.message = message
        self.event = BroadcastEvent(
            caller, shown(message.room), message.payload, message.trace, event=message.event, binary=message.binary
        )


class BroadcastHook:
    """The hook `broadcast`."""

    def __init__(self, hooks: Hooks, publisher: Publisher) -> None:
        self._hooks = hooks
        self._publisher = publisher

    def ask(self, asked: AskedMessage) -> "Decision | Future[Decision]":
        """Ask about a message. See Hooks.ask."""
        return self._hooks.ask(asked.event)

    async def require(self, asked: AskedMessage) -> Message:
        """Ask about a message and wait for the decision. Returns the message to publish. Raises Refusal."""
        decision = self.ask(asked)
        if isinstance(decision, Decision):
            return self.judge(asked, decision)
        return self.judge(asked, await decision, late=True)

    def judge(self, asked: AskedMessage, decision: Decision, *, late: bool = False) -> Message:
        """The message to publish, as `decision` says. Raises Refusal.

        `late`: other messages may have been published while the application was asked.
        """
        message = asked.message
        if decision.payload is not None:
            # Where base64 stood for bytes, it may stand elsewhere now, or nowhere.
            message = message.copy()
            message.payload, message.binary_at = decision.payload, ""
            try:
                self._publisher.check_size(message)
            except Refusal as refusal:
                message = asked.message
                decision = self._hooks.failed(asked.event, "too_large", f"the new payload: {refusal.message}")
        if decision.refusal is not None:
            raise decision.refusal
        if late:
            message = message.copy()
            message.timestamp = self._publisher.stamp()
        return message
