"""Metrics readings without a pod."""

from forestay.core.ports.tasks import NAMES
from forestay.core.ports.verifier import PublishedKeys
from forestay.core.ports.webhooks import NOTHING_WAITS
from forestay.ops.metrics.metrics import Readings


def readings(connections: int = 0, rooms: int = 0) -> Readings:
    """The readings of a healthy pod with these numbers of connections and rooms."""
    return Readings(
        version="0.0.0",
        loop="asyncio",
        states=lambda: {"open": connections, "relocating": 0, "closing": 0},
        wires=lambda: {"v1": connections},
        most_connections=100,
        rooms=lambda: rooms,
        present=lambda: 0,
        bus_up=lambda: True,
        bus_round_trip=lambda: 0.0,
        ready=lambda: "ready",
        lag=lambda: 0.0,
        fair_share=lambda: 0.0,
        draining=lambda: False,
        task_failures=lambda: dict.fromkeys(NAMES, 0),
        compression=dict,
        published_keys=lambda: PublishedKeys(1, 0.0),
        webhooks=lambda: NOTHING_WAITS,
        hooks_under_way=lambda: 0,
        hooks_waiting=lambda: 0,
        broken_hooks=dict,
        dropped_lines=lambda: 0,
    )
