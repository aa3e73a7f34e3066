"""Builds what delivers webhooks, where there is a receiver."""

import random
import time
from typing import Final

from forestay.core.ports.observer import Observer
from forestay.core.ports.tasks import Tasks
from forestay.core.ports.webhooks import NO_EVENTS, NOTHING_WAITS, EventBounds, WebhookQueue
from forestay.edge.api.webhooks import WebhookSource
from forestay.outbound.receiver import Receiver, receiver_id
from forestay.outbound.signature import parse_secret
from forestay.outbound.webhooks.delivery import Delivery, DeliveryRules, DeliveryRuntime
from forestay.outbound.webhooks.sender import CONNECTIONS, Sender
from forestay.settings.settings import Settings

# Bytes of the events that are taken from the queue at once, if all of them were as large as they may be.
_TAKEN: Final = 8 * 2**20


def event_bounds(settings: Settings) -> EventBounds:
    """Return how much waits for the receiver."""
    if settings.webhooks_url is None:
        return NO_EVENTS
    return EventBounds(settings.webhooks_backlog, settings.webhooks_backlog_bytes, receiver_id(settings.webhooks_url))


def make_delivery(settings: Settings, queue: WebhookQueue, tasks: Tasks, observer: Observer) -> Delivery | None:
    """Return what delivers webhooks; None where there is no receiver."""
    if settings.webhooks_url is None:
        return None
    secrets = (settings.webhooks_secret, settings.webhooks_secret_previous)
    keys = tuple(parse_secret(each.get_secret_value()) for each in secrets if each)
    receiver = Receiver(settings.webhooks_url, keys, settings.webhooks_timeout, settings.webhooks_ca)
    batch = settings.webhooks_batch
    take = min(batch * CONNECTIONS, max(1, _TAKEN // settings.max_message_bytes))
    rules = DeliveryRules(batch, take, settings.webhooks_attempts, settings.presence_lease)
    return Delivery(
        queue, Sender(receiver, time.time), rules, DeliveryRuntime(tasks, observer, random.uniform, time.time)
    )


def webhook_source(queue: WebhookQueue, delivery: Delivery | None) -> WebhookSource:
    """Return what the HTTP API and the metrics read about webhooks."""
    return WebhookSource(queue, lambda: NOTHING_WAITS if delivery is None else delivery.backlog)
