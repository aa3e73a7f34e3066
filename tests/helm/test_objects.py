"""Kubernetes accepts every object of the chart, and the pods are as restricted as possible."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import kubernetes_validate
import pytest

from forestay.settings.secrets import SECRETS, variable_of
from helm.rendering import CHART, Library, Object, read, render
from tests.support.chart import FULL, MATRIX, READY, Chart, chart

OLDEST = read(CHART / "Chart.yaml")["kubeVersion"].removeprefix(">=").removesuffix(".0-0")
NEWEST = ".".join(kubernetes_validate.latest_version().split("-")[0].split(".")[:2])
# Kinds that need an operator or controller. Each has a test of its own.
FOREIGN = {"ScaledObject", "PodMonitor", "PrometheusRule", "HTTPRoute", "BackendConfig"}

matrix = pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)


@matrix
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_kubernetes_takes_every_object(values: dict[str, Any], version: str) -> None:
    """Every object fits the strict schemas of the oldest and the newest supported version."""
    for each in chart(values).objects:
        if each["kind"] not in FOREIGN:
            _judge(json.dumps(each), version)


@matrix
def test_objects_have_a_name_a_namespace_and_labels(values: dict[str, Any]) -> None:
    """Every object has a unique name within its kind, a namespace and the labels of the release."""
    objects = [each for each in chart(values).objects if each["kind"] not in FOREIGN - {"ScaledObject"}]
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(set(names)) == len(names)
    for each in objects:
        assert each["metadata"]["namespace"] == "forestay"
        assert each["metadata"]["labels"]["app.kubernetes.io/instance"] == "forestay"


@matrix
def test_pods_are_restricted(values: dict[str, Any]) -> None:
    """Every pod fits the profile `restricted`, and cannot write to its image."""
    for spec in _pods(chart(values)):
        outside = spec["securityContext"]
        assert outside["runAsNonRoot"] is True
        assert outside["seccompProfile"] == {"type": "RuntimeDefault"}
        assert "fsGroup" not in outside
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            inside = container["securityContext"]
            assert inside["allowPrivilegeEscalation"] is False
            assert inside["capabilities"] == {"drop": ["ALL"]}
            assert inside["readOnlyRootFilesystem"] is True
            assert int({**outside, **inside}["runAsUser"]) > 0
        for volume in spec["volumes"]:
            assert set(volume) - {"name"} <= {"configMap", "secret", "projected", "emptyDir"}


@matrix
def test_selectors_never_change(values: dict[str, Any]) -> None:
    """Selectors have no version, stay the same over upgrades, and each one finds its pods."""
    rendered = chart(values)
    deployments = rendered.all("Deployment")
    for deployment in deployments:
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        selector = deployment["spec"]["selector"]["matchLabels"]
        assert set(selector) == {f"app.kubernetes.io/{key}" for key in ("name", "instance", "component")}
        assert selector.items() <= labels.items()
        assert not {"helm.sh/chart", "app.kubernetes.io/version", "app.kubernetes.io/managed-by"} & set(labels)
    selectors = [deployment["spec"]["selector"]["matchLabels"] for deployment in deployments]
    assert all(service["spec"]["selector"] in selectors for service in rendered.all("Service"))


def test_secrets_are_only_in_secrets() -> None:
    """A password in redis.url is only in a Secret; keys are files of the pod, and no variable has one."""
    rendered = chart(FULL)
    seen = {each["kind"] for each in rendered.objects if "pass:word" in json.dumps(each)}
    assert seen == set()
    encoded = rendered.one("Secret", "-bus")["data"]["redis-url"]
    assert [each["kind"] for each in rendered.objects if encoded in json.dumps(each)] == ["Secret"]
    assert "secretKeyRef" not in json.dumps(rendered.pod)
    [volume] = [volume for volume in rendered.pod["volumes"] if volume["name"] == "secrets"]
    items = [item for source in volume["projected"]["sources"] for item in source["secret"]["items"]]
    names = {variable_of(name.replace("-", "_")) for name in (item["path"] for item in items)}
    assert names <= {variable_of(name) for name in SECRETS} | {"FORESTAY_API_KEYS.TOML"}
    assert {"FORESTAY_BUS_URL", "FORESTAY_JWT_SECRET", "FORESTAY_JWT_PUBLIC_KEY", "FORESTAY_API_KEY"} <= names
    [mount] = [mount for mount in rendered.gateway["volumeMounts"] if mount["name"] == "secrets"]
    assert mount["mountPath"] == rendered.environment["FORESTAY_SECRETS_DIR"]
    assert "pass:word" not in rendered.notes


def test_a_change_of_what_the_chart_makes_rolls_the_pods() -> None:
    """The pods have checksums of the rooms and the Redis URL as annotations, so that a change rolls them."""
    first = _annotations(chart(FULL))
    rooms = _annotations(chart(FULL, rooms=[{"pattern": "news"}]))
    bus = _annotations(chart(FULL, redis={"url": "redis://elsewhere"}))
    assert first["checksum/rooms"] != rooms["checksum/rooms"]
    assert first["checksum/bus"] == rooms["checksum/bus"] != bus["checksum/bus"]


def test_names_fit_whatever_the_release_is_called() -> None:
    """A long release name, or one with dots, gives names that are valid for a Service."""
    for release in ("r", "a.b.c", "x" * 53, f"{'y' * 49}.z"):
        for each in render(READY, release=release).objects:
            assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", each["metadata"]["name"])


@pytest.mark.parametrize("word", ["on", "null", "y", "123", "1e3", "0x1f"])
def test_words_that_yaml_takes_for_something_else_stay_words(word: str) -> None:
    """Texts such as 123 and `on` stay texts wherever a text is required."""
    name = word if word[0].isalpha() else f"f{word}"
    given = {
        "fullnameOverride": name,
        "nameOverride": word,
        "namespaceOverride": word,
        "auth": {"existingSecret": word, "secretKeys": {"jwtSecret": word, "jwtPublicKey": word, "apiKey": word}},
        "redis": {"existingSecret": word, "existingSecretKey": word, "tls": {"caSecret": word, "caKey": word}},
        "serviceAccount": {"name": word},
        "image": {"repository": word, "tag": word, "pullSecrets": [word]},
        "priorityClassName": word,
        "runtimeClassName": word,
        "schedulerName": word,
        "ingress": {"enabled": True, "className": word, "hosts": [{"host": word}], "annotations": {"a": word}},
        "service": {"appProtocol": word, "labels": {"a": word}},
        "autoscaling": {"mode": "hpa", "hpa": {"connectionsMetric": word}},
        "tests": {"tokenSecret": word, "tokenKey": word},
        "podLabels": {"a": word},
        "commonAnnotations": {"a": word},
        "settings": {"FORESTAY_JWT_AUDIENCE": word},
        "networkPolicy": {"enabled": True},
        "podMonitor": {"enabled": True},
    }
    for each in render({**FULL, **given, "httpRoute": {}}, release=word).objects:
        assert isinstance(each["metadata"]["name"], str)
        if each["kind"] not in FOREIGN:
            _judge(json.dumps(each), NEWEST)


def test_both_helms_agree(library: Library) -> None:
    """Helm's library and the helm on PATH render the same objects."""
    for values in (READY, FULL):
        rendered = render(values, by=library)
        assert _sorted(rendered.objects) == _sorted(chart(values).objects)
        assert rendered.notes.strip() == chart(values).notes.strip()


@cache
def _judge(each: str, version: str) -> None:
    kubernetes_validate.validate(json.loads(each), version, strict=True)


@matrix
def test_helm_finds_no_fault(library: Library, values: dict[str, Any]) -> None:
    """`helm lint --strict` finds no fault for each choice of values."""
    assert library.lint(values) == []


@pytest.fixture(scope="module")
def library() -> Iterator[Library]:
    """Helm's library, also where there is a helm on PATH."""
    library = Library()
    yield library
    library.close()


def _sorted(objects: tuple[Object, ...]) -> list[Object]:
    return sorted(objects, key=lambda each: (each["kind"], each["metadata"]["name"]))


def _annotations(rendered: Chart) -> dict[str, str]:
    found: dict[str, str] = rendered.one("Deployment")["spec"]["template"]["metadata"]["annotations"]
    return found


def _pods(rendered: Chart) -> Iterator[Object]:
    for deployment in rendered.all("Deployment"):
        yield deployment["spec"]["template"]["spec"]
    for pod in rendered.all("Pod"):
        yield pod["spec"]
