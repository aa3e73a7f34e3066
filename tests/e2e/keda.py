"""KEDA as a user would set it up: with the chart's example, and numbers for few clients."""

import asyncio
import json
import time
from typing import Final

from tests.e2e import cluster

# Without the CPU, which the clients of this machine keep busy, and without ten quiet minutes before a pod goes.
SMALL: Final = (
    "autoscaling.min=2",
    "autoscaling.max=5",
    "autoscaling.cpu=0",
    "autoscaling.behavior.scaleDown.stabilizationWindowSeconds=5",
)


async def installed() -> bool:
    """Whether the cluster has KEDA."""
    return "scaledobjects.keda.sh" in await cluster.run("kubectl", "get", "crds", "--output", "name", quiet=True)


async def take_over(connections: int) -> None:
    """Hands the number of pods to KEDA, which is to aim at so many connections for each."""
    pods = len(await cluster.pods())
    # KEDA does not replace an existing HPA.
    await cluster.upgrade(f"replicaCount={pods}")
    # Then the number of pods is taken from Helm: see the chart's page.
    await cluster.scale(pods + 1)
    await aim(connections)
    await cluster.kubectl("wait", "scaledobject", "--all", "--for", "condition=Ready", "--timeout", "2m")


async def aim(connections: int) -> None:
    """Changes the connections of a pod to aim at."""
    await cluster.upgrade(*SMALL, f"autoscaling.connections={connections}", example="keda", wait=False)


async def counted() -> float:
    """The connections that KEDA tells the autoscaler."""
    [scaler] = await cluster.found("hpa")
    [wanted] = [one["external"]["metric"] for one in scaler["spec"]["metrics"]]
    labels = ",".join(f"{key}%3D{value}" for key, value in wanted["selector"]["matchLabels"].items())
    path = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{cluster.NAMESPACE}/{wanted['name']}"
    answer = json.loads(await cluster.kubectl("get", "--raw", f"{path}?labelSelector={labels}", quiet=True))
    [item] = answer["items"]
    # A quantity of Kubernetes: whole numbers as they are, others in thousandths.
    text: str = item["value"]
    return float(text.removesuffix("m")) / (1000 if text.endswith("m") else 1)


async def agrees(limit: float = 120) -> None:
    """Waits until KEDA counts what the pods count together. Raises Failed where it never does."""
    until = time.monotonic() + limit
    while True:
        shares = await cluster.shares()
        found = await counted()
        if found == sum(shares.values()):
            print(f"    KEDA counts {found:.0f} connections, the pods {sorted(shares.values())}")
            return
        if time.monotonic() > until:
            raise cluster.Failed(f"KEDA counts {found:.0f} connections, and the pods {shares}")
        await asyncio.sleep(1)
