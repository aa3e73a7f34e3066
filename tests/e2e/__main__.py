"""Tests on a real cluster: install, deploy, scale, kill, and count every message of a thousand clients.

`python -m tests.e2e [STEP ...]`, or `make e2e`. KUBECONFIG names the cluster. E2E_LOAD_IMAGE is a command that loads an
image into the cluster (kind's by default), and E2E_PID one that prints the process id of a pod's container.
"""

import argparse
import asyncio
import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from forestay.terminal.ping import Unanswered, ping
from tests.e2e import cluster, keda
from tests.e2e.crowd import MOVED, Account, Crowd, Gate
from tests.e2e.report import Line, write_report
from tests.e2e.sdk import sdk_members
from tests.e2e.tried import hear_hooks, helm_test, make_hooks
from tests.support.repository import ROOT

REPORT = ROOT / "dist" / "e2e"
VALUES = {
    "image": {"repository": "forestay", "tag": "e2e"},
    "service": {"type": "NodePort"},
    "redis": {"enabled": True},
    "auth": {"existingSecret": "gw-auth"},
    "hooks": {"configMap": "gw-hooks"},
    "rooms": [
        {"pattern": "e2e.*", "history": {"size": 2000, "ttl": 600}},
        {"pattern": "team.*", "hooks": ["join", "broadcast", "leave"]},
    ],
    "drain": {"preStop": 5, "window": 10},
    "minReadySeconds": 5,
    "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
}
IMAGE = "forestay:e2e"


@dataclass(slots=True)
class Stage:
    """What all steps share."""

    crowd: Crowd
    lines: list[Line] = field(default_factory=list)


Step = Callable[[Stage], Awaitable[None]]


REFUSED = frozenset({"503", "unavailable", "outcome_unknown"})
"""Refusals with Retry-After; those without have another name."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a step must keep. None: no limit."""

    codes: frozenset[int] | None = frozenset({MOVED, 1001})
    most_disconnects: int | None = 1
    repeated: bool = False
    declared: bool = False
    refusals: frozenset[str] = REFUSED
    interrupted: bool = False
    """SDK clients may have no connection for a while."""


async def rollout(stage: Stage) -> None:
    """`kubectl rollout restart` of all pods."""
    await cluster.kubectl("rollout", "restart", "deployment", "--selector", cluster.GATEWAYS)
    await cluster.kubectl("rollout", "status", "deployment", "--selector", cluster.GATEWAYS, "--timeout", "5m")
    await cluster.settled(3)


async def scaling(stage: Stage) -> None:
    """3 → 2 → 5 → 2 → 3 pods."""
    for number in (2, 5, 2, 3):
        await cluster.scale(number)


async def deletion(stage: Stage) -> None:
    """`kubectl delete pod` for the pod with the most connections."""
    await cluster.kubectl("delete", "pod", await cluster.fullest(), "--wait=true")
    await cluster.settled(3)


async def killing(stage: Stage) -> None:
    """`kill -9` for the process of the pod with the most connections."""
    pod = await cluster.fullest()
    process = await cluster.process_of(pod)
    if process is None:
        print("    skipped: E2E_PID names no command that finds a pod's process")
        return
    os.kill(process, signal.SIGKILL)
    await asyncio.sleep(3)
    await cluster.settled(3)


async def redis_gone(stage: Stage) -> None:
    """Deletes the Redis pod, and with it every history."""
    await cluster.kubectl("delete", "pod", "--selector", "app.kubernetes.io/component=redis", "--wait=true")
    await cluster.kubectl("wait", "pod", "--selector", "app.kubernetes.io/component=redis", "--for", "condition=Ready")
    await asyncio.sleep(10)


async def with_hpa(stage: Stage) -> None:
    """Upgrades to autoscaling by HPA, and upgrades again while it is active, which rolls all pods."""
    hpa = ["autoscaling.mode=hpa", "autoscaling.min=3", "autoscaling.max=5", "autoscaling.cpu=5000"]
    # First the number of pods is taken from Helm: see the chart's page.
    await cluster.scale(4)
    await cluster.upgrade(*hpa)
    await cluster.upgrade(*hpa, "podAnnotations.deployed=again")
    await cluster.settled(4, 400)


async def with_keda(stage: Stage) -> None:
    """Autoscales on connections with KEDA, where the cluster has it: few for each pod, too many, then few again."""
    if not await keda.installed():
        print("    skipped: the cluster has no KEDA")
        return
    each = len(stage.crowd.members) // 5
    await keda.take_over(each * 5)
    await cluster.settled(2, 600)
    for connections, pods in ((each, 5), (each * 5, 2)):
        await keda.aim(connections)
        await cluster.settled(pods, 600)
        await keda.agrees()


async def rollback(stage: Stage) -> None:
    """`helm rollback` to the first revision."""
    # The autoscaler owns the number of pods; now Helm gets it back.
    back = ["helm", "rollback", cluster.RELEASE, "1", "--namespace", cluster.NAMESPACE, "--force-conflicts", "--wait"]
    await cluster.run(*back)
    await cluster.scale(3)


STEPS: dict[str, tuple[Step, Expectation]] = {
    "rollout": (rollout, Expectation()),
    "scaling": (scaling, Expectation(most_disconnects=3)),
    "deletion": (deletion, Expectation()),
    # A killed process closes no connection, and for a moment the Service still sends clients to its pod.
    "killing": (
        killing,
        Expectation(codes=frozenset({1006}), refusals=REFUSED | {"ConnectionRefusedError"}, interrupted=True),
    ),
    "redis": (redis_gone, Expectation(most_disconnects=0, repeated=True, declared=True)),
    "hpa": (with_hpa, Expectation()),
    "keda": (with_keda, Expectation(most_disconnects=None)),
    "rollback": (rollback, Expectation(most_disconnects=None)),
}


def judge(account: Account, expected: Expectation, *, silent: int) -> list[str]:
    """The promises that were not kept."""
    wrong = []
    if silent:
        wrong.append(f"{silent} clients never heard the last word of their room")
    if account.lost:
        wrong.append(f"{account.lost} messages lost without a resync")
    if account.repeated and not expected.repeated:
        wrong.append(f"{account.repeated} messages twice")
    if account.declared and not expected.declared:
        wrong.append(f"{account.declared} messages declared lost")
    strange = set(account.closes) - expected.codes if expected.codes is not None else set()
    if strange:
        wrong.append(f"close codes {sorted(strange)}")
    most = max(account.disconnected.values(), default=0)
    if expected.most_disconnects is not None and most > expected.most_disconnects:
        wrong.append(f"a client was disconnected {most} times")
    if account.interrupted and not expected.interrupted:
        wrong.append(f"{len(account.interrupted)} clients of the SDK were without a connection")
    unkind = {name: number for name, number in account.refusals.items() if name not in expected.refusals}
    if unkind:
        wrong.append(f"refused: {unkind}")
    return wrong


async def take(stage: Stage, name: str) -> None:
    """Runs one step, waits until every client has every message, and judges."""
    step, expected = STEPS[name]
    print(f"\n==> {name}: {step.__doc__}", flush=True)
    stage.crowd.take_account()
    start = time.monotonic()
    await step(stage)
    took = time.monotonic() - start
    silent = 0
    try:
        await stage.crowd.settle()
    except TimeoutError:
        pass
    silent = stage.crowd.behind()
    account = stage.crowd.take_account()
    line = Line(name, took, account, judge(account, expected, silent=silent), await cluster.shares(), start)
    stage.lines.append(line)
    print(line.text(), flush=True)
    stage.crowd.speak()


async def install() -> float:
    """Installs the chart. Returns the seconds from the command to the first message."""
    start = time.monotonic()
    await cluster.upgrade()
    url = await cluster.public_url()
    while True:
        try:
            await ping(url, Gate(url, SECRET).token("ping"), "ping.e2e", 5)
            return time.monotonic() - start
        except Unanswered:
            await asyncio.sleep(0.2)


SECRET = secrets.token_urlsafe(48)


async def main(options: argparse.Namespace) -> None:
    cluster.reachable()
    if not options.keep_image:
        await cluster.load_image(IMAGE)
    await cluster.run("kubectl", "create", "namespace", cluster.NAMESPACE)
    failed = True
    try:
        failed = await played(options)
    finally:
        if not options.leave:
            print("\n==> uninstall")
            await cluster.run("helm", "uninstall", cluster.RELEASE, "--namespace", cluster.NAMESPACE, "--wait")
            await cluster.kubectl("wait", "pod", "--selector", cluster.OURS, "--for=delete", "--timeout=2m")
            left = await cluster.kubectl("get", "all,configmaps,secrets,pdb,hpa,roles,rolebindings", "--output", "name")
            ours = [name for name in left.split() if f"/{cluster.RELEASE}-forestay" in name]
            print(f"    left behind: {ours or 'nothing'}")
            failed = failed or bool(ours)
            await cluster.run("kubectl", "delete", "namespace", cluster.NAMESPACE, "--wait=false")
    sys.exit(1 if failed else 0)


async def played(options: argparse.Namespace) -> bool:
    """Installs and runs all steps. Returns whether a promise was broken."""
    await cluster.make_secret("gw-auth", jwt_secret=SECRET, api_key=secrets.token_urlsafe(48))
    await make_hooks("gw-hooks")
    REPORT.mkdir(parents=True, exist_ok=True)
    cluster.VALUES.write_text(json.dumps(VALUES))
    seconds = await install()
    print(f"    from `helm upgrade --install` to the first message: {seconds:.1f} s")
    await cluster.settled(3)
    await helm_test()
    gate = Gate(await cluster.public_url(), SECRET)
    await hear_hooks(gate)
    crowd = Crowd(gate, options.clients, options.rooms, options.rate)
    crowd.members += sdk_members(crowd, gate, options.sdk_clients, options.rooms)
    stage = Stage(crowd)
    await crowd.come()
    print(f"    connections by pod: {await cluster.shares()}")
    try:
        for name in options.steps or STEPS:
            await take(stage, name)
    finally:
        await crowd.go()
        write_report(REPORT, stage.lines)
    print("\n" + "\n".join(line.text() for line in stage.lines))
    print(f"\nreport: {REPORT.relative_to(ROOT)}")
    return any(line.wrong for line in stage.lines)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e", description=__doc__.splitlines()[0])
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"of {', '.join(STEPS)}; all where none is named")
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--sdk-clients", type=int, default=100, help="beside them, on the Python SDK")
    parser.add_argument("--rooms", type=int, default=50)
    parser.add_argument("--rate", type=float, default=200, help="messages a second, in all rooms together")
    parser.add_argument("--keep-image", action="store_true", help="use the image that was loaded before")
    parser.add_argument("--leave", action="store_true", help="do not uninstall at the end")
    given = parser.parse_args()
    unknown = [step for step in given.steps if step not in STEPS]
    if unknown:
        parser.error(f"there is no step {', '.join(unknown)}")
    return given


asyncio.run(main(options()))
