"""A running pod whose background tasks raise, one after the other."""

import ast
import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from forestay.bus.memory.bus import MemoryBus
from forestay.bus.memory.registry import MemoryRegistry
from forestay.bus.memory.webhooks import MemoryWebhooks
from forestay.bus.redis.client.address import HostPort
from forestay.bus.redis.client.link import Link
from forestay.bus.redis.client.node import Node
from forestay.bus.redis.keys import PARTITIONS
from forestay.bus.redis.topology.discovery import Discovery
from forestay.core.cluster import heartbeat
from forestay.core.ports.tasks import NAMES, TaskName
from forestay.core.rooms import recovery
from forestay.edge.api import keys_file
from forestay.edge.api.keys_file import ApiKeysFile
from forestay.edge.tokens.key_set_client import KeySetClient
from forestay.ops.health.loop_lag import LoopLag
from forestay.ops.health.readiness import Readiness
from forestay.ops.kubernetes.api import Cluster
from forestay.ops.kubernetes.events import Reason
from forestay.ops.looking.rates import RecentRates
from forestay.ops.moves import balance
from forestay.ops.moves.balance import Balance
from forestay.ops.moves.drain import Drain
from forestay.outbound.webhooks import delivery
from forestay.outbound.webhooks.hand import Hand
from forestay.outbound.webhooks.sender import Sender
from forestay.pod import tasks
from forestay.protocol.webhooks import WebhookEvent, encode_event
from forestay.protocol.webhooks import field as field_of
from tests.support.exposition import scrape
from tests.support.gateway import PATIENCE, Client, Gateway, call, gateway, upgrade
from tests.support.jwks import rsa_signer
from tests.support.repository import modules, syntax
from tests.support.webhook_receiver import SECRET

IN_A_CLUSTER = {"POD_NAME": "forestay-0", "POD_NAMESPACE": "default", "SERVICE_NAME": "forestay"}


class Sabotage:
    """Makes a method raise from `begin` to `end`."""

    def __init__(self, owner: type, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._broken = False
        original = getattr(owner, method)

        def sabotaged(*args: object, **named: object) -> object:
            self._fail()
            return original(*args, **named)

        async def sabotaged_later(*args: object, **named: object) -> object:
            self._fail()
            return await original(*args, **named)

        monkeypatch.setattr(owner, method, sabotaged_later if iscoroutinefunction(original) else sabotaged)

    def _fail(self) -> None:
        if self._broken:
            raise ZeroDivisionError("a bug")

    def begin(self) -> None:
        self._broken = True

    def end(self) -> None:
        self._broken = False


@dataclass(frozen=True, slots=True)
class Case:
    """How to make one task of a pod raise: a method that it calls, and what makes it call that."""

    owner: type
    method: str
    settings: dict[str, object] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    trigger: Callable[[Gateway], Awaitable[object]] | None = None
    """Makes the task work; None where it works by itself."""
    from_start: bool = False
    """Whether it must raise in its first moment, because it does not call the method again for long."""


async def record_an_event(pod: Gateway) -> None:
    pod.running._cluster.record(Reason.BUS_DEGRADED, "a note")


async def verify_a_token(pod: Gateway) -> None:
    token = rsa_signer().token({"sub": "alice", "exp": 2**40}, kid="k")
    await Client.request(pod.port, upgrade(token))


async def join_a_room_with_history(pod: Gateway) -> None:
    client = await pod.connect()
    await client.say({"type": "join", "room": "log.a"})


async def move_to_another_node(pod: Gateway) -> None:
    bus: Any = pod.running._pod.bus
    bus._nodes.assign({HostPort("127.0.0.1", 10): frozenset(range(PARTITIONS))})


async def tell_an_event(pod: Gateway) -> None:
    bus: Any = pod.running._pod.bus
    bus.tell(encode_event(WebhookEvent("evt_1", "room.occupied", "2026-11-30T08:16:44.512Z", {"room": field_of("a")})))


async def drain(pod: Gateway) -> None:
    assert (await call(pod, "POST", f"/v1/pods/{pod.running._pod.pods.me}/drain"))[0] == 202


LONGER = 1.3
"""Seconds for which a failure is seen that comes once. The machine may stand still for most of them."""
NOWHERE = "127.0.0.1:9"
TOLD: dict[str, object] = {"webhooks_url": f"http://{NOWHERE}/", "webhooks_secret": SECRET}
API_KEYS = Path(__file__).with_name("api_keys.toml")
CASES: dict[TaskName, Case] = {
    "api_keys": Case(ApiKeysFile, "look", {"api_keys_file": API_KEYS}),
    "balance": Case(Balance, "look", {"rebalance_shed": True}, IN_A_CLUSTER),
    "drain": Case(Drain, "run", trigger=drain),
    "heartbeat": Case(MemoryRegistry, "heartbeat"),
    "jwks_renewal": Case(
        KeySetClient, "download", {"jwt_secret": None, "jwks_url": f"http://{NOWHERE}/keys"}, trigger=verify_a_token
    ),
    "kubernetes_events": Case(Cluster, "create", {"kubernetes_events": True}, IN_A_CLUSTER, record_an_event),
    "kubernetes_watch": Case(Cluster, "list", {"rebalance_shed": True}, IN_A_CLUSTER, from_start=True),
    "loop_lag": Case(LoopLag, "note"),
    "rates": Case(RecentRates, "note"),
    "readiness": Case(Readiness, "look"),
    "recovery_checks": Case(MemoryBus, "positions"),
    "recovery_repair": Case(MemoryBus, "history", trigger=join_a_room_with_history),
    "redis_discovery": Case(Discovery, "_stale", {"bus_url": f"redis+cluster://{NOWHERE}", "bus_timeout": 1}),
    "redis_node_close": Case(
        Node, "close", {"bus_url": f"redis://{NOWHERE}", "bus_timeout": 1}, trigger=move_to_another_node
    ),
    "redis_link": Case(Link, "_connect", {"bus_url": f"redis://{NOWHERE}", "bus_timeout": 1}, from_start=True),
    "webhooks_look": Case(MemoryWebhooks, "backlog", TOLD),
    "webhooks_request": Case(Sender, "send", TOLD, trigger=tell_an_event),
    "webhooks_send": Case(Hand, "next", TOLD, from_start=True),
    "webhooks_take": Case(MemoryWebhooks, "take", TOLD, from_start=True),
}


def used() -> set[str]:
    """The names that the code gives to tasks."""
    return {
        call.args[0].value
        for path in modules()
        for call in ast.walk(syntax(path))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("keep", "once")
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }


def test_the_closed_set_is_what_the_code_uses() -> None:
    """Each name in the code is one of the port's, so it is a label of the metric from the start; and no other is."""
    assert used() == set(NAMES)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks act and restart within milliseconds, and count as healthy after half a second."""
    monkeypatch.setattr(tasks, "SHORTEST_REST", 0.01)
    monkeypatch.setattr(tasks, "LONGEST_REST", 0.05)
    monkeypatch.setattr(tasks, "STABLE", 0.5)
    monkeypatch.setattr(heartbeat, "MAX_INTERVAL", 0.05)
    monkeypatch.setattr(recovery, "CHECK_INTERVAL", 0.05)
    monkeypatch.setattr(balance, "INTERVAL", 0.05)
    monkeypatch.setattr(delivery, "INTERVAL", 0.05)
    monkeypatch.setattr(keys_file, "INTERVAL", 0.05)


async def tasks_check(pod: Gateway, *, ok: bool) -> dict[str, Any]:
    """The body of `/readyz` once its check of the tasks is `ok`, or is not."""
    async with asyncio.timeout(PATIENCE):
        while True:
            status, body = await pod.probe("/readyz")
            if body["checks"]["tasks"]["ok"] is ok:
                assert ok or status == 503
                return body
            await asyncio.sleep(0.01)


async def fail() -> None:
    raise ZeroDivisionError("a bug")


def failures_of(name: str, log: list[Any]) -> list[Any]:
    return [line for line in log if line["event"] == "a task failed" and line["task"] == name]


@pytest.mark.parametrize("name", NAMES)
async def test_a_task_that_raises_makes_the_pod_not_ready_until_it_runs_again(
    name: TaskName, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is logged with its traceback and counted, the reason names it, and the pod stays alive."""
    case = CASES[name]
    for variable, value in case.environ.items():
        monkeypatch.setenv(variable, value)
    rooms = tmp_path / "rooms.toml"
    rooms.write_text('[[rooms]]\npattern = "log.*"\n[rooms.history]\nsize = 10\nttl = 60\n')
    sabotage = Sabotage(case.owner, case.method, monkeypatch)
    if case.trigger is not None:
        monkeypatch.setattr(tasks, "STABLE", LONGER)
    with capture_logs() as log:
        if case.from_start:
            sabotage.begin()
        async with gateway(rooms_file=str(rooms), **case.settings) as pod:
            sabotage.begin()
            if case.trigger is not None:
                await case.trigger(pod)
            body = await tasks_check(pod, ok=False)
            assert "tasks" in body["failing"]
            assert body["checks"]["tasks"]["reason"] == f"failed: {name}"
            assert (await pod.probe("/livez"))[0] == 200
            found = await scrape(pod.internal_port)
            assert found['forestay_ready{reason="ready"}'] == 0
            sabotage.end()
            await tasks_check(pod, ok=True)
            found = await scrape(pod.internal_port)
    failures = failures_of(name, log)
    assert found[f'forestay_tasks_failed_total{{task="{name}"}}'] == len(failures) > 0
    for failure in failures:
        assert isinstance(failure["exc_info"], ZeroDivisionError)
        assert failure["exc_info"].__traceback__ is not None
    assert {line["task"] for line in log if line["event"] == "a task is healthy again"} == {name}


async def test_a_failed_task_alone_makes_the_pod_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe and the metric have `tasks` as the only reason, and the count is one for one failure."""
    monkeypatch.setattr(tasks, "STABLE", LONGER)
    async with gateway() as pod:
        assert (await pod.probe("/readyz"))[0] == 200
        pod.running._tasks.once("recovery_repair", fail())
        body = await tasks_check(pod, ok=False)
        assert (body["failing"], body["state"]) == (["tasks"], "ready")
        found = await scrape(pod.internal_port)
        assert found['forestay_ready{reason="tasks"}'] == 1
        assert found['forestay_tasks_failed_total{task="recovery_repair"}'] == 1
        await (await pod.connect()).close()
        await tasks_check(pod, ok=True)
        assert (await pod.probe("/readyz"))[0] == 200


async def test_a_stop_is_no_failure() -> None:
    """All tasks are cancelled when the pod stops, and none of them is logged or counted."""
    with capture_logs() as log:
        async with gateway() as pod:
            await pod.connect()
    assert [line["event"] for line in log if line["log_level"] not in ("info", "debug")] == []
    assert set(pod.running._tasks.failures.values()) == {0}
    assert pod.running._tasks._tasks == set()
