"""Chooses the bus: builds what connects this pod to the others, and to the application."""

import secrets
import time
from dataclasses import dataclass

from forestay.bus.memory.bus import MemoryBus
from forestay.bus.memory.registry import MemoryRegistry
from forestay.bus.memory.webhooks import MemoryEvents, MemoryWebhooks
from forestay.bus.redis.bus import BusLimits, RedisBus
from forestay.bus.redis.completeness import SETTLING
from forestay.bus.redis.guard import Guard
from forestay.bus.redis.registry import RedisRegistry
from forestay.bus.redis.signatures import Signatures, Signer
from forestay.bus.redis.webhooks import RedisWebhooks
from forestay.core.ports.bus import Bus
from forestay.core.ports.observer import Observer
from forestay.core.ports.registry import Registry
from forestay.core.ports.tasks import Tasks
from forestay.core.ports.webhooks import WebhookQueue
from forestay.pod.hooks import Application
from forestay.pod.webhooks import event_bounds
from forestay.protocol.inspection import Inspector
from forestay.settings.settings import Settings
from forestay.settings.surroundings import MEMORY


@dataclass(frozen=True, slots=True)
class Links:
    """The connections of this pod to the others, and to the application."""

    pod: str
    """The name of this pod, unique among all pods."""
    bus: Bus
    registry: Registry
    tasks: Tasks
    webhooks: WebhookQueue
    """The events that wait for the receiver of webhooks."""
    application: Application | None = None
    """What asks the application; None where it has no hooks."""


def link(settings: Settings, observer: Observer, tasks: Tasks, settling: float = SETTLING) -> Links:
    """Build the bus and the registry that BUS_URL names. Connects to nothing yet.

    `settling`: seconds after a loss in which Redis may not know all pods.
    """
    pod, url = f"p{new_id()}", settings.bus_url.get_secret_value()
    lease, bounds = settings.presence_lease, event_bounds(settings)
    if url == MEMORY:
        events = MemoryEvents(bounds)
        memory = MemoryBus(events=events)
        return Links(pod, memory, MemoryRegistry(pod, memory), tasks, MemoryWebhooks(events, lease))
    redis = RedisBus(
        url,
        limits=BusLimits(settings.bus_timeout, settings.bus_probe_interval, bounds),
        observer=observer,
        new_id=new_id,
        tasks=tasks,
        guard=_guard(settings),
    )
    registry = RedisRegistry(pod, redis, settling)
    return Links(pod, redis, registry, tasks, RedisWebhooks(pod, redis, lease, time.time))


def _guard(settings: Settings) -> Guard:
    inspector = Inspector(settings.max_message_bytes, settings.json_depth)
    found = [secret for secret in (settings.bus_secret, settings.bus_secret_previous) if secret is not None]
    secrets = [secret.get_secret_value().encode() for secret in found]
    required = settings.bus_signatures is Signatures.REQUIRED
    return Guard(inspector, Signer(secrets, time.time, required=required) if secrets else None)


def new_id() -> str:
    """Return a name that nothing else has had."""
    return secrets.token_urlsafe(9)
