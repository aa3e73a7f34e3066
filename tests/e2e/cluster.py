"""Runs kubectl, helm and docker as a person would."""

import asyncio
import base64
import json
import os
import shlex
import sys
import time
from typing import Any

from tests.support.repository import ROOT

NAMESPACE = "forestay-e2e"
RELEASE = "gw"
CHART = ROOT / "helm" / "forestay"
VALUES = ROOT / "dist" / "e2e" / "values.json"


class Failed(Exception):
    """A command ended with a status other than 0."""


async def run(*command: str, stdin: str | None = None, quiet: bool = False) -> str:
    """Returns the command's standard output. Raises Failed with its output."""
    if not quiet:
        print(f"    $ {shlex.join(command)}", flush=True)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT)
    out, error = await process.communicate(None if stdin is None else stdin.encode())
    if process.returncode:
        raise Failed(f"{shlex.join(command)} ended with {process.returncode}:\n{error.decode()}{out.decode()}")
    return out.decode()


async def kubectl(*arguments: str, stdin: str | None = None, quiet: bool = False) -> str:
    return await run("kubectl", "--namespace", NAMESPACE, *arguments, stdin=stdin, quiet=quiet)


async def found(kind: str, selector: str = "") -> list[dict[str, Any]]:
    """The objects of one kind."""
    answer = await kubectl("get", kind, "--output", "json", *(["--selector", selector] if selector else []), quiet=True)
    items: list[dict[str, Any]] = json.loads(answer)["items"]
    return items


async def upgrade(*values: str, example: str = "", wait: bool = True) -> None:
    """`helm upgrade --install` with the values of VALUES, those of an example of the chart, and these as `--set`."""
    files = [VALUES, *([CHART / "examples" / f"{example}.yaml"] if example else [])]
    given = [part for path in files for part in ("--values", str(path))]
    sets = [part for value in values for part in ("--set", value)]
    waiting = ["--wait", "--timeout", "5m"] if wait else []
    await run("helm", "upgrade", "--install", RELEASE, str(CHART), "--namespace", NAMESPACE, *given, *sets, *waiting)


OURS = f"app.kubernetes.io/instance={RELEASE}"
GATEWAYS = f"{OURS},app.kubernetes.io/component=gateway"


async def pods() -> list[str]:
    """The gateway's pods that are not terminating."""
    return sorted(
        pod["metadata"]["name"]
        for pod in await found("pods", GATEWAYS)
        if "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] == "Running"
    )


async def settled(number: int, limit: float = 300) -> None:
    """Waits until there are exactly that many pods, all ready and none terminating."""
    until = time.monotonic() + limit
    while True:
        items = await found("pods", GATEWAYS)
        ready = [
            pod
            for pod in items
            if "deletionTimestamp" not in pod["metadata"]
            and any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))
        ]
        if len(ready) == len(items) == number:
            return
        if time.monotonic() > until:
            raise Failed(f"{len(ready)} of {len(items)} pods are ready, and {number} should be")
        await asyncio.sleep(0.5)


async def scale(number: int) -> None:
    """`kubectl scale`, and waits until there are exactly that many pods."""
    [deployment] = await found("deployments", GATEWAYS)
    await kubectl("scale", "deployment", deployment["metadata"]["name"], "--replicas", str(number))
    await settled(number, 400)


async def gauge(pod: str, name: str) -> float:
    """One pod's value of a metric without labels."""
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:9090/proxy/metrics"
    text = await kubectl("get", "--raw", path, quiet=True)
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))


async def shares() -> dict[str, int]:
    """The number of connections of each pod."""
    names = await pods()
    numbers = await asyncio.gather(*(gauge(name, "forestay_connections") for name in names), return_exceptions=True)
    return {name: int(number) for name, number in zip(names, numbers, strict=True) if isinstance(number, float)}


async def fullest() -> str:
    """The pod with the most connections."""
    found = await shares()
    return max(found, key=lambda name: found[name])


async def public_url() -> str:
    """The address of the public Service on a node."""
    [service] = [one for one in await found("services") if one["spec"].get("type") == "NodePort"]
    port = service["spec"]["ports"][0]["nodePort"]
    nodes = json.loads(await kubectl("get", "nodes", "--output", "json", quiet=True))["items"]
    address = next(one["address"] for one in nodes[0]["status"]["addresses"] if one["type"] == "InternalIP")
    return f"ws://{address}:{port}/ws"


async def make_secret(name: str, **entries: str) -> None:
    """Makes a Secret with these entries; `_` in a name becomes `-`."""
    data = {key.replace("_", "-"): base64.b64encode(value.encode()).decode() for key, value in entries.items()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
    await kubectl("apply", "--filename", "-", stdin=json.dumps(secret), quiet=True)


async def make_config_map(name: str, files: dict[str, str]) -> None:
    """Makes a ConfigMap with these files."""
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": files}
    await kubectl("apply", "--filename", "-", stdin=json.dumps(made), quiet=True)


async def load_image(image: str) -> None:
    """Builds the image and loads it into the cluster with the command E2E_LOAD_IMAGE, by default kind's."""
    arguments = shlex.split(os.environ.get("E2E_DOCKER_ARGS", ""))
    await run("docker", "build", *arguments, "--tag", image, ".")
    version = await run("docker", "run", "--rm", image, "--version")
    if "(compiled)" not in version:
        raise Failed(f"the image runs plain Python: {version}")
    await run(*shlex.split(os.environ.get("E2E_LOAD_IMAGE", "kind load docker-image")), image)


async def process_of(pod: str) -> int | None:
    """The id of the gateway's process on the node, from the command E2E_PID; None where there is none."""
    command = os.environ.get("E2E_PID")
    if not command:
        return None
    return int(await run(*shlex.split(command), NAMESPACE, pod))


def reachable() -> None:
    """Exits if there is no cluster."""
    if not os.environ.get("KUBECONFIG"):
        sys.exit("make e2e needs a cluster: set KUBECONFIG. Nothing was run.")
