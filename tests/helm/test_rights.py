"""A pod has the rights and the network access that its features need, and no more."""

from itertools import product
from typing import Any

import pytest

from tests.support.chart import FULL, KEYS, READY, Chart, chart

WATCH = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]}
EVENTS = {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]}


@pytest.mark.parametrize(
    ("bus", "shed", "events"), list(product(["auto", "strict", "degraded"], [False, True], [False, True]))
)
def test_each_feature_adds_its_verbs(bus: str, shed: bool, events: bool) -> None:  # noqa: FBT001
    """Each feature adds its verbs; without features there is no Role and no token in the pods."""
    rendered = chart(READY, readiness={"bus": bus}, rebalance={"shed": shed}, events={"enabled": events})
    rules = [*([WATCH] if bus == "auto" or shed else []), *([EVENTS] if events else [])]
    assert [role["rules"] for role in rendered.all("Role")] == ([rules] if rules else [])
    assert len(rendered.all("RoleBinding")) == bool(rules)
    assert rendered.pod["automountServiceAccountToken"] is bool(rules)
    assert rendered.environment["FORESTAY_KUBERNETES_EVENTS"] == str(events).lower()
    assert rendered.all("ClusterRole") == rendered.all("ClusterRoleBinding") == []


def test_the_role_is_the_pods_own() -> None:
    """The binding names the account of the pods, for any account name."""
    for account, name in (({}, "forestay"), ({"name": "mine"}, "mine"), ({"create": False}, "default")):
        rendered = chart(READY, serviceAccount=account)
        assert rendered.pod["serviceAccountName"] == name
        assert rendered.one("RoleBinding")["subjects"] == [
            {"kind": "ServiceAccount", "name": name, "namespace": "forestay"}
        ]
        made = [each["metadata"]["name"] for each in rendered.all("ServiceAccount")]
        assert made == ([] if account == {"create": False} else [name])
        assert all(each["automountServiceAccountToken"] is False for each in rendered.all("ServiceAccount"))


def test_rights_can_be_managed_elsewhere() -> None:
    """Without rbac.create there is no Role, and a value decides whether the token is mounted."""
    rendered = chart(READY, rbac={"create": False})
    assert rendered.all("Role") == rendered.all("RoleBinding") == []
    assert "Note: rbac.create is off" in rendered.notes
    assert chart(READY, serviceAccount={"automount": False}).pod["automountServiceAccountToken"] is False


def test_the_network_policy_lets_through_what_is_needed() -> None:
    """It allows DNS, Redis, OTLP, hooks, webhooks, the API server, and who may come to which port."""
    spec = chart(FULL).one("NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["podSelector"] == chart(FULL).one("Deployment")["spec"]["selector"]
    assert [_ports(rule) for rule in spec["egress"]] == [
        [53, 53],
        [26379, 26380, 6379],
        [4318],
        [8443],
        [8444],
        [443, 6443],
    ]
    assert spec["ingress"] == [
        {"ports": [{"port": "public", "protocol": "TCP"}]},
        {"ports": [{"port": "internal", "protocol": "TCP"}], "from": [{"namespaceSelector": {}}]},
    ]


@pytest.mark.parametrize(
    ("values", "ports"),
    [
        ({"redis": {"existingSecret": "bus"}}, [[6379]]),
        ({"redis": {"url": "redis://user:p:1@bus/0"}}, [[6379]]),
        ({"redis": {"url": "rediss://bus:6390"}}, [[6390]]),
        ({"redis": {"url": "redis+cluster://a:7000,b:7001"}}, [[7000, 7001]]),
        ({"redis": {"url": "redis+sentinel://a:26379,b:26379/0?master=m"}}, [[26379, 6379]]),
        ({"redis": {"url": "redis://bus", "tls": {"caSecret": "ca"}}}, [[6379]]),
        ({"replicaCount": 1}, []),
        ({"auth": {"jwksUrl": "https://issuer"}, "redis": {"existingSecret": "bus"}}, [[6379], [443]]),
        ({"replicaCount": 1, "tracing": {"endpoint": "https://collector/v1"}}, [[443]]),
        ({"replicaCount": 1, "tracing": {"endpoint": "http://collector"}}, [[80]]),
        ({"replicaCount": 1, "hooks": {"url": "http://app.default.svc:3000/hooks"}}, [[3000]]),
        ({"replicaCount": 1, "webhooks": {"url": "https://app.example/hooks"}}, [[443]]),
        ({"replicaCount": 1, "webhooks": {"url": "http://app:3000/hooks?key=1"}}, [[3000]]),
    ],
    ids=str,
)
def test_the_network_policy_knows_the_ports_of_redis_and_others(values: dict[str, Any], ports: list[list[int]]) -> None:
    """Ports come from the URLs, and unused services are not allowed."""
    quiet = {"readiness": {"bus": "strict"}, "events": {"enabled": False}, "networkPolicy": {"enabled": True}}
    assert [_ports(rule) for rule in _egress(chart({**KEYS, **quiet, **values}))] == [[53, 53], *ports]


def test_the_network_policy_can_be_narrower_and_wider() -> None:
    """Each direction can be restricted or extended, and helm test is allowed."""
    peer = {"ipBlock": {"cidr": "10.0.0.0/8"}}
    more = {"ports": [{"port": 8125, "protocol": "UDP"}]}
    policy = {
        "redisTo": [peer],
        "redisPorts": [7000],
        "otlpTo": [peer],
        "hooksTo": [peer],
        "webhooksTo": [peer],
        "apiServerTo": [peer],
        "apiServerPorts": [6443],
    }
    policy |= {"publicFrom": [peer], "extraIngress": [more], "extraEgress": [more]}
    rendered = chart(FULL, networkPolicy={"enabled": True, **policy})
    egress = _egress(rendered)
    assert [rule.get("to") for rule in egress] == [None, *[[peer]] * 5, None]
    assert (_ports(egress[1]), _ports(egress[5]), egress[6]) == ([7000], [6443], more)
    public, added = rendered.one("NetworkPolicy")["spec"]["ingress"]
    labels = rendered.one("Pod", "-ping")["metadata"]["labels"]
    assert public["from"][0] == peer
    assert public["from"][1]["podSelector"]["matchLabels"].items() <= labels.items()
    assert added == more


def test_the_small_redis_is_for_the_gateways_only() -> None:
    """Only the gateways, and the test of what they need, reach the bundled Redis. It opens no connections."""
    rendered = chart(KEYS, redis={"enabled": True}, networkPolicy={"enabled": True})
    redis = rendered.one("Deployment", "-redis")["spec"]["selector"]
    spec = rendered.one("NetworkPolicy", "-redis")["spec"]
    assert (spec["podSelector"], spec["egress"]) == (redis, [])
    gateways = rendered.one("Deployment")["spec"]["selector"]
    first, second = (each["podSelector"] for each in spec["ingress"][0]["from"])
    assert first == gateways
    assert second["matchLabels"].items() <= rendered.one("Pod", "-doctor")["metadata"]["labels"].items()
    assert _egress(rendered)[1]["to"] == [{"podSelector": redis}]
    assert "networkPolicy.internalFrom is empty" in rendered.notes


def _egress(rendered: Chart) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = rendered.one("NetworkPolicy")["spec"]["egress"]
    return rules


def _ports(rule: dict[str, Any]) -> list[int]:
    return [port["port"] for port in rule["ports"]]
