"""What a backend may do: publish, read history and presence on all pods, end connections, and revoke tokens.

Every room can be named here. The caller has checked the key of the backend and its scopes.
"""

from asyncio import Future, sleep
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from forestay.core.cluster.all_pods import AllPods
from forestay.core.cluster.control_messages import Connected, PodStatus
from forestay.core.facts.source import Source
from forestay.core.ports.bus import BusLost, Forgotten, Page, Query, Settlement, Unavailable
from forestay.core.ports.registry import Registry, Revocation
from forestay.core.ports.runtime import Runtime
from forestay.core.rooms.placement import Placing
from forestay.core.rooms.presence import Presence
from forestay.core.rooms.publishing import Publisher, refusal_of
from forestay.core.rules.access import MAX_USER, is_user
from forestay.core.rules.lifecycle import State
from forestay.core.rules.policies import Policies, Retention
from forestay.core.sessions.addresses import named_room
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.events import check_event
from forestay.protocol.message import Message
from forestay.protocol.names import PERSONAL, RoomName, personal_room
from forestay.protocol.position import Position
from forestay.protocol.presence import PresencePage
from forestay.protocol.trace import TraceContext

REVOCATION_TTL: Final = 86_400.0
"""Seconds for which a revocation is in force where the caller does not say."""

_SILENT: Final = "the pod did not answer in time; GET /v1/info says how it is, and a repeat is safe"

_POLICY: Final = "the policy of its pattern in FORESTAY_ROOMS_FILE can give it one"

# Messages that are published in one step of the loop.
_STEP: Final = 50


@dataclass(frozen=True, slots=True)
class Publication:
    """A message that a backend publishes."""

    room: RoomName
    payload: bytes
    """JSON, or a whole binary message. With `event`, a JSON array."""
    key: str | None = None
    event: str | None = None
    binary: bool = False
    trace: TraceContext | None = None


@dataclass(frozen=True, slots=True)
class HistoryPart:
    """The part of a history that a backend wants: after `since`, before `before`, in between, or the newest."""

    limit: int
    epoch: str | None
    """That of both bounds; None means the present one of the room."""
    since: int | None
    before: int | None


Published: TypeAlias = Position | Refusal | None
"""What came of one publication of several: accepted with a position or without one, or refused."""


class Backend:
    """The operations of the HTTP API, without HTTP."""

    def __init__(
        self,
        runtime: Runtime,
        registry: Registry,
        policies: Policies,
        publisher: Publisher,
        presence: Presence,
        all_pods: AllPods,
    ) -> None:
        self._runtime = runtime
        self._registry = registry
        self._policies = policies
        self._publisher = publisher
        self._presence = presence
        self._all_pods = all_pods

    def room(self, text: str) -> RoomName:
        """The room called `text`. Raises Refusal with INVALID_ROOM."""
        if text == PERSONAL:
            how = "as /v1/users/{user}/messages, or as 'user' of a message in /v1/publish"
            raise Refusal(ErrorCode.INVALID_ROOM, f"{PERSONAL} is the personal room of a client; name its user, {how}")
        return named_room(text)

    def personal(self, user: str) -> RoomName:
        """The personal room of `user`, whose name need not be a valid room name. Raises Refusal with BAD_MESSAGE."""
        if not is_user(user):
            limits = f"1 to {MAX_USER} characters, none of them a control character"
            raise Refusal(ErrorCode.BAD_MESSAGE, f"no user can have this name: it must have {limits}")
        return personal_room(user)

    async def publish(self, publication: Publication) -> Position | None:
        """Publish and wait for the outcome. Returns the position in a room with history. Raises Refusal."""
        settlement = await self._offer(publication)
        refusal = refusal_of(settlement)
        if refusal is not None:
            raise refusal
        return settlement.position

    async def publish_all(self, publications: Sequence[Publication | Refusal]) -> list[Published]:
        """Publish in this order, and wait for all outcomes. A refusal among them stays one, and refuses no other."""
        offers: list[Future[Settlement] | Refusal] = []
        for number, publication in enumerate(publications, 1):
            try:
                offers.append(publication if isinstance(publication, Refusal) else self._offer(publication))
            except Refusal as refusal:
                offers.append(refusal)
            if number % _STEP == 0:
                await sleep(0)
        results: list[Published] = []
        for offer in offers:
            if isinstance(offer, Refusal):
                results.append(offer)
            else:
                settlement = await offer
                results.append(refusal_of(settlement) or settlement.position)
        return results

    def _offer(self, publication: Publication) -> Future[Settlement]:
        room, payload, event = publication.room, publication.payload, publication.event
        if event is not None:
            check_event(event, payload, by_client=False)
        stamp = self._publisher.stamp()
        message = Message(room, payload, stamp, binary=publication.binary, trace=publication.trace, event=event)
        return self._publisher.offered(message, Source(self._runtime.perf(), by_client=False), publication.key)

    async def history(self, room: RoomName, part: HistoryPart) -> Page:
        """A page of the history of `room`. Raises Refusal."""
        kept = self._kept(room)
        epoch = part.epoch
        if epoch is None and (part.since is not None or part.before is not None):
            epoch = (await self._publisher.history(room, Query(1), kept)).top.epoch
        since, before = _position(epoch, part.since), _position(epoch, part.before)
        if since is None or before is None:
            return await self._publisher.history(room, Query(part.limit, since, before), kept)
        page = await self._publisher.history(room, Query(part.limit, since), kept)
        if before.epoch != page.top.epoch:
            return page
        within = [one for one in page.messages if one.position is not None and one.position.offset < before.offset]
        return replace(page, messages=within, more=page.more and len(within) == len(page.messages))

    async def forget_history(self, room: RoomName) -> Forgotten:
        """Delete the messages that `room` keeps. Raises Refusal."""
        self._kept(room)
        return await self._publisher.forget(room)

    def _kept(self, room: RoomName) -> Retention:
        kept = self._policies.of(room).history
        if kept is None:
            raise Refusal(ErrorCode.FORBIDDEN, f"this room has no history; {_POLICY}")
        return kept

    async def present(self, room: RoomName, after: str | None, limit: int) -> PresencePage:
        """A page of the users in `room`. Raises Refusal."""
        if not self._policies.of(room).presence:
            raise Refusal(ErrorCode.FORBIDDEN, f"this room has no presence; {_POLICY}")
        return await self._presence.page(room, after, limit)

    async def rooms(self, after: str, limit: int) -> tuple[list[tuple[str, int]], bool]:
        """Rooms after `after` that have members, with their number; and whether all pods answered."""
        return await self._all_pods.rooms(after, limit)

    async def connections(self, user: str) -> tuple[list[Connected], bool]:
        """The connections of `user` on all pods; and whether all pods answered."""
        return await self._all_pods.connections(user)

    async def pods(self) -> tuple[list[PodStatus], bool]:
        """Every pod that answered, sorted by name; and whether all did."""
        return await self._all_pods.statuses()

    async def drain(self, name: str) -> tuple[PodStatus, bool]:
        """Let a pod drain, by its own name or by that of its host. How it is then, and whether the drain begins now.

        Raises Refusal.
        """
        answer = await self._all_pods.drain(await self.pod(name))
        if answer is None:
            raise Refusal(ErrorCode.OUTCOME_UNKNOWN, _SILENT)
        status, begun = answer
        if status.state == State.STARTING.value:
            raise Refusal(ErrorCode.UNAVAILABLE, "the pod is still starting; try again", retry_after=1.0)
        return status, begun

    async def pod(self, name: str) -> str:
        """The name of a pod, by its own name or by that of its host. Raises Refusal."""
        statuses, complete = await self._all_pods.statuses()
        found = [one.pod for one in statuses if name in (one.pod, one.host)]
        if len(found) > 1:
            message = f"{len(found)} pods are on this host; name one of them: {', '.join(found)}"
            raise Refusal(ErrorCode.BAD_MESSAGE, message)
        if not found:
            if complete:
                raise Refusal(ErrorCode.NOT_FOUND, "there is no such pod; GET /v1/info lists the pods")
            raise Refusal(ErrorCode.OUTCOME_UNKNOWN, _SILENT)
        return found[0]

    async def place(
        self, room: RoomName, user: str, connection: str | None, *, remove: bool
    ) -> tuple[int, list[tuple[str, str]], bool]:
        """Put the connections of `user` into `room`, or take them out; with `connection`, only the one with this id.

        Returns how many are in it now, or have left it; the ids of those that could not, each with the error code; and
        whether all pods answered. Raises Refusal.
        """
        self.personal(user)
        return await self._all_pods.place(Placing(user, room, connection, remove))

    async def disconnect(self, user: str) -> tuple[int, bool]:
        """End the connections of `user` with 4403. How many there were, and whether all pods answered."""
        ended, complete = await self._all_pods.connections(user, end=True)
        return len(ended), complete

    async def forget_user(self, user: str) -> tuple[int, int, bool]:
        """Forget what is kept of `user`: the messages of its personal room, its connections and its presence.

        How many messages and how many connections there were, and whether all pods answered. Raises Refusal.
        """
        # First, because only this can be refused. Nothing has been done then.
        forgotten = await self._publisher.forget(self.personal(user))
        ended, complete = await self._all_pods.connections(user, end=True, forget=True)
        return forgotten.messages, len(ended), complete

    async def revoke(self, jti: str | None, user: str | None, before: float | None, until: float | None) -> None:
        """Revoke the token `jti`, or all tokens of `user` that were issued before `before`. Raises Refusal.

        `before`, `until`: Unix seconds; None means now, and a day from now.
        """
        now = self._runtime.clock()
        # Such an order revokes nothing, and the caller would take a user for shut out who is not.
        if until is not None and until <= now:
            when = f"'until' is over, at {until:.0f}: it is a time in Unix seconds, and now is {now:.0f}"
            raise Refusal(ErrorCode.BAD_MESSAGE, f"{when}; give a later one, or leave it out for 24 h")
        revocation = Revocation(
            jti=jti,
            user=user,
            before=now if before is None else before,
            until=now + REVOCATION_TTL if until is None else until,
        )
        try:
            await self._registry.revoke(revocation)
        except BusLost as lost:
            raise Unavailable.because(lost) from None
        self._all_pods.revoke(revocation)


def _position(epoch: str | None, offset: int | None) -> Position | None:
    return None if epoch is None or offset is None else Position(epoch, offset)
