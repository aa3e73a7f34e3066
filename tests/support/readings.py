"""What a scrape finds where no pod is."""

from app.ops.metrics import Readings


def readings(connections: int = 0, rooms: int = 0) -> Readings:
    """So many open connections and rooms of a pod that is well."""
    return Readings(
        states=lambda: {"open": connections, "relocating": 0, "closing": 0},
        most_connections=100,
        rooms=lambda: rooms,
        bus_up=lambda: True,
        ready=lambda: "ready",
        lag=lambda: 0.0,
        fair_share=lambda: 0.0,
        draining=lambda: False,
    )
