"""How a pod stops when one of its parts fails to."""

import asyncio
import inspect
import random
import socket

import pytest
from structlog.testing import capture_logs

from forestay.bus.memory.bus import MemoryBus
from forestay.core.cluster.control import ControlChannel
from forestay.core.cluster.heartbeat import Heartbeat
from forestay.core.rooms.recovery import Recovery
from forestay.core.rooms.subscriptions import Subscriptions
from forestay.core.rules.lifecycle import State
from forestay.core.sessions.sessions import Sessions
from forestay.edge.api.api import Api
from forestay.edge.tokens.verifier import TokenVerifier
from forestay.ops.moves.drain import Drain
from forestay.pod.announcements import Announcements
from forestay.pod.cluster import ClusterParts
from forestay.pod.inputs import prepare
from forestay.pod.listeners import InternalPort, PublicPort
from forestay.pod.server import CannotStart, Server
from forestay.pod.tasks import Supervisor
from forestay.pod.telemetry import Observation
from forestay.settings import settings
from tests.support.gateway import SECRET, gateway

# In the order of the stop.
PARTS: dict[str, tuple[type, str]] = {
    "drain": (Drain, "run"),
    "public listener": (PublicPort, "close"),
    "sessions": (Sessions, "close"),
    "subscriptions": (Subscriptions, "close"),
    "watches": (Api, "close"),
    "periodic tasks": (Server, "_cancel_periodic"),
    "recovery": (Recovery, "stop"),
    "registry": (Heartbeat, "retire"),
    "cluster": (ClusterParts, "close"),
    "telemetry": (Observation, "close"),
    "control channel": (ControlChannel, "close"),
    "bus": (MemoryBus, "close"),
    "token verifier": (TokenVerifier, "close"),
    "internal listener": (InternalPort, "close"),
    "background tasks": (Supervisor, "close"),
}


class Stops:
    """Notes which parts are stopped, and makes some of them raise once they are."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *failing: str, error: type[BaseException] = ZeroDivisionError
    ) -> None:
        self.order: list[str] = []
        self._failing = failing
        self._error = error
        for part, (owner, method) in PARTS.items():
            self._watch(monkeypatch, part, owner, method)

    def _watch(self, monkeypatch: pytest.MonkeyPatch, part: str, owner: type, method: str) -> None:
        original = getattr(owner, method)

        def stop(*args: object, **named: object) -> None:
            self.order.append(part)
            original(*args, **named)
            self._fail(part)

        async def stop_later(*args: object, **named: object) -> None:
            self.order.append(part)
            await original(*args, **named)
            self._fail(part)

        monkeypatch.setattr(owner, method, stop_later if inspect.iscoroutinefunction(original) else stop)

    def _fail(self, part: str) -> None:
        if part in self._failing:
            raise self._error(part)


@pytest.mark.parametrize("error", [ZeroDivisionError, asyncio.CancelledError])
@pytest.mark.parametrize("part", PARTS)
async def test_a_part_that_fails_to_stop_does_not_skip_the_rest(
    part: str, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All parts are stopped in their order, and the log names the one that failed, with the traceback.

    A CancelledError is such a failure, too: something that the part awaited was cancelled, and not the stop.
    """
    stops = Stops(monkeypatch, part, error=error)
    with capture_logs() as log:
        async with gateway() as pod:
            assert stops.order == []
    assert stops.order == list(PARTS)
    assert pod.running._pod.lifecycle.state is State.STOPPED
    [failure] = [line for line in log if line["log_level"] == "error"]
    assert (failure["event"], failure["part"], failure["exc_info"]) == ("a part did not stop", part, True)


async def test_a_pod_stops_though_every_part_fails_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each failure is logged once."""
    stops = Stops(monkeypatch, *PARTS)
    with capture_logs() as log:
        async with gateway() as pod:
            pass
    assert stops.order == list(PARTS)
    assert pod.running._pod.lifecycle.state is State.STOPPED
    assert sorted(line["part"] for line in log if line["log_level"] == "error") == sorted(PARTS)


async def test_a_drain_that_fails_before_its_first_step_does_not_skip_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The pod is stopped without a drain."""

    def fail(*args: object) -> None:
        raise ZeroDivisionError

    stops = Stops(monkeypatch)
    monkeypatch.setattr(Announcements, "draining", fail)
    async with gateway() as pod:
        pass
    assert stops.order == list(PARTS)[1:]
    assert pod.running._pod.lifecycle.state is State.STOPPED


async def test_a_start_that_fails_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the internal port taken, the parts that exist by then are stopped, and the others are left out."""
    stops = Stops(monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = settings.load({}, jwt_secret=SECRET, host="127.0.0.1", port=0, internal_port=taken.getsockname()[1])
        running = Server(given, prepare(given, Supervisor(random.uniform)))
        with pytest.raises(CannotStart):
            await running.start()
        await running.stop(asyncio.Event())
    assert stops.order == [
        "registry",
        "cluster",
        "telemetry",
        "control channel",
        "bus",
        "token verifier",
        "internal listener",
        "background tasks",
    ]
    assert running._pod.lifecycle.state is State.STOPPED
