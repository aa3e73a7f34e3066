"""Settings of how long things take: presence, pings, delivery, the drain, readiness and balance."""

from typing import Annotated

from pydantic import BaseModel, Field

from forestay.ops.health.readiness import BusReadiness
from forestay.settings.fields import AnyCase, Duration, Unset


class Timing(BaseModel):
    """Durations in seconds, and what happens when they are over."""

    presence_lease: Duration = Field(30, ge=3, description="seconds that a pod without a heartbeat still counts")
    presence_grace: Duration = Field(
        5, ge=0, description="seconds that a user stays present after the last connection ended"
    )

    ping_interval: Duration = Field(
        25, gt=0, description="seconds between pings; keep it below the idle timeout of every proxy"
    )
    pong_timeout: Duration = Field(10, gt=0, description="seconds to wait for data after a ping; then 4408")
    flush_rest: float = Field(1, ge=0, le=10, description="seconds of rest per second of delivery pass; 0: no rest")
    flush_rest_cap: Duration = Field(
        0.01, ge=0, le=1, description="longest rest in seconds; it adds to the latency of messages"
    )
    send_buffer_bytes: int = Field(
        2**20, ge=4096, description="bytes that may wait for one client; above that it is slow"
    )
    drain_window: Duration = Field(
        30, ge=0, description="seconds from SIGTERM in which connections are closed; 0: all at once"
    )
    drain_lead: Duration = Field(
        2, ge=0, description="seconds from the reconnect request of a client to its close; at most half the window"
    )
    close_timeout: Duration = Field(
        5, gt=0, description="seconds to wait for a client's close frame before the connection is cut"
    )
    flush_timeout: Duration = Field(5, ge=0, description="seconds to leave the bus and to send telemetry at the exit")
    drain_deadline: Annotated[Duration | None, Unset] = Field(
        None,
        gt=0,
        description="seconds from SIGTERM to the exit; unset: window + close + flush; less shortens the window",
    )
    reconnect_spread: Duration = Field(
        2, ge=0, description="seconds over which clients spread their reconnects after a loss"
    )

    readiness_bus: Annotated[BusReadiness, AnyCase] = Field(
        BusReadiness.AUTO,
        description="whether a lost bus makes the pod unready: auto (if others have it), strict, degraded (never)",
    )
    readiness_grace: Duration = Field(5, ge=0, description="seconds that a lost bus leaves the pod ready")
    readiness_lag: Duration = Field(
        1, ge=0, description="seconds of event loop lag that make the pod unready; 0: never"
    )
    rebalance_shed: bool = Field(False, description="ask connections above the pod's fair share to connect elsewhere")
    rebalance_max_age: Duration = Field(
        0, ge=0, description="seconds after which a connection is asked to reconnect; 0: never"
    )

    @property
    def drain_budget(self) -> float:
        """The longest duration of a drain in seconds, unless the deadline shortens it."""
        return self.drain_window + self.close_timeout + self.flush_timeout
