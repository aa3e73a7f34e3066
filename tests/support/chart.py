"""Renders the chart once per set of values, and finds its objects by kind and name."""

import ast
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from helm.rendering import CHART, Object, RenderError, read, render
from tests.support.repository import ROOT, syntax

KEYS: dict[str, Any] = {"auth": {"existingSecret": "keys"}}
"""The smallest valid values for the keys."""

READY: dict[str, Any] = {**KEYS, "redis": {"existingSecret": "bus"}, "origins": ["https://app.example.com"]}
"""The smallest values without a warning."""

FULL: dict[str, Any] = {
    **KEYS,
    "redis": {"url": "redis+sentinel://user:pass:word@one:26379,two:26380/0?master=main", "tls": {"caSecret": "ca"}},
    "rooms": [
        {"pattern": "chat.*", "presence": True, "history": {"size": 1000, "ttl": 2592000, "bytes": 10000000}},
        {"pattern": "@me", "compress": False, "webhooks": ["online", "offline"]},
    ],
    "hooks": {"url": "https://app.example:8444/hooks"},
    "webhooks": {"url": "https://app.example:8443/hooks"},
    "settings": {"FORESTAY_LOG_LEVEL": "DEBUG", "FORESTAY_SEND_BUFFER_BYTES": 2097152, "FORESTAY_DEMO": True},
    "rebalance": {"shed": True},
    "tracing": {"endpoint": "http://collector:4318", "ratio": 0.5},
    "networkPolicy": {"enabled": True, "internalFrom": [{"namespaceSelector": {}}]},
    "podMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True},
    "dashboard": {"enabled": True},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "gateway"}]},
    "ingress": {"enabled": True, "hosts": [{"host": "chat.example.com"}]},
}
"""All features that work together."""

SOCKETIO: dict[str, Any] = {
    "enabled": True,
    "events": [
        {"event": 'chat "<message>"', "room": "chat.{0.room}", "as": "said", "echo": False},
        {"event": "order", "room": "all", "namespace": "/admin"},
    ],
    "namespaces": [{"path": "/news", "join": ["all", "late"]}, {"path": "/admin"}],
    "service": {"annotations": {"cookie": "yes"}},
    "httpRoute": {"sessionPersistence": {"sessionName": "forestay", "type": "Cookie"}},
}
"""Socket.IO with polling, and with rules of its own."""

END_TO_END: dict[str, Any] = next(
    ast.literal_eval(node.value)
    for node in syntax(ROOT / "tests/e2e/__main__.py").body
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "VALUES"
)
"""The values of `make e2e`. The module is parsed and not imported, because an import would run it."""

MATRIX: dict[str, dict[str, Any]] = {
    "ready": READY,
    "one pod": {**KEYS, "replicaCount": 1},
    "trying out": {**KEYS, "redis": {"enabled": True}, "networkPolicy": {"enabled": True}},
    "key set": {"auth": {"jwksUrl": "https://issuer.example.com/keys"}, "redis": {"url": "rediss://bus"}},
    "no rights": {**READY, "rbac": {"create": False}, "serviceAccount": {"create": False}},
    "nothing asked": {**READY, "readiness": {"bus": "degraded"}, "events": {"enabled": False}},
    "hpa": {**READY, "autoscaling": {"mode": "hpa", "hpa": {"connectionsMetric": "forestay_connections"}}},
    "keda": {**READY, "autoscaling": {"mode": "keda"}},
    "share": {**READY, "podDisruptionBudget": {"minAvailable": "50%"}},
    "service": {**READY, "service": {"type": "LoadBalancer", "nodePort": 30080}},
    "full": FULL,
    "socketio": {**FULL, "socketio": SOCKETIO},
    "socketio, its own ingress": {**FULL, "socketio": {**SOCKETIO, "ingress": {"annotations": {"sticky": "yes"}}}},
    "socketio on node ports": {**READY, "service": {"type": "NodePort", "nodePort": 30080}, "socketio": SOCKETIO},
    "full keda": {**FULL, "autoscaling": {"mode": "keda"}},
    "development": read(CHART.parent / "dev-values.yaml"),
    "end to end": END_TO_END,
    **{path.stem: {**READY, **read(path)} for path in sorted((CHART / "examples").glob("*.yaml"))},
}
"""Unusual values that a user might choose."""


class Chart:
    """The rendered chart."""

    def __init__(self, objects: tuple[Object, ...], notes: str) -> None:
        self.objects = objects
        self.notes = notes

    def all(self, kind: str) -> list[Object]:
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str, suffix: str = "") -> Object:
        """The object of that kind; if there are several, the one whose name has that ending."""
        [found] = [each for each in self.all(kind) if each["metadata"]["name"] == f"forestay{suffix}"]
        return found

    @property
    def pod(self) -> Object:
        spec: Object = self.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def gateway(self) -> Object:
        container: Object = self.pod["containers"][0]
        return container

    @property
    def environment(self) -> dict[str, Any]:
        """The variables: a text, or where it comes from."""
        return {each["name"]: each.get("value", each.get("valueFrom")) for each in self.gateway["env"]}


def chart(values: Mapping[str, Any], **more: Any) -> Chart:
    """The chart rendered with `values` and `more`."""
    return _chart(json.dumps({**values, **more}))


def refusal(values: Mapping[str, Any], **more: Any) -> str:
    """The error message of the chart for these values."""
    with pytest.raises(RenderError) as refused:
        render({**values, **more})
    return str(refused.value)


@cache
def _chart(values: str) -> Chart:
    rendered = render(json.loads(values))
    return Chart(rendered.objects, rendered.notes)
