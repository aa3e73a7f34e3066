"""Chooses the bus and wires the core of one pod: which part is given which."""

import asyncio
import random
import secrets
import time
from dataclasses import dataclass
from functools import partial

from forestay.bus.memory.bus import MemoryBus
from forestay.bus.memory.registry import MemoryRegistry
from forestay.bus.redis.bus import RedisBus
from forestay.bus.redis.registry import RedisRegistry
from forestay.core.cluster.control import ControlChannel
from forestay.core.cluster.heartbeat import Heartbeat
from forestay.core.cluster.revocations import Revocations, RevokedToo
from forestay.core.cluster.user_limit import UserLimit
from forestay.core.fanout.delivery import Delivery, Pace
from forestay.core.fanout.hub import Hub
from forestay.core.fanout.rooms import Rooms
from forestay.core.fanout.slow import Backpressure
from forestay.core.ports.bus import Bus, Heard
from forestay.core.ports.observer import Observer
from forestay.core.ports.registry import Registry
from forestay.core.ports.runtime import Runtime
from forestay.core.ports.tasks import Tasks
from forestay.core.ports.tracer import Tracer
from forestay.core.ports.verifier import Verifier
from forestay.core.rooms.membership import Membership
from forestay.core.rooms.presence import Presence
from forestay.core.rooms.publishing import Publisher
from forestay.core.rooms.recovery import Recovery
from forestay.core.rooms.subscriptions import Subscriptions
from forestay.core.rules.lifecycle import Lifecycle
from forestay.core.rules.policies import Policies
from forestay.core.sessions.backend import Backend
from forestay.core.sessions.dispatcher import Dispatcher
from forestay.core.sessions.keepalive import Patience
from forestay.core.sessions.relocation import Relocation
from forestay.core.sessions.sessions import SessionLimits, Sessions
from forestay.protocol.codes import CloseCode
from forestay.protocol.message import Kind, Message
from forestay.protocol.v1.encoder import Encoder
from forestay.protocol.v1.reader import Reader
from forestay.settings import MEMORY, Settings


@dataclass(frozen=True, slots=True)
class Links:
    """The connections of this pod to the others."""

    pod: str
    """This pod's name, which no other pod has had."""
    bus: Bus
    registry: Registry


@dataclass(frozen=True, slots=True)
class Pod:
    """The assembled core of one pod: the parts that the rest of the pod uses."""

    bus: Bus
    lifecycle: Lifecycle
    verifier: Verifier
    hub: Hub
    rooms: Rooms
    recovery: Recovery
    subscriptions: Subscriptions
    presence: Presence
    heartbeat: Heartbeat
    control: ControlChannel
    sessions: Sessions
    relocation: Relocation
    dispatcher: Dispatcher
    backend: Backend


def link(settings: Settings, observer: Observer, tasks: Tasks) -> Links:
    """Build the bus and the registry that BUS_URL names. Connects to nothing yet."""
    pod, url = f"p{new_id()}", settings.bus_url.get_secret_value()
    if url == MEMORY:
        memory = MemoryBus()
        return Links(pod, memory, MemoryRegistry(pod, memory))
    redis = RedisBus(
        url,
        timeout=settings.bus_timeout,
        probe_interval=settings.bus_probe_interval,
        observer=observer,
        new_id=new_id,
    )
    return Links(pod, redis, RedisRegistry(pod, redis))


def assemble(
    settings: Settings,
    policies: Policies,
    links: Links,
    verifier: Verifier,
    observer: Observer | None = None,
    tracer: Tracer | None = None,
) -> Pod:
    """Wire the core of one pod together, inside the running loop."""
    bus, registry = links.bus, links.registry
    hub, rooms = Hub(), Rooms(policies)
    runtime = Runtime(asyncio.get_running_loop(), time.time, new_id, random.uniform, observer, tracer)
    pace = Pace(settings.flush_rest, settings.flush_rest_cap)
    delivery = Delivery(runtime, hub, rooms, Backpressure(settings.send_buffer_bytes), Encoder(runtime.clock), pace)
    recovery = Recovery(runtime, bus, policies, delivery.hear, delivery.resync)
    presence = Presence(runtime, bus, registry, policies, settings.presence_grace)
    user_limit = UserLimit(registry, hub, settings.max_connections_per_user, settings.user_limit_policy)
    revocations = Revocations(runtime, registry, hub)
    heartbeat = Heartbeat(links.pod, registry, presence, user_limit, revocations, settings.presence_lease)
    subscriptions = Subscriptions(runtime, bus, recovery)
    membership = Membership(runtime, rooms, subscriptions, presence, delivery, settings.bus_timeout)
    sessions = Sessions(runtime, _terms(settings), hub, membership, user_limit, revocations)
    relocation = Relocation(runtime, sessions)
    control = ControlChannel(runtime, bus, heartbeat, rooms, sessions, revocations)
    sessions.yielding = partial(control.end, code=CloseCode.CONNECTION_LIMIT)
    bus.listen(_sorted(recovery, control), recovery.doubt)
    publisher = Publisher(runtime, bus, policies)
    vetting = RevokedToo(verifier, revocations)
    dispatcher = Dispatcher(runtime, Reader(settings.json_depth), vetting, sessions, membership, publisher)
    backend = Backend(runtime, registry, policies, publisher, presence, control)
    return Pod(
        bus=bus,
        lifecycle=Lifecycle(),
        verifier=vetting,
        hub=hub,
        rooms=rooms,
        recovery=recovery,
        subscriptions=subscriptions,
        presence=presence,
        heartbeat=heartbeat,
        control=control,
        sessions=sessions,
        relocation=relocation,
        dispatcher=dispatcher,
        backend=backend,
    )


def _terms(settings: Settings) -> SessionLimits:
    return SessionLimits(
        message_bytes=settings.max_message_bytes,
        rate=settings.message_rate,
        burst=settings.message_burst,
        rooms=settings.rooms_per_connection,
        longest_stay=settings.rebalance_max_age,
        lead=settings.drain_lead,
        patience=Patience(settings.ping_interval, settings.pong_timeout),
        reconnect_spread=settings.reconnect_spread,
    )


def _sorted(recovery: Recovery, control: ControlChannel) -> Heard:
    def heard(message: Message) -> None:
        if message.kind is Kind.PODS:
            control.hear(message)
        else:
            recovery.hear(message)

    return heard


def new_id() -> str:
    """Return a name that nothing else has had."""
    return secrets.token_urlsafe(9)
