"""Carries out requests of clients that come one by one over HTTP, without a connection."""

from contextlib import AbstractAsyncContextManager

from forestay.core.facts.source import Source
from forestay.core.fanout.callers import caller
from forestay.core.fanout.outbox import Outbox
from forestay.core.ports.observer import RefusedMessage
from forestay.core.ports.runtime import Runtime
from forestay.core.rooms.publishing import Publisher
from forestay.core.rules.access import Identity
from forestay.core.rules.policies import Policies
from forestay.core.rules.user_rates import UserRates
from forestay.core.sessions.addresses import public_room
from forestay.core.sessions.broadcast_hook import AskedMessage
from forestay.core.sessions.broadcasts import target
from forestay.core.sessions.dispatcher import Handlers, cost_of
from forestay.protocol import requests
from forestay.protocol.codes import Refusal
from forestay.protocol.names import parse_room
from forestay.protocol.position import Position
from forestay.protocol.replies import HistoryReply, PresenceReply
from forestay.protocol.trace import TraceContext


class SingleRequests:
    """The requests of verified callers. All methods but `refused` raise Refusal."""

    def __init__(
        self,
        runtime: Runtime,
        rates: UserRates,
        policies: Policies,
        publisher: Publisher,
        handlers: Handlers,
        outbox: Outbox,
    ) -> None:
        self._loop = runtime.loop
        self._perf = runtime.perf
        self._observer = runtime.observer
        self._traffic = runtime.traffic
        self._rates = rates
        self._policies = policies
        self._publisher = publisher
        self._broadcasts = handlers.broadcasts
        self._queries = handlers.queries
        self._calls = handlers.calls
        self._outbox = outbox

    def spend(self, identity: Identity, size: int = 0, cost: float = 1.0) -> None:
        """Count a request against the rate of its user on this pod."""
        self._rates.spend(identity.user, self._loop.time(), size, cost)

    async def publish(
        self,
        identity: Identity,
        request: requests.Broadcast | requests.Binary,
        own: str | None,
        trace: TraceContext | None,
    ) -> Position | None:
        """Publish a message and wait for the outcome. Returns its position in a room with history.

        `own`: the id of a connection of the same user, which does not get the message where `echo` says so.
        """
        key = None
        if isinstance(request, requests.Binary):
            name = public_room(request.room or "")
            policy = self._policies.of(name)
            message = self._broadcasts.binary_message(identity, name, policy, request, own, trace)
        else:
            name = target(identity, request.room)
            policy = self._policies.of(name)
            key, message = request.key, self._broadcasts.json_message(identity, name, policy, request, own, trace)
        hook = self._broadcasts.hook_of(policy)
        if hook is not None:
            message = await hook.require(AskedMessage(caller(identity, None, "http"), message))
        return await self._publisher.accepted(message, Source(self._perf(), own), key)

    async def call(self, identity: Identity, request: requests.Call, trace: TraceContext | None) -> bytes:
        """The application's answer to a call, as JSON."""
        return await self._calls.answer(caller(identity, None, "http"), request, trace)

    async def history(self, identity: Identity, request: requests.History) -> HistoryReply:
        """A page of the history of a room."""
        self.spend(identity, cost=cost_of(request))
        return await self._queries.read_history(identity, request)

    async def presence(self, identity: Identity, request: requests.Presence) -> PresenceReply:
        """A page of the users in a room."""
        self.spend(identity, cost=cost_of(request))
        return await self._queries.read_presence(identity, request)

    def turn(self) -> AbstractAsyncContextManager[None]:
        """The turn to encode an answer that may be large. See Outbox.large."""
        return self._outbox.large

    def received(self, kind: str, size: int) -> None:
        """Report a request of `size` bytes. `kind`: the type of the message that a connection would have sent."""
        self._traffic.receive(kind, size)

    def refused(self, refusal: Refusal, room: str, trace: TraceContext | None) -> None:
        """Report that a request about `room` was refused."""
        if self._observer is None:
            return
        name = parse_room(room)
        pattern = None if name is None else self._policies.of(name).pattern
        self._observer.refused(refusal.code, Source(self._perf()), RefusedMessage(trace, pattern), room, None)
