"""The number of pods is set by the chart or by one autoscaler, and never by both."""

from itertools import product
from typing import Any

import pytest
import yaml

from helm.rendering import CHART, read
from tests.support.chart import FULL, MATRIX, READY, chart
from tests.support.repository import blocks

matrix = pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)


@matrix
def test_one_says_how_many_pods_there_are(values: dict[str, Any]) -> None:
    """Either the Deployment has a number of replicas, or exactly one object scales it."""
    rendered = chart(values)
    scaler = [*rendered.all("HorizontalPodAutoscaler"), *rendered.all("ScaledObject")]
    assert len(scaler) == (values.get("autoscaling", {}).get("mode", "none") != "none")
    assert ("replicas" in rendered.one("Deployment")["spec"]) == (not scaler)


def test_the_hpa_looks_at_cpu() -> None:
    """The HPA uses only CPU until a connection metric is named, because a missing metric stops scaling in."""
    spec = chart(READY, autoscaling={"mode": "hpa"}).one("HorizontalPodAutoscaler")["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "forestay"}
    assert (spec["minReplicas"], spec["maxReplicas"]) == (3, 10)
    assert spec["metrics"] == [
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}
    ]


def test_the_hpa_looks_at_connections_by_the_name_it_is_given() -> None:
    """The HPA uses the named connection metric as an average over all pods, ready or not."""
    scaling = {"mode": "hpa", "cpu": 0, "connections": 4000, "hpa": {"connectionsMetric": "ws_connections"}}
    [metric] = chart(READY, autoscaling=scaling).one("HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric == {
        "type": "Pods",
        "pods": {"metric": {"name": "ws_connections"}, "target": {"type": "AverageValue", "averageValue": "4000"}},
    }


def test_keda_sums_over_the_pods_without_an_adapter() -> None:
    """KEDA sums the metric over all pods of a Service, because an average would be divided twice."""
    rendered = chart(READY, autoscaling={"mode": "keda", "min": 2, "max": 20, "cpu": 70})
    spec = rendered.one("ScaledObject")["spec"]
    assert spec["scaleTargetRef"] == {"name": "forestay"}
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 20)
    # KEDA warns of a polling interval where the least number of pods is not 0: the HPA asks in its own time.
    assert not {"fallback", "pollingInterval"} & spec.keys()
    connections, cpu = spec["triggers"]
    assert connections == {
        "type": "metrics-api",
        "metadata": {
            "url": "http://forestay-metrics.forestay.svc:9090/metrics",
            "format": "prometheus",
            "valueLocation": "forestay_connections",
            "aggregateFromKubeServiceEndpoints": "true",
            "aggregationType": "sum",
            "targetValue": "4000",
        },
    }
    assert cpu == {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "70"}}
    service = rendered.one("Service", "-metrics")["spec"]
    assert (service["clusterIP"], service["publishNotReadyAddresses"]) == ("None", True)


def test_the_page_has_the_object_of_the_example() -> None:
    """The page for operators prints the ScaledObject that the example gives, all but its labels."""
    [block] = blocks("docs/operating.md", "yaml", "Autoscaling")
    printed = yaml.safe_load(block)
    rendered = chart({**READY, **read(CHART / "examples" / "keda.yaml")}).one("ScaledObject")
    assert {**rendered, "metadata": {key: rendered["metadata"][key] for key in ("name", "namespace")}} == printed


def test_keda_is_told_in_texts() -> None:
    """The metadata for KEDA are texts, because it refuses numbers."""
    for trigger in chart(FULL, autoscaling={"mode": "keda"}).one("ScaledObject")["spec"]["triggers"]:
        assert all(isinstance(value, str) for value in trigger["metadata"].values())


@pytest.mark.parametrize(("most", "least", "target"), [(10000, 3, 5333), (10000, 1, 4000), (1000, 10, 720), (1, 2, 1)])
def test_the_aim_leaves_room_for_a_lost_pod(most: int, least: int, target: int) -> None:
    """At the minimum number of pods the target is 80 % of what all pods but one can take."""
    scaling = {"mode": "keda", "min": least, "max": 10}
    trigger = chart(READY, maxConnections=most, autoscaling=scaling).one("ScaledObject")["spec"]["triggers"][0]
    assert trigger["metadata"]["targetValue"] == str(target)


@pytest.mark.parametrize("window", [30, 600, 3600])
def test_pods_go_one_by_one_and_come_at_once(window: int) -> None:
    """Both scalers add pods at once, and remove the next one only after the drain of the previous one."""
    scaled = {**READY, "drain": {"window": window}}
    hpa = chart(scaled, autoscaling={"mode": "hpa"}).one("HorizontalPodAutoscaler")["spec"]["behavior"]
    keda = chart(scaled, autoscaling={"mode": "keda"}).one("ScaledObject")["spec"]["advanced"]
    assert keda["horizontalPodAutoscalerConfig"]["behavior"] == hpa
    assert hpa["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert hpa["scaleDown"]["stabilizationWindowSeconds"] == 600
    assert hpa["scaleDown"]["selectPolicy"] == "Min"
    [policy] = hpa["scaleDown"]["policies"]
    assert (policy["type"], policy["value"]) == ("Pods", 1)
    assert min(1800, window + 60) <= policy["periodSeconds"] <= 1800


def test_the_pace_can_be_another() -> None:
    """A given behavior replaces the chart's as a whole."""
    own = {"scaleDown": {"selectPolicy": "Disabled"}}
    scaler = chart(READY, autoscaling={"mode": "hpa", "behavior": own}).one("HorizontalPodAutoscaler")
    assert scaler["spec"]["behavior"] == own


@pytest.mark.parametrize(("mode", "pods"), list(product(["none", "hpa", "keda"], [1, 2, 3])))
@pytest.mark.parametrize(
    "budget",
    [{}, {"minAvailable": 1}, {"minAvailable": "50%"}, {"maxUnavailable": 2}, {"maxUnavailable": "25%"}],
    ids=str,
)
def test_the_disruption_budget_is_right_for_every_number(mode: str, pods: int, budget: dict[str, Any]) -> None:
    """The budget has exactly one of its two numbers, and is absent for one pod, where it would block nodes."""
    scaling = {"mode": mode, "min": min(pods, 2), "max": pods}
    found = chart(READY, replicaCount=pods, autoscaling=scaling, podDisruptionBudget=budget).all("PodDisruptionBudget")
    if pods == 1:
        assert found == []
        return
    [spec] = [each["spec"] for each in found]
    limits = {key: spec[key] for key in ("minAvailable", "maxUnavailable") if key in spec}
    assert limits == (budget or {"maxUnavailable": 1})
    assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert spec["selector"] == chart(READY).one("Deployment")["spec"]["selector"]


def test_the_disruption_budget_can_be_none() -> None:
    """The disruption budget can be switched off."""
    assert chart(READY, podDisruptionBudget={"enabled": False}).all("PodDisruptionBudget") == []
