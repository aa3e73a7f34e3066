"""Impossible values are refused before anything reaches a cluster, with what to set instead."""

import json
import re
from typing import Any

import pytest

from helm.rendering import CHART, RenderError, read, render
from helm.values_table import described
from tests.support.chart import FULL, KEYS, READY, chart, refusal

_PATHS = {row.path for row in described()}
_EVERYWHERE = sorted(_PATHS | {path[:end] for path in _PATHS for end in range(1, len(path))})
SCALED = {**READY, "autoscaling": {"mode": "hpa"}}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, ["auth.existingSecret", "auth.jwksUrl", "openssl rand"]),
        ({"redis": {"url": "redis://bus"}}, ["auth.existingSecret", "auth.jwksUrl"]),
        (KEYS, ["redis.url", "redis.existingSecret", "redis.enabled", "replicaCount=1"]),
        ({**KEYS, "replicaCount": 1, "autoscaling": {"mode": "keda"}}, ["redis.url", "autoscaling.mode=none"]),
        ({**KEYS, "redis": {"url": "redis://a", "existingSecret": "b"}}, ["redis.url and redis.existingSecret"]),
        ({**KEYS, "redis": {"url": "redis://a", "enabled": True}}, ["redis.url and redis.enabled"]),
        ({**READY, "terminationGracePeriodSeconds": 59}, ["is 59", "may take 60", "drain.window"]),
        ({**READY, "terminationGracePeriodSeconds": 0}, ["is 0"]),
        ({**READY, "drain": {"window": 120}, "terminationGracePeriodSeconds": 60}, ["may take 150"]),
        ({**READY, "drain": {"window": 10, "lead": 6}}, ["drain.lead", "half"]),
        ({**READY, "drain": {"window": "2m"}, "terminationGracePeriodSeconds": 60}, ["may take 150"]),
        ({**READY, "drain": {"close": "0s"}}, ["drain.close", "above 0"]),
        ({**SCALED, "autoscaling": {"mode": "hpa", "min": 5, "max": 4}}, ["autoscaling.min is 5"]),
        ({**SCALED, "resources": {"requests": {"cpu": None}}}, ["resources.requests.cpu"]),
        ({**READY, "autoscaling": {"mode": "hpa", "cpu": 0}}, ["autoscaling.hpa.connectionsMetric"]),
        ({**READY, "autoscaling": {"mode": "keda", "connections": 10001}}, ["maxConnections"]),
        ({**READY, "podDisruptionBudget": {"minAvailable": 1, "maxUnavailable": 1}}, ["keep one"]),
        ({**READY, "podDisruptionBudget": {"minAvailable": 3}}, ["every node"]),
        ({**READY, "podDisruptionBudget": {"minAvailable": "100%"}}, ["every node"]),
        ({**READY, "podDisruptionBudget": {"maxUnavailable": 0}}, ["every node"]),
        (
            {"auth": {"jwksUrl": "https://i"}, "redis": {"enabled": True}, "webhooks": {"url": "https://app.example"}},
            ["webhooks.url", "webhooks-secret", "auth.existingSecret", "openssl rand"],
        ),
        (
            {"auth": {"jwksUrl": "https://i"}, "redis": {"enabled": True}, "hooks": {"url": "https://app.example"}},
            ["hooks.url", "hooks-secret", "auth.existingSecret", "openssl rand"],
        ),
        ({**READY, "hooks": {"url": "https://app.example", "module": "app.rules"}}, ["hooks.url", "hooks.module"]),
        (
            {**READY, "hooks": {"configMap": "rules", "module": "/opt/hooks/hooks.py"}},
            ["/opt/hooks/hooks.py", "hooks.configMap", "the name of a file"],
        ),
        *(
            ({**READY, "origins": ["https://good.example", wrong]}, [wrong, "scheme://host", "https://app.example.com"])
            for wrong in ("app.example.com", "https://app.example.com/", "https://a.example,https://b.example", "a b")
        ),
        *(
            ({**KEYS, "redis": {"url": wrong}}, ["redis.url", "redis://host:6379/0", "user:password@"])
            for wrong in ("http://u:canary@bus", "bus:6379", "redis://:canary @bus", "redis://:canary@bus\n")
        ),
        *(
            ({**READY, part: {name: wrong}}, [f"{part}.{name}", "write it like https://"])
            for part, name in (("hooks", "url"), ("webhooks", "url"), ("tracing", "endpoint"), ("auth", "jwksUrl"))
            for wrong in ("https://u:canary@app", "app:4318", "https://app?canary= a")
        ),
        ({**READY, "auth": {"jwksUrl": "http://issuer/keys"}}, ["auth.jwksUrl", "plain http", "use https"]),
        ({**READY, "httpRoute": {"enabled": True}}, ["httpRoute.parentRefs"]),
        ({**READY, "ingress": {"enabled": True}}, ["ingress.hosts"]),
        ({**READY, "fullnameOverride": "1st"}, ["fullnameOverride"]),
        ({**READY, "extraEnv": [{"name": "FORESTAY_DRAIN_WINDOW", "value": "5"}]}, ["drain.window"]),
        ({**READY, "extraEnv": [{"name": "FORESTAY_JWT_SECRET", "value": "canary"}]}, ["auth.existingSecret"]),
        ({**READY, "extraEnv": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}, ["A is set already"]),
    ],
)
def test_the_refusal_names_the_values(values: dict[str, Any], words: list[str]) -> None:
    """Each refusal names the values to set."""
    message = refusal(values)
    assert [word for word in words if word not in message] == []
    assert "canary" not in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FORESTAY_JWT_SECRET", "auth.existingSecret"),
        ("FORESTAY_JWT_SECRET_FILE", "auth.existingSecret"),
        ("FORESTAY_JWT_PUBLIC_KEY", "auth.existingSecret"),
        ("FORESTAY_API_KEY", "auth.existingSecret"),
        ("FORESTAY_HOOKS_SECRET", "auth.existingSecret"),
        ("FORESTAY_HOOKS_MODULE", "hooks.module"),
        ("FORESTAY_HOOKS_URL", "hooks.url"),
        ("FORESTAY_WEBHOOKS_SECRET", "auth.existingSecret"),
        ("FORESTAY_WEBHOOKS_URL", "webhooks.url"),
        ("FORESTAY_BUS_URL", "redis.url"),
        ("FORESTAY_JWKS_URL", "auth.jwksUrl"),
        ("FORESTAY_MAX_CONNECTIONS", "maxConnections"),
        ("FORESTAY_DRAIN_DEADLINE", "terminationGracePeriodSeconds"),
        ("FORESTAY_ROOMS_FILE", "rooms"),
        ("FORESTAY_PORT", "service.port"),
        ("FORESTAY_ALLOWED_ORIGINS", "origins"),
    ],
)
def test_settings_take_no_secret_and_nothing_that_a_value_decides(name: str, value: str) -> None:
    """`settings` refuses secrets and variables that a value sets, and names that value without the content."""
    message = refusal(READY, settings={name: "canary"})
    assert f"settings.{name}" in message
    assert value in message
    assert "canary" not in message


@pytest.mark.parametrize(
    ("name", "similar"),
    [
        ("FORESTAY_DEFAULT_RIGTHS", "FORESTAY_DEFAULT_RIGHTS"),
        ("FORESTAY_LOGLEVEL", "FORESTAY_LOG_LEVEL"),
        ("FORESTAY_PINGINTERVAL", "FORESTAY_PING_INTERVAL"),
        ("FORESTAY_MESSAGES_RATE", "FORESTAY_MESSAGE_RATE"),
        ("FORESTAY_JWT_AUDIENCES", "FORESTAY_JWT_AUDIENCE"),
        ("FORESTAY_COMPRESION", "FORESTAY_COMPRESSION"),
        ("FORESTAY_XYZZY", ""),
    ],
)
def test_an_unknown_setting_is_refused(name: str, similar: str) -> None:
    """A name that the gateway does not know renders nothing; the message names the most similar setting, if any."""
    message = refusal(READY, settings={name: "canary"})
    assert f"settings.{name}: the gateway has no such setting" in message
    assert (f"did you mean {similar}? docs/settings.md" if similar else "no such setting. docs/settings.md") in message
    assert "canary" not in message


def test_whatever_the_chart_sets_cannot_be_a_setting() -> None:
    """Each FORESTAY_ variable that the chart can set is refused under `settings`."""
    for name in chart({**FULL, "settings": {}, "auth": {"existingSecret": "a", "jwksUrl": "https://b"}}).environment:
        if name.startswith("FORESTAY_"):
            assert f"settings.{name}: this is what" in refusal(READY, settings={name: "1"})


@pytest.mark.parametrize(
    "values",
    [
        {"replicas": 3},
        {"replicaCount": "three"},
        {"replicaCount": -1},
        {"replicaCount": 1.5},
        {"maxConnections": "10000"},
        {"maxConnections": 0},
        {"image": {"tags": "1"}},
        {"image": {"tag": "1\n2"}},
        {"image": {"repository": "Forestay Gateway"}},
        {"image": {"digest": "sha256:short"}},
        {"fullnameOverride": "a\nb"},
        {"namespaceOverride": "a: b"},
        {"auth": {"existingSecret": "a\nkind: Pod"}},
        {"auth": {"existingSecret": "keys", "jwtSecret": "in the open"}},
        {"tracing": {"ratio": 2}},
        {"redis": {"existingSecret": "bus", "password": "in the open"}},
        {"settings": {"LOG_LEVEL": "DEBUG"}},
        {"settings": {"FORESTAY_LOG_LEVEL": ["DEBUG"]}},
        {"settings": {"FORESTAY_A\nB": "1"}},
        {"settings": "FORESTAY_LOG_LEVEL=DEBUG"},
        {"rooms": [{"pattern": "chat.*", "past": {"size": 1, "ttl": 1}}]},
        {"rooms": [{"pattern": "chat.*", "history": {"size": 1}}]},
        {"rooms": [{"presence": True}]},
        {"drain": {"window": "30 s"}},
        {"drain": {"window": "5min"}},
        {"drain": {"window": "30m1h"}},
        {"drain": {"window": "-30s"}},
        {"rebalance": {"maxAge": "1.5h"}},
        {"rooms": [{"pattern": "chat.*", "history": {"size": 1, "ttl": "10"}}]},
        {"drain": {"window": -1}},
        {"autoscaling": {"mode": "both"}},
        {"autoscaling": {"enabled": True}},
        {"readiness": {"bus": "sometimes"}},
        {"service": {"spec": {"selector": {}}}},
        {"service": {"port": 70000}},
        {"commonLabels": {"a": 1}},
        {"podDisruptionBudget": {"minAvailable": "half"}},
        {"strategy": {"type": "BlueGreen"}},
        {"extraEnv": {"A": "1"}},
        {"ingress": {"hosts": ["chat.example.com"]}},
        {"networkPolicy": {"apiServerPorts": []}},
        {"tests": {"token": "eyJ"}},
        {"origins": "https://app.example.com"},
        {"origins": [1]},
        {"prometheusRule": {"runbookUrl": "docs/runbooks.md"}},
    ],
    ids=str,
)
def test_the_schema_refuses(values: dict[str, Any]) -> None:
    """The schema refuses unknown keys, wrong types, and texts that could break a manifest."""
    with pytest.raises(RenderError, match=r"(?m)^- at '"):
        render({**READY, **values})


def test_every_value_is_described_and_in_the_schema() -> None:
    """values.yaml, its comments and values.schema.json have the same keys."""
    schema = read(CHART / "values.schema.json")
    paths = {row.path for row in described()}
    leaves = set(_leaves(read(CHART / "values.yaml"), paths))
    assert leaves == paths
    known = {path for path in _properties(schema) if not any(path[: len(each)] == each for each in paths - {path})}
    # Only for a chart with this one as a subchart.
    assert known - {("enabled",)} == paths


def test_the_schema_is_strict_about_our_own_keys() -> None:
    """Objects with named keys accept no others, except `global`, which all charts share."""
    schema = read(CHART / "values.schema.json")
    open_ones = [path for path in _objects(schema) if path != ("global",)]
    assert open_ones == []


@pytest.mark.parametrize("path", _EVERYWHERE, ids=".".join)
def test_nothing_in_place_of_a_value_is_none_or_refused(path: tuple[str, ...]) -> None:
    """`null` removes a default where the chart works without it, and is refused elsewhere."""
    values = json.loads(json.dumps({**FULL, "autoscaling": {"mode": "hpa"}}))
    inner = values
    for name in path[:-1]:
        inner = inner.setdefault(name, {})
    inner[path[-1]] = None
    try:
        assert render(values).objects
    except RenderError as refused:
        assert re.search(r"(?m)^- at '|execution error at .*: ", str(refused))


def test_another_chart_may_have_this_one_as_a_part() -> None:
    """As a subchart, the chart accepts the parent's condition and globals."""
    assert chart(READY, enabled=True, **{"global": {"domain": "example.com"}}).objects == chart(READY).objects


def _leaves(values: dict[str, Any], described: set[tuple[str, ...]], *above: str) -> list[tuple[str, ...]]:
    found = []
    for key, value in values.items():
        path = (*above, key)
        if isinstance(value, dict) and path not in described:
            found += _leaves(value, described, *path)
        else:
            found.append(path)
    return found


def _properties(schema: dict[str, Any], *above: str) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for key, value in schema.get("properties", {}).items():
        below = _properties(value, *above, key)
        found += [(*above, key), *below] if (*above, key) in _described() or not below else below
    return found


def _objects(schema: dict[str, Any], *above: str) -> list[tuple[str, ...]]:
    """The objects that name keys and accept other keys too."""
    if "properties" not in schema:
        return []
    open_here = [above] if schema.get("additionalProperties") is not False else []
    return open_here + [path for key, value in schema["properties"].items() for path in _objects(value, *above, key)]


def _described() -> set[tuple[str, ...]]:
    return {row.path for row in described()}
