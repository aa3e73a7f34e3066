"""Every route from outside leads to the public port."""

from pathlib import Path
from typing import Any

import pytest

from helm.rendering import CHART, read
from tests.support.chart import FULL, MATRIX, READY, chart

EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))
# Nothing is in front of the pod there.
ROUTED = [path for path in EXAMPLES if path.stem not in {"kind", "keda"}]
# Without these annotations each controller would cut long connections.
ANNOTATIONS = {
    "nginx": {"nginx.ingress.kubernetes.io/proxy-read-timeout": "3600"},
    "haproxy": {"haproxy.org/timeout-tunnel": "3600s"},
    "traefik": {"traefik.ingress.kubernetes.io/router.entrypoints": "websecure"},
    "alb": {"alb.ingress.kubernetes.io/load-balancer-attributes": "idle_timeout.timeout_seconds=3600"},
    "gke": {},
    "socketio-nginx": {"nginx.ingress.kubernetes.io/proxy-read-timeout": "3600"},
    "socketio-websocket": {"traefik.ingress.kubernetes.io/router.entrypoints": "websecure"},
    "streams": {
        "nginx.ingress.kubernetes.io/proxy-read-timeout": "3600",
        "nginx.ingress.kubernetes.io/proxy-buffering": "off",
    },
}
# Examples that are named after what they are for, and not after their controller.
CLASSES = {"gke": "gce", "socketio-nginx": "nginx", "socketio-websocket": "traefik", "streams": "nginx"}


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_no_route_leads_to_the_internal_port(values: dict[str, Any]) -> None:
    """The public Services have one port, 8080 of the pod, and routes name no other Service."""
    rendered = chart(values)
    public = {"forestay", "forestay-socketio"}
    services = {each["metadata"]["name"]: each["spec"] for each in rendered.all("Service")}
    for name in public & set(services):
        [port] = services[name]["ports"]
        assert port["targetPort"] == "public"
    named = [rule["backendRefs"] for route in rendered.all("HTTPRoute") for rule in route["spec"]["rules"]]
    assert all(backend["port"] == 8080 for [backend] in named)
    paths = [
        path["backend"]["service"]
        for ingress in rendered.all("Ingress")
        for rule in ingress["spec"]["rules"]
        for path in rule["http"]["paths"]
    ]
    assert all(path["port"] == {"name": "public"} for path in paths)
    assert {each["name"] for each in paths} | {backend["name"] for [backend] in named} <= public & set(services)


def test_a_route_has_no_timeouts_unless_they_are_set() -> None:
    """A route has timeouts only if they are set, because some Gateways refuse them."""
    [rule] = chart(FULL).one("HTTPRoute")["spec"]["rules"]
    assert "timeouts" not in rule
    route = {"enabled": True, "parentRefs": [{"name": "gateway"}], "timeouts": {"request": "0s"}}
    [rule] = chart(FULL, httpRoute=route).one("HTTPRoute")["spec"]["rules"]
    assert rule["timeouts"] == {"request": "0s"}


def test_route_fields_are_passed_through() -> None:
    """Parents, hosts, matches and filters are passed on."""
    route = {
        "enabled": True,
        "parentRefs": [{"name": "gateway", "namespace": "gateways", "sectionName": "https"}],
        "hostnames": ["chat.example.com"],
        "matches": [{"path": {"type": "Exact", "value": "/ws"}}],
        "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x-a"]}}],
        "annotations": {"a": "b"},
    }
    made = chart(READY, httpRoute=route).one("HTTPRoute")
    assert made["spec"]["parentRefs"] == route["parentRefs"]
    assert made["spec"]["hostnames"] == route["hostnames"]
    assert made["spec"]["rules"][0]["matches"] == route["matches"]
    assert made["spec"]["rules"][0]["filters"] == route["filters"]
    assert made["metadata"]["annotations"] == {"a": "b"}


@pytest.mark.parametrize(("name", "annotations"), ANNOTATIONS.items(), ids=ANNOTATIONS)
def test_the_examples_tell_each_controller_what_it_needs(name: str, annotations: dict[str, str]) -> None:
    """Each example sets its controller's class and timeouts."""
    ingress = chart({**READY, **read(CHART / "examples" / f"{name}.yaml")}).one("Ingress")
    assert annotations.items() <= ingress["metadata"].get("annotations", {}).items()
    assert ingress["spec"]["ingressClassName"] == CLASSES.get(name, name)
    assert [rule["host"] for rule in ingress["spec"]["rules"]] == ["chat.example.com"]


def test_every_example_is_on_the_page() -> None:
    """Each example is on the page, with the same content."""
    page = (CHART / "README.md").read_text(encoding="utf-8")
    for path in EXAMPLES:
        assert f"(examples/{path.name})" in page
    assert {path.stem for path in EXAMPLES} == {*ANNOTATIONS, "gateway-api", "socketio-gateway-api", "kind", "keda"}


def test_the_load_balancer_of_gke_lets_connections_live() -> None:
    """The Service names a GKE backend object that raises the connection timeout."""
    rendered = chart({**READY, **read(CHART / "examples" / "gke.yaml")})
    [backend] = rendered.all("BackendConfig")
    assert backend["spec"]["timeoutSec"] == 86400
    annotations = rendered.one("Service")["metadata"]["annotations"]
    assert backend["metadata"]["name"] in annotations["cloud.google.com/backend-config"]


def test_service_fields_are_passed_through() -> None:
    """Type, port, app protocol and other fields of the Service can be set."""
    service = {
        "type": "LoadBalancer",
        "port": 443,
        "nodePort": 30443,
        "appProtocol": "kubernetes.io/ws",
        "annotations": {"a": "b"},
        "labels": {"c": "d"},
        "spec": {"externalTrafficPolicy": "Local", "loadBalancerClass": "x"},
    }
    made = chart(READY, service=service).one("Service")
    assert made["spec"]["ports"] == [
        {
            "name": "public",
            "port": 443,
            "targetPort": "public",
            "protocol": "TCP",
            "appProtocol": "kubernetes.io/ws",
            "nodePort": 30443,
        }
    ]
    assert (made["spec"]["type"], made["spec"]["externalTrafficPolicy"]) == ("LoadBalancer", "Local")
    assert made["metadata"]["annotations"] == {"a": "b"}
    assert made["metadata"]["labels"]["c"] == "d"


def test_a_node_port_is_for_services_that_have_one() -> None:
    """A node port is set only for Service types that have one, because Kubernetes refuses others."""
    [port] = chart(READY, service={"nodePort": 30443}).one("Service")["spec"]["ports"]
    assert "nodePort" not in port


def test_backends_have_a_service_of_their_own() -> None:
    """Backends have a Service with the internal port of all pods: full and draining ones are not ready, and answer."""
    spec = chart(READY).one("Service", "-internal")["spec"]
    assert [(port["port"], port["targetPort"]) for port in spec["ports"]] == [(9090, "internal")]
    assert spec["publishNotReadyAddresses"] is True
    assert "publishNotReadyAddresses" not in chart(READY).one("Service")["spec"]


@pytest.mark.parametrize("prefix", ["/chat", "chat/"])
def test_a_prefix_is_in_each_address(prefix: str) -> None:
    """With a prefix, the test and the notes name the path where clients connect."""
    ingress = {"enabled": True, "hosts": [{"host": "example.com"}], "tls": [{"hosts": ["example.com"]}]}
    rendered = chart(READY, ingress=ingress, settings={"FORESTAY_PATH_PREFIX": prefix})
    [container] = rendered.one("Pod", "-ping")["spec"]["containers"]
    assert container["args"] == ["ping", "ws://forestay:8080/chat/ws"]
    assert "wss://example.com/chat/ws" in rendered.notes
    assert ":8080/chat/ws" in rendered.notes


@pytest.mark.parametrize("example", ROUTED, ids=lambda path: path.stem)
def test_the_notes_of_an_example_name_an_encrypted_address(example: Path) -> None:
    """All examples with a route end TLS in front of the pods. The address that a user copies begins with wss."""
    notes = chart(READY | read(example)).notes
    assert "wss://chat.example.com/ws" in notes or "chat.example.com, through the Gateway" in notes


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)
def test_helm_test_tries_what_the_pods_need(values: dict[str, Any]) -> None:
    """`helm test` runs the doctor with the settings, the files, the account and the security of the gateway."""
    rendered = chart(values)
    pod = rendered.one("Pod", "-doctor")
    [container] = pod["spec"]["containers"]
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    # What it found has to be read where no gateway starts, and the pod is gone when it is well.
    assert pod["metadata"]["annotations"]["helm.sh/hook-output-log-policy"] == "hook-failed"
    assert container["args"] == ["doctor"]
    for part in ("image", "env", "volumeMounts", "securityContext"):
        assert container[part] == rendered.gateway[part]
    for part in ("volumes", "serviceAccountName", "automountServiceAccountToken", "securityContext"):
        assert pod["spec"][part] == rendered.pod[part]


def test_helm_test_speaks_through_the_service() -> None:
    """`helm test` mints a token with the key or takes a given one; without both it sends no message."""
    pod = chart(READY, service={"port": 80}, settings={"FORESTAY_JWT_AUDIENCE": "chat"}).one("Pod", "-ping")
    [container] = pod["spec"]["containers"]
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert container["args"] == ["ping", "ws://forestay:80/ws"]
    assert container["image"] == chart(READY).gateway["image"]
    names = {each["name"]: each for each in container["env"]}
    [secrets] = [volume["secret"] for volume in pod["spec"]["volumes"] if volume["name"] == "secrets"]
    assert (secrets["secretName"], secrets["items"]) == ("keys", [{"key": "jwt-secret", "path": "jwt-secret"}])
    assert {"name": "secrets", "mountPath": names["FORESTAY_SECRETS_DIR"]["value"], "readOnly": True} in container[
        "volumeMounts"
    ]
    assert names["FORESTAY_JWT_AUDIENCE"]["value"] == "chat"
    issued = {"auth": {"jwksUrl": "https://issuer"}, "redis": {"existingSecret": "bus"}}
    assert [each["metadata"]["name"] for each in chart(issued).all("Pod")] == ["forestay-doctor"]
    assert chart(READY, tests={"enabled": False}).all("Pod") == []
    [container] = chart(issued, tests={"tokenSecret": "token"}).one("Pod", "-ping")["spec"]["containers"]
    assert container["args"][2:] == ["--token", "$(TOKEN)"]
    assert container["env"] == [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "token", "key": "token"}}}]
