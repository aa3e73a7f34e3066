"""The registry in one process: pods that share a Census know of one another as long as the process lives."""

from collections.abc import Callable, Sequence
from time import monotonic

from forestay.bus.memory.bus import MemoryBus
from forestay.core.ports.bus import Outcome
from forestay.core.ports.registry import Claim, HeartbeatReply, Holdings, Revocation
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.presence import Member, PresencePage


class Census:
    """What the pods of one process have said."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self.leases: dict[str, float] = {}
        self.load: dict[str, int] = {}
        """Connections by pod."""
        self.rooms: dict[RoomName, dict[str, dict[str, Member]]] = {}
        """By room and user, what each pod said."""
        self.claims: dict[str, dict[str, str]] = {}
        """By user, the connections in their order, and their pods."""
        self.revocations: list[Revocation] = []


class MemoryRegistry:
    def __init__(self, pod: str, bus: MemoryBus, census: Census | None = None) -> None:
        self._pod = pod
        self._bus = bus
        self._census = census or Census()
        self._learned = 0

    def put(self, stay: Member, room: RoomName, news: Message | None, settled: Callable[[Outcome], None]) -> None:
        users = self._census.rooms.setdefault(room, {})
        pods = users.setdefault(stay.user, {})
        was = bool(pods)
        if stay.connections:
            pods[self._pod] = stay
        else:
            pods.pop(self._pod, None)
        self._tidy(room, stay.user)
        if news is not None and was != bool(pods):
            self._bus.publish(news)
        settled(Outcome.ACCEPTED)

    async def presence_page(self, room: RoomName, after: str | None, limit: int) -> PresencePage:
        users = self._census.rooms.get(room, {})
        everybody = [_summed(user, list(users[user].values())) for user in sorted(users, key=str.encode)]
        behind = [one for one in everybody if after is None or one.user.encode() > after.encode()]
        connections = sum(one.connections for one in everybody)
        return PresencePage(connections, len(everybody), behind[:limit], len(behind) > limit)

    async def claim(self, user: str, connection: str, limit: int, *, replace: bool) -> Claim:
        mine = self._census.claims.setdefault(user, {})
        yielding: list[str] = []
        if limit and connection not in mine and len(mine) >= limit:
            if not replace:
                return Claim(granted=False)
            yielding = list(mine)[: len(mine) - limit + 1]
            for id in yielding:
                del mine[id]
        mine[connection] = self._pod
        return Claim(granted=True, yielding=yielding)

    def release(self, user: str, connection: str, settled: Callable[[Outcome], None]) -> None:
        mine = self._census.claims.get(user, {})
        mine.pop(connection, None)
        if not mine:
            self._census.claims.pop(user, None)
        settled(Outcome.ACCEPTED)

    async def revoke(self, revocation: Revocation) -> None:
        self._census.revocations.append(revocation)

    async def heartbeat(self, lease: float, connections: int = 0) -> HeartbeatReply:
        census, now = self._census, self._census.clock()
        known = census.leases.get(self._pod, 0.0) > now
        census.leases[self._pod] = now + lease
        census.load[self._pod] = connections
        new, self._learned = census.revocations[self._learned :], len(census.revocations)
        alive = [pod for pod, until in census.leases.items() if until > now]
        lapsed = [pod for pod in census.leases if pod not in alive]
        return HeartbeatReply(known, alive, lapsed, new, {pod: census.load[pod] for pod in alive if pod in census.load})

    async def recall(self) -> Holdings:
        census = self._census
        stays = [
            (room, user) for room, users in census.rooms.items() for user, pods in users.items() if self._pod in pods
        ]
        return Holdings(
            stays, [(user, id) for user, mine in census.claims.items() for id, pod in mine.items() if pod == self._pod]
        )

    async def reap(self, pod: str) -> Sequence[tuple[RoomName, str]]:
        census = self._census
        gone: list[tuple[RoomName, str]] = []
        for room, users in list(census.rooms.items()):
            for user, pods in list(users.items()):
                if pods.pop(pod, None) is not None and not pods:
                    gone.append((room, user))
                self._tidy(room, user)
        for user, mine in list(census.claims.items()):
            census.claims[user] = {id: owner for id, owner in mine.items() if owner != pod}
        census.leases.pop(pod, None)
        census.load.pop(pod, None)
        return gone

    async def retire(self, grace: float) -> None:
        if grace:
            self._census.leases[self._pod] = self._census.clock() + grace
            self._census.load.pop(self._pod, None)
        else:
            await self.reap(self._pod)

    def _tidy(self, room: RoomName, user: str) -> None:
        """Leave nothing behind of who is nowhere."""
        users = self._census.rooms[room]
        if not users[user]:
            del users[user]
        if not users:
            del self._census.rooms[room]


def _summed(user: str, stays: Sequence[Member]) -> Member:
    info = next((stay.info for stay in stays if stay.info is not None), None)
    return Member(user, sum(stay.connections for stay in stays), info)
