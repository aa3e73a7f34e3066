"""The registry within one process: pods that share a RegistryState know of each other.

Nothing survives the process.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic, time

from forestay.bus.memory.bus import MemoryBus
from forestay.bus.memory.history import within
from forestay.core.ports.bus import PAGE_BYTES, Outcome
from forestay.core.ports.registry import Claim, HeartbeatReply, Holdings, Revocation, nothing
from forestay.core.ports.verifier import TicketUse
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.presence import Member, PresencePage


class RegistryState:
    """What the pods of one process have registered."""

    def __init__(self, clock: Callable[[], float] = monotonic, unix: Callable[[], float] = time) -> None:
        self.clock = clock
        self.unix = unix
        self.leases: dict[str, float] = {}
        """By pod, the time when its lease ends."""
        self.load: dict[str, int] = {}
        """By pod, its number of connections."""
        self.rooms: dict[RoomName, dict[str, dict[str, Member]]] = {}
        """By room and user, the entry of each pod."""
        self.claims: dict[str, dict[str, str]] = {}
        """By user, the connections in their order, with their pods."""
        self.revocations: dict[int, Revocation] = {}
        """By rising numbers. Those that have ended are dropped with the next one."""
        self.last_revocation = 0
        self.tickets: dict[str, MemoryTicket] = {}
        """In the order in which they came. Those that have ended are dropped with the next one."""


@dataclass(slots=True)
class MemoryTicket:
    """What is kept of a ticket."""

    held: bytes
    until: float
    longest: float
    """The time to which a stream keeps it."""
    secret: str | None = None
    """Of the stream that it has opened."""


class MemoryRegistry:
    def __init__(self, pod: str, bus: MemoryBus, state: RegistryState | None = None) -> None:
        self._pod = pod
        self._bus = bus
        self._state = state or RegistryState()
        self._last_revocation = 0
        """The number of the last revocation that this pod knows."""

    def put(
        self,
        member: Member,
        room: RoomName,
        news: Message | None,
        settled: Callable[[Outcome], None],
        told: bytes | None = None,
    ) -> None:
        occupied = room in self._state.rooms
        users = self._state.rooms.setdefault(room, {})
        pods = users.setdefault(member.user, {})
        was_there = bool(pods)
        if member.connections:
            pods[self._pod] = member
        else:
            pods.pop(self._pod, None)
        self._remove_empty(room, member.user)
        if news is not None and was_there != bool(pods):
            self._bus.publish(news)
        if occupied != (room in self._state.rooms):
            self._bus.tell(told)
        settled(Outcome.ACCEPTED)

    async def presence_page(
        self, room: RoomName, after: str | None, limit: int, max_bytes: int = PAGE_BYTES
    ) -> PresencePage:
        users = self._state.rooms.get(room, {})
        members = [_total(user, list(users[user].values())) for user in sorted(users, key=str.encode)]
        rest = [member for member in members if after is None or member.user.encode() > after.encode()]
        connections = sum(member.connections for member in members)
        page = within(rest[:limit], max_bytes, lambda one: len(one.user.encode()) + len(one.info or b""))
        return PresencePage(connections, len(members), page, len(rest) > len(page))

    async def claim(self, user: str, connection: str, limit: int, *, replace: bool) -> Claim:
        claimed = self._state.claims.setdefault(user, {})
        yielding: list[str] = []
        if limit and connection not in claimed and len(claimed) >= limit:
            if not replace:
                return Claim(granted=False)
            yielding = list(claimed)[: len(claimed) - limit + 1]
            for id in yielding:
                del claimed[id]
        claimed[connection] = self._pod
        return Claim(granted=True, yielding=yielding)

    def release(self, user: str, connection: str, settled: Callable[[Outcome], None]) -> None:
        claimed = self._state.claims.get(user, {})
        claimed.pop(connection, None)
        if not claimed:
            self._state.claims.pop(user, None)
        settled(Outcome.ACCEPTED)

    async def revoke(self, revocation: Revocation) -> None:
        state, now = self._state, self._state.unix()
        for number in [number for number, known in state.revocations.items() if known.until <= now]:
            del state.revocations[number]
        state.last_revocation += 1
        state.revocations[state.last_revocation] = revocation

    async def keep_ticket(self, name: str, held: bytes, seconds: float, longest: float) -> None:
        now, tickets = self._state.clock(), self._state.tickets
        for ended in [one for one, ticket in tickets.items() if ticket.until <= now]:
            del tickets[ended]
        tickets[name] = MemoryTicket(held, now + seconds, now + longest)

    async def use_ticket(self, name: str, use: TicketUse, secret: str) -> bytes | None:
        ticket = self._state.tickets.get(name)
        if ticket is None or ticket.until <= self._state.clock():
            return None
        if use is TicketUse.RESUME:
            return ticket.held if secret and ticket.secret == secret else None
        if ticket.secret is not None:
            return None
        if use is TicketUse.CONNECT:
            del self._state.tickets[name]
        elif use is TicketUse.STREAM:
            ticket.secret, ticket.until = secret, ticket.longest
        return ticket.held

    async def heartbeat(self, lease: float, connections: int = 0) -> HeartbeatReply:
        state, now = self._state, self._state.clock()
        known = state.leases.get(self._pod, 0.0) > now
        state.leases[self._pod] = now + lease
        state.load[self._pod] = connections
        new = [revocation for number, revocation in state.revocations.items() if number > self._last_revocation]
        self._last_revocation = state.last_revocation
        alive = [pod for pod, until in state.leases.items() if until > now]
        expired = [pod for pod in state.leases if pod not in alive]
        return HeartbeatReply(known, alive, expired, new, {pod: state.load[pod] for pod in alive if pod in state.load})

    async def pods(self) -> Sequence[str]:
        return list(self._state.load)

    async def recall(self) -> Holdings:
        state = self._state
        presence = [
            (room, user) for room, users in state.rooms.items() for user, pods in users.items() if self._pod in pods
        ]
        return Holdings(
            presence,
            [(user, id) for user, claimed in state.claims.items() for id, pod in claimed.items() if pod == self._pod],
        )

    async def reap(
        self, pod: str, told: Callable[[RoomName], bytes | None] = nothing
    ) -> Sequence[tuple[RoomName, str]]:
        state = self._state
        gone: list[tuple[RoomName, str]] = []
        for room, users in list(state.rooms.items()):
            for user, pods in list(users.items()):
                if pods.pop(pod, None) is not None and not pods:
                    gone.append((room, user))
                self._remove_empty(room, user)
            if room not in state.rooms:
                self._bus.tell(told(room))
        for user, claimed in list(state.claims.items()):
            state.claims[user] = {id: owner for id, owner in claimed.items() if owner != pod}
            if not state.claims[user]:
                del state.claims[user]
        state.leases.pop(pod, None)
        state.load.pop(pod, None)
        return gone

    async def retire(self, grace: float) -> None:
        if grace:
            self._state.leases[self._pod] = self._state.clock() + grace
            self._state.load.pop(self._pod, None)
        else:
            await self.reap(self._pod)

    def _remove_empty(self, room: RoomName, user: str) -> None:
        """Delete the entries of a user or a room without connections."""
        users = self._state.rooms[room]
        if not users[user]:
            del users[user]
        if not users:
            del self._state.rooms[room]


def _total(user: str, entries: Sequence[Member]) -> Member:
    info = next((entry.info for entry in entries if entry.info is not None), None)
    return Member(user, sum(entry.connections for entry in entries), info)
