"""Wires the core of one pod: it says which part gets which others."""

import asyncio
import random
import socket
import time
from dataclasses import dataclass, field

from forestay import __version__, build
from forestay.bus.memory.bus import MemoryBus
from forestay.core.cluster.all_pods import AllPods
from forestay.core.cluster.answers import About, Answers, Condition, Here
from forestay.core.cluster.control import ControlChannel
from forestay.core.cluster.heartbeat import Heartbeat
from forestay.core.cluster.looking import Looking
from forestay.core.cluster.pods import Pods
from forestay.core.cluster.registration import Registration
from forestay.core.cluster.revocations import Revocations, RevocationVerifier
from forestay.core.cluster.tickets import Tickets
from forestay.core.cluster.user_limit import UserLimit, UserLimitRules
from forestay.core.facts.traffic import Traffic
from forestay.core.facts.watching import Watching
from forestay.core.fanout.delivery import Delivery
from forestay.core.fanout.hub import Hub
from forestay.core.fanout.outbox import Outbox
from forestay.core.fanout.passes import Passes
from forestay.core.fanout.rests import Pace
from forestay.core.fanout.rooms import Rooms
from forestay.core.fanout.slow import SlowReaders
from forestay.core.hooks.hooks import Hooks
from forestay.core.ports.bus import Bus
from forestay.core.ports.group_writer import GroupWriter
from forestay.core.ports.observer import Observer
from forestay.core.ports.operating import Operating
from forestay.core.ports.runtime import Runtime
from forestay.core.ports.tracer import Tracer
from forestay.core.ports.verifier import Verifier
from forestay.core.rooms.join_requests import JoinRules
from forestay.core.rooms.joins import Joins
from forestay.core.rooms.membership import Membership
from forestay.core.rooms.placement import Placement
from forestay.core.rooms.presence import Presence
from forestay.core.rooms.publishing import Publisher
from forestay.core.rooms.recovery import Recovery
from forestay.core.rooms.resumes import Resumes
from forestay.core.rooms.subscriptions import Subscriptions
from forestay.core.rules.budgets import UserAmounts
from forestay.core.rules.hooks import Hook
from forestay.core.rules.lifecycle import Lifecycle
from forestay.core.rules.policies import Policies
from forestay.core.rules.rate_limit import Rates
from forestay.core.rules.session_limits import KeepaliveTimes, SessionLimits
from forestay.core.rules.user_rates import UserRates
from forestay.core.sessions.backend import Backend
from forestay.core.sessions.broadcast_hook import BroadcastHook
from forestay.core.sessions.broadcasts import Broadcasts
from forestay.core.sessions.calls import Calls
from forestay.core.sessions.dispatcher import Dispatcher, Handlers
from forestay.core.sessions.first_rooms import FirstRooms
from forestay.core.sessions.join_hook import JoinHook
from forestay.core.sessions.keepalive import Keepalive
from forestay.core.sessions.queries import Queries
from forestay.core.sessions.rejoining import Rejoining
from forestay.core.sessions.relocation import Relocation
from forestay.core.sessions.renewal import Renewal
from forestay.core.sessions.room_requests import RoomRequests
from forestay.core.sessions.sessions import Sessions
from forestay.core.sessions.single_requests import SingleRequests
from forestay.pod.hooks import hook_rules
from forestay.pod.links import Links, new_id
from forestay.protocol.sse.wire import SseWire
from forestay.protocol.v1.compressed import Compression, V1Wires
from forestay.protocol.v1.reader import Reader
from forestay.settings.settings import Settings, pod_identity


@dataclass(frozen=True, slots=True)
class Observed:
    """What observes the core, None where there is no such observer; and what operators see beside it."""

    observer: Observer | None = None
    tracer: Tracer | None = None
    traffic: Traffic = field(default_factory=Traffic)
    operating: Operating = field(default_factory=Operating)


@dataclass(frozen=True, slots=True)
class Pod:
    """The assembled core of one pod: the parts that the rest of the pod uses."""

    bus: Bus
    lifecycle: Lifecycle
    drain_asked: asyncio.Event
    verifier: Verifier
    tickets: Tickets
    hooks: Hooks | None
    """Asks the application; None where it has no hooks."""
    wires: V1Wires
    sse: SseWire
    hub: Hub
    rooms: Rooms
    recovery: Recovery
    subscriptions: Subscriptions
    presence: Presence
    joins: Joins
    placement: Placement
    pods: Pods
    heartbeat: Heartbeat
    control: ControlChannel
    sessions: Sessions
    rejoining: Rejoining
    relocation: Relocation
    dispatcher: Dispatcher
    first_rooms: FirstRooms
    single_requests: SingleRequests
    backend: Backend
    all_pods: AllPods
    watching: Watching


def assemble(
    settings: Settings,
    policies: Policies,
    links: Links,
    verifier: Verifier,
    observed: Observed,
    group_writer: GroupWriter | None = None,
) -> Pod:
    """Wire the core of one pod together, inside the running loop."""
    bus, registry, tasks = links.bus, links.registry, links.tasks
    loop, limits = asyncio.get_running_loop(), session_limits(settings)
    runtime = Runtime(
        loop,
        time.time,
        time.perf_counter,
        new_id,
        random.uniform,
        tasks,
        observed.observer,
        observed.tracer,
        observed.traffic,
    )

    application, hooks = links.application, None
    if application is not None:
        hooks = Hooks(runtime, application.form, hook_rules(settings, application))
    hub, rooms = Hub(), Rooms(policies)
    slow = SlowReaders(settings.send_buffer_bytes, runtime.observer)
    passes = Passes(runtime, slow, Pace(settings.flush_rest, settings.flush_rest_cap), group_writer)
    outbox = Outbox(runtime, rooms, passes, slow)

    # Two parts of what a joiner missed, and the next page that it asks for, wait for it without making it slow.
    part_bytes = min(65536, settings.send_buffer_bytes // 4)
    recovery = Recovery(runtime, bus, policies, Delivery(runtime, hub, rooms, passes), part_bytes)
    subscriptions = Subscriptions(runtime, bus, recovery)
    presence = Presence(runtime, bus, registry, policies, settings.presence_grace)
    amounts = UserAmounts(settings.user_new_rooms, settings.user_keys)
    publisher = Publisher(runtime, bus, policies, limits.message_bytes, amounts)
    membership = Membership(rooms, subscriptions, presence, Resumes(runtime, rooms, recovery, outbox), outbox, hooks)
    join_rules = JoinRules(policies, settings.bus_timeout, limits.message_bytes)
    joins = Joins(runtime, membership, subscriptions, recovery, presence, join_rules)

    pods, lifecycle = Pods(links.pod, registry), Lifecycle()
    revocations = Revocations(runtime, registry, hub)
    about = About(links.pod, _host(), __version__, build.kind(), "memory" if isinstance(bus, MemoryBus) else "redis")
    condition = Condition(bus, lifecycle, asyncio.Event())
    placement = Placement(runtime, hub, joins, policies, limits, outbox)
    looking = Looking(runtime, links.pod, hub, rooms, slow, observed.operating)
    answers = Answers(about, condition, Here(hub, rooms), placement, presence, looking)
    control = ControlChannel(runtime, bus, pods, hub, answers, revocations)
    all_pods = AllPods(control)
    user_rules = UserLimitRules(settings.max_connections_per_user, settings.user_limit_policy)
    user_limit = UserLimit(registry, hub, control, user_rules)
    heartbeat = Heartbeat(pods, registry, presence, user_limit, revocations, settings.presence_lease)
    registration = Registration(hub, user_limit, revocations, presence, hooks)

    relocation = Relocation(runtime, registration, outbox, limits.lead)
    keepalive = Keepalive(runtime, limits, relocation)
    sessions = Sessions(runtime, limits, registration, joins, keepalive, outbox)
    rates = Rates(limits.rate, limits.burst, limits.bytes_rate, limits.message_bytes)
    checked = RevocationVerifier(verifier, revocations)
    join_hook = JoinHook(hooks, policies)
    handlers = Handlers(
        broadcasts=Broadcasts(policies, publisher, outbox, None if hooks is None else BroadcastHook(hooks, publisher)),
        rooms=RoomRequests(policies, limits, joins, outbox, join_hook),
        queries=Queries(policies, presence, publisher, outbox, limits.message_bytes),
        renewal=Renewal(checked, sessions, outbox),
        calls=Calls(hooks if hooks is not None and hooks.asks(Hook.CALL) else None, outbox),
    )
    return Pod(
        bus=bus,
        lifecycle=lifecycle,
        drain_asked=condition.drain_asked,
        verifier=checked,
        hooks=hooks,
        tickets=Tickets(runtime, registry, checked, revocations),
        wires=V1Wires(
            runtime.clock,
            Reader(settings.json_depth, settings.rooms_per_connection),
            limits.message_bytes,
            Compression(settings.compression_min_bytes, limits.message_bytes) if settings.compression else None,
        ),
        sse=SseWire(runtime.clock, settings.max_message_bytes),
        hub=hub,
        rooms=rooms,
        recovery=recovery,
        subscriptions=subscriptions,
        presence=presence,
        joins=joins,
        placement=placement,
        pods=pods,
        heartbeat=heartbeat,
        control=control,
        sessions=sessions,
        rejoining=Rejoining(runtime, limits, joins, outbox, join_hook),
        relocation=relocation,
        dispatcher=Dispatcher(runtime, limits, handlers, outbox),
        first_rooms=FirstRooms(runtime, handlers.rooms, outbox),
        single_requests=SingleRequests(runtime, UserRates(rates), policies, publisher, handlers, outbox),
        backend=Backend(runtime, registry, policies, publisher, presence, all_pods),
        all_pods=all_pods,
        watching=runtime.watching,
    )


def _host() -> str:
    return pod_identity().pod or socket.gethostname()


def session_limits(settings: Settings) -> SessionLimits:
    """Return the limits of every connection, as the settings give them."""
    return SessionLimits(
        message_bytes=settings.max_message_bytes,
        rate=settings.message_rate,
        burst=settings.message_burst,
        bytes_rate=settings.message_bytes_rate,
        rooms=settings.rooms_per_connection,
        keepalive=KeepaliveTimes(settings.ping_interval, settings.pong_timeout),
        reconnect_spread=settings.reconnect_spread,
        max_age=settings.rebalance_max_age,
        lead=settings.drain_lead,
    )
