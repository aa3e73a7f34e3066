"""The cluster side of one pod for unit tests: real parts on a memory bus, without sessions, in the loop's own time."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Final

from forestay.bus.memory.bus import Exchange, MemoryBus
from forestay.bus.memory.registry import RegistryState
from forestay.core.cluster.all_pods import AllPods
from forestay.core.cluster.answers import About, Answers, Condition, Here
from forestay.core.cluster.control import ControlChannel
from forestay.core.cluster.heartbeat import Heartbeat
from forestay.core.cluster.looking import Looking
from forestay.core.cluster.pods import Pods
from forestay.core.cluster.registration import Registration
from forestay.core.cluster.revocations import Revocations
from forestay.core.cluster.user_limit import UserLimit, UserLimitPolicy, UserLimitRules
from forestay.core.fanout.connection import Connection
from forestay.core.fanout.delivery import Delivery
from forestay.core.fanout.hub import Hub
from forestay.core.fanout.outbox import Outbox
from forestay.core.fanout.passes import Passes
from forestay.core.fanout.rests import Pace
from forestay.core.fanout.rooms import Rooms
from forestay.core.fanout.slow import SlowReaders
from forestay.core.ports.bus import Subscriber
from forestay.core.ports.operating import Operating
from forestay.core.ports.runtime import Runtime
from forestay.core.rooms.join_requests import JoinRules
from forestay.core.rooms.joins import Joins
from forestay.core.rooms.membership import Membership
from forestay.core.rooms.placement import Placement
from forestay.core.rooms.presence import Presence
from forestay.core.rooms.recovery import Recovery
from forestay.core.rooms.resumes import Resumes
from forestay.core.rooms.subscriptions import Subscriptions
from forestay.core.rules.access import Identity, Rights
from forestay.core.rules.lifecycle import Lifecycle
from forestay.core.rules.policies import Policies, Policy
from forestay.core.rules.rate_limit import Rates, TokenBucket
from forestay.core.rules.session_limits import KeepaliveTimes, SessionLimits
from forestay.protocol.codes import Ending
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.wire import Wire
from tests.support.core import V1, RecordingTransport
from tests.support.registry import ReluctantRegistry
from tests.support.subscriber import FunctionSubscriber
from tests.support.tasks import PlainTasks

BORN: Final = 1_700_000_000.0
"""Unix seconds when the loop of a test starts."""

LEASE: Final = 15.0
GRACE: Final = 10.0

QUIET, LOUD = RoomName("quiet.a"), RoomName("loud.a")
"""Two rooms with presence; only the second one has `join_leave`."""

POLICIES: Final = (Policy("quiet.*", presence=True), Policy("loud.*", presence=True, join_leave=True))


def virtual_runtime() -> Runtime:
    """A Runtime whose Unix time is that of the running loop, and whose random numbers are in the middle."""
    loop = asyncio.get_running_loop()
    numbers = itertools.count(1)
    return Runtime(
        loop=loop,
        clock=lambda: BORN + loop.time(),
        perf=loop.time,
        new_id=lambda: f"c{next(numbers)}",
        uniform=lambda low, high: (low + high) / 2,
        tasks=PlainTasks(),
    )


def make_connection(
    runtime: Runtime,
    identity: Identity,
    end: Callable[[Connection, Ending], None] = lambda *_: None,
    wire: Wire = V1,
) -> Connection:
    """A connection with an id of its own and a transport that records."""
    bucket, now = TokenBucket(Rates(1, 1), 0.0), runtime.loop.time()
    return Connection(runtime.new_id(), identity, RecordingTransport(wire), bucket, now, end)


class Shared:
    """What the pods of one test share."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.runtime = virtual_runtime()
        self.exchange = Exchange(loop.time)
        self.state = RegistryState(loop.time, self.runtime.clock)


class RecordingBus(MemoryBus):
    """A memory bus that records what it delivers to its pod."""

    def __init__(self, exchange: Exchange, delivered: list[Message]) -> None:
        super().__init__(exchange)
        self._delivered = delivered

    def subscribe(self, room: RoomName, subscriber: Subscriber) -> None:
        def received(message: Message) -> None:
            self._delivered.append(message)
            subscriber.received(message)

        super().subscribe(room, FunctionSubscriber(subscriber.confirmed, received, subscriber.doubted))


class ClusterPod:
    """One pod. Make it inside a running loop."""

    def __init__(
        self,
        name: str = "p1",
        shared: Shared | None = None,
        *,
        per_user: int = 0,
        policy: UserLimitPolicy = UserLimitPolicy.REJECT,
        lease: float = LEASE,
    ) -> None:
        shared = shared or Shared()
        self.shared = shared
        self.runtime = runtime = shared.runtime
        self.received: list[Message] = []
        """What the bus delivered here, control messages included."""
        self.bus = RecordingBus(shared.exchange, self.received)
        self.registry = ReluctantRegistry(name, self.bus, shared.state)
        policies = Policies(POLICIES)
        self.hub, self.rooms, self.pods = Hub(), Rooms(policies), Pods(name, self.registry)
        self.presence = Presence(runtime, self.bus, self.registry, policies, GRACE)
        self.revocations = Revocations(runtime, self.registry, self.hub)
        about = About(name, name, "0", "plain", "memory")
        condition, placement = Condition(self.bus, Lifecycle(), asyncio.Event()), self._placement(policies)
        slow = SlowReaders(2**20, None)
        looking = Looking(runtime, name, self.hub, self.rooms, slow, Operating())
        answers = Answers(about, condition, Here(self.hub, self.rooms), placement, self.presence, looking)
        self.control = ControlChannel(runtime, self.bus, self.pods, self.hub, answers, self.revocations)
        self.all_pods = AllPods(self.control)
        self.user_limit = UserLimit(self.registry, self.hub, self.control, UserLimitRules(per_user, policy))
        self.registration = Registration(self.hub, self.user_limit, self.revocations, self.presence)
        self.heartbeat = Heartbeat(self.pods, self.registry, self.presence, self.user_limit, self.revocations, lease)
        self.control.start()

    def _placement(self, policies: Policies) -> Placement:
        runtime, slow = self.runtime, SlowReaders(2**20, None)
        passes = Passes(runtime, slow, Pace(0, 0))
        outbox = Outbox(runtime, self.rooms, passes, slow)
        recovery = Recovery(runtime, self.bus, policies, Delivery(runtime, self.hub, self.rooms, passes), 65536)
        subscriptions = Subscriptions(runtime, self.bus, recovery)
        resumes = Resumes(runtime, self.rooms, recovery, outbox)
        membership = Membership(self.rooms, subscriptions, self.presence, resumes, outbox)
        joins = Joins(runtime, membership, subscriptions, recovery, self.presence, JoinRules(policies, 1.0, 65536))
        limits = SessionLimits(65536, 0, 1, 0, 100, KeepaliveTimes(25, 10), 0, 0, 0)
        return Placement(runtime, self.hub, joins, policies, limits, outbox)

    def connection(self, user: str = "alice", *, token: str | None = None) -> Connection:
        """A connection that is not registered. `token`: the `jti` of its token."""
        identity = Identity(user, Rights({"**": "rw"}), BORN + 3600, token_id=token)
        return make_connection(self.runtime, identity, self._end)

    async def connect(self, user: str = "alice", *, token: str | None = None) -> Connection:
        """A connection that is registered."""
        connection = self.connection(user, token=token)
        assert await self.registration.register(connection) is None
        return connection

    def join(self, connection: Connection, *names: str) -> None:
        """Put `connection` into rooms, without presence and subscriptions."""
        for name in map(RoomName, names):
            self.rooms.enter(name).add(connection)
            connection.rooms.add(name)

    def counted(self, user: str = "alice") -> list[str]:
        """The connections of `user` that the registry counts, oldest first."""
        return list(self.shared.state.claims.get(user, ()))

    def _end(self, connection: Connection, ending: Ending) -> None:
        if connection.ended is None:
            connection.ended = ending
            for room in self.rooms.of(connection):
                room.remove(connection)
            connection.rooms.clear()
            self.registration.remove(connection)
