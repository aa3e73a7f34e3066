"""What the chart has no value for can be added without a change of the chart."""

from typing import Any

import pytest

from tests.support.chart import KEYS, MATRIX, READY, chart


@pytest.mark.parametrize(
    "value",
    [
        {"priorityClassName": "high"},
        {"runtimeClassName": "gvisor"},
        {"schedulerName": "mine"},
        {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["bus"]}]},
        {"dnsPolicy": "ClusterFirst"},
        {"dnsConfig": {"options": [{"name": "ndots", "value": "1"}]}},
        {"nodeSelector": {"pool": "sockets"}},
        {"affinity": {"podAntiAffinity": {}}},
        {"tolerations": [{"key": "spot", "operator": "Exists"}]},
        {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]},
    ],
    ids=lambda value: next(iter(value)),
)
def test_pod_fields_are_passed_through(value: dict[str, Any]) -> None:
    """These values become the fields of the pod spec with the same name."""
    [(name, given)] = value.items()
    assert chart(READY, **value).pod[name] == given


@pytest.mark.parametrize(
    "value",
    [
        {"command": ["python"]},
        {"args": ["serve", "--host", "::"]},
        {"resources": {"requests": {"cpu": "2", "memory": "4Gi"}, "limits": {"memory": "4Gi"}}},
    ],
    ids=lambda value: next(iter(value)),
)
def test_container_fields_are_passed_through(value: dict[str, Any]) -> None:
    """These values become the fields of the container with the same name."""
    [(name, given)] = value.items()
    assert chart(READY, **value).gateway[name] == given


def test_variables_and_volumes_are_added() -> None:
    """Extra variables and volumes of any source come after those of the chart."""
    secret = {"name": "OTEL_EXPORTER_OTLP_HEADERS", "valueFrom": {"secretKeyRef": {"name": "otlp", "key": "headers"}}}
    rendered = chart(
        READY,
        extraEnv=[{"name": "TZ", "value": "UTC"}, secret],
        extraEnvFrom=[{"secretRef": {"name": "more"}}],
        extraVolumes=[{"name": "more", "emptyDir": {}}],
        extraVolumeMounts=[{"name": "more", "mountPath": "/more"}],
    )
    assert rendered.gateway["env"][-2:] == [{"name": "TZ", "value": "UTC"}, secret]
    assert rendered.gateway["envFrom"] == [{"secretRef": {"name": "more"}}]
    assert [volume["name"] for volume in rendered.pod["volumes"]] == ["tmp", "secrets", "more"]
    assert rendered.gateway["volumeMounts"][-1] == {"name": "more", "mountPath": "/more"}


def test_a_key_can_come_from_where_secrets_are_injected() -> None:
    """An extra variable can name the file or the Secret of a key, and no other key is required."""
    key = {"name": "FORESTAY_JWT_SECRET_FILE", "value": "/vault/jwt"}
    assert "FORESTAY_JWT_SECRET" not in chart({"redis": {"enabled": True}}, extraEnv=[key]).environment
    url = {"name": "FORESTAY_BUS_URL", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}
    assert chart(KEYS, extraEnv=[url]).environment["FORESTAY_BUS_URL"] == url["valueFrom"]


def test_settings_become_variables() -> None:
    """Settings become variables with their full names; numbers and switches are in the gateway's form."""
    settings = {
        "FORESTAY_LOG_LEVEL": "DEBUG",
        "FORESTAY_MESSAGE_RATE": 0.5,
        "FORESTAY_DEMO": True,
        "FORESTAY_JSON_DEPTH": 9,
    }
    environment = chart(READY, settings=settings).environment
    assert {name: environment[name] for name in settings} == {
        "FORESTAY_LOG_LEVEL": "DEBUG",
        "FORESTAY_MESSAGE_RATE": "0.5",
        "FORESTAY_DEMO": "true",
        "FORESTAY_JSON_DEPTH": "9",
    }


def test_containers_are_added_and_may_speak_of_the_chart() -> None:
    """Extra containers and init containers are added, and templates in them are evaluated."""
    extra = {"name": "side", "image": '{{ include "forestay.image" (dict "root" $ "image" .Values.image) }}'}
    rendered = chart(READY, extraContainers=[extra], initContainers=[{**extra, "name": "first"}])
    assert [container["name"] for container in rendered.pod["containers"]] == ["gateway", "side"]
    assert [container["name"] for container in rendered.pod["initContainers"]] == ["first"]
    assert rendered.pod["containers"][1]["image"] == rendered.gateway["image"]


def test_objects_are_added() -> None:
    """Extra objects are added: maps as they are, texts with their templates evaluated."""
    head = {"apiVersion": "v1", "kind": "ConfigMap"}
    text = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "{{ .Release.Name }}-b"}\n'
    objects = [{**head, "metadata": {"name": "a"}, "data": {"x": "{{ y }}"}}, text]
    rendered = chart(READY, extraObjects=objects)
    assert {each["metadata"]["name"] for each in rendered.all("ConfigMap")} == {"a", "forestay-b"}
    assert objects[0] in rendered.all("ConfigMap")


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_labels_and_annotations_reach_every_object(values: dict[str, Any]) -> None:
    """Common labels and annotations are on every object, and do not replace those of the chart."""
    ours = "app.kubernetes.io/name"
    rendered = chart(values, commonLabels={"team": "rooms", ours: "other"}, commonAnnotations={"owner": "rooms"})
    for each in rendered.objects:
        if each["kind"] == "BackendConfig":
            continue
        assert each["metadata"]["labels"]["team"] == "rooms"
        assert each["metadata"]["labels"][ours] == "forestay"
        assert each["metadata"]["annotations"]["owner"] == "rooms"


def test_pods_have_labels_and_annotations_of_their_own() -> None:
    """Pods, the Deployment and the service account can have labels and annotations of their own."""
    rendered = chart(
        READY,
        podLabels={"a": "1"},
        podAnnotations={"b": "2"},
        deploymentAnnotations={"c": "3"},
        serviceAccount={"annotations": {"d": "4"}},
        internalService={"labels": {"e": "5"}, "annotations": {"f": "6"}},
    )
    template = rendered.one("Deployment")["spec"]["template"]["metadata"]
    assert (template["labels"]["a"], template["annotations"]["b"]) == ("1", "2")
    assert "a" not in rendered.one("Deployment")["spec"]["selector"]["matchLabels"]
    assert rendered.one("Deployment")["metadata"]["annotations"]["c"] == "3"
    assert rendered.one("ServiceAccount")["metadata"]["annotations"] == {"d": "4"}
    for suffix in ("-internal", "-metrics"):
        metadata = rendered.one("Service", suffix)["metadata"]
        assert (metadata["labels"]["e"], metadata["annotations"]) == ("5", {"f": "6"})


def test_names_and_namespaces_can_be_others() -> None:
    """Names and the namespace can be changed, and all references follow."""
    rendered = chart(READY, fullnameOverride="rooms", namespaceOverride="elsewhere", autoscaling={"mode": "keda"})
    for each in rendered.objects:
        assert each["metadata"]["name"].startswith("rooms")
        assert each["metadata"]["namespace"] == "elsewhere"
    [scaler] = rendered.all("ScaledObject")
    assert scaler["spec"]["triggers"][0]["metadata"]["url"] == "http://rooms-metrics.elsewhere.svc:9090/metrics"
    assert scaler["spec"]["scaleTargetRef"]["name"] == "rooms"


@pytest.mark.parametrize(
    ("values", "image"),
    [
        ({}, "forestay:0.1.0"),
        ({"image": {"tag": "dev"}}, "forestay:dev"),
        ({"image": {"registry": "images.example.com/team/", "repository": "a/b"}}, "images.example.com/team/a/b:0.1.0"),
        ({"image": {"tag": "dev", "digest": f"sha256:{'0' * 64}"}}, f"forestay@sha256:{'0' * 64}"),
        ({"image": {"registry": "a.example"}, "global": {"imageRegistry": "b.example"}}, "b.example/forestay:0.1.0"),
    ],
    ids=str,
)
def test_the_image_can_be_pinned_and_mirrored(values: dict[str, Any], image: str) -> None:
    """A digest wins over a tag, and the global registry wins over the image's own."""
    assert chart(READY, **values).gateway["image"] == image


def test_every_image_comes_from_the_registry_of_all() -> None:
    """The global registry and pull secrets apply to every image, also those of Redis and of the test."""
    values = {**KEYS, "redis": {"enabled": True}, "image": {"pullSecrets": ["b", {"name": "a"}]}}
    rendered = chart(values, **{"global": {"imageRegistry": "mirror.example", "imagePullSecrets": ["a"]}})
    specs = [each["spec"]["template"]["spec"] for each in rendered.all("Deployment")]
    for spec in [*specs, rendered.one("Pod", "-ping")["spec"]]:
        assert spec["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]
        assert all(container["image"].startswith("mirror.example/") for container in spec["containers"])


def test_pods_are_spread_each_revision_by_itself() -> None:
    """Pods of one revision are spread over zones and nodes; `null` leaves that to the scheduler."""
    constraints = chart(READY).pod["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in constraints] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    assert all(each["whenUnsatisfiable"] == "ScheduleAnyway" for each in constraints)
    assert all(each["matchLabelKeys"] == ["pod-template-hash"] for each in constraints)
    assert "topologySpreadConstraints" not in chart(READY, topologySpreadConstraints=None).pod


def test_the_user_can_be_the_clusters_choice() -> None:
    """With `null` the chart sets no user ids, for clusters that assign their own."""
    no_user = {"runAsUser": None, "runAsGroup": None}
    rendered = chart(READY, podSecurityContext=no_user, containerSecurityContext=no_user)
    for context in (rendered.pod["securityContext"], rendered.gateway["securityContext"]):
        assert not {"runAsUser", "runAsGroup"} & set(context)
        assert context["runAsNonRoot"] is True
