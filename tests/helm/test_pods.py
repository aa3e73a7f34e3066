"""How the chart's pods start, are probed and end."""

import base64
import tomllib
from typing import Any

import pytest

from forestay.edge.tokens.verifier import parse_rooms
from forestay.settings.secrets import PREFIX
from forestay.settings.settings import load
from helm.rendering import CHART, read
from tests.support.chart import FULL, KEYS, MATRIX, READY, Chart, chart
from tests.support.repository import ROOT

matrix = pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX)


@matrix
def test_the_grace_period_covers_the_drain(values: dict[str, Any]) -> None:
    """The grace period is preStop, window, close, flush and margin together, and the gateway gets its part."""
    rendered = chart(values)
    settings = {name: float(rendered.environment[f"FORESTAY_{name}"]) for name in _DRAIN_SETTINGS}
    sleep = rendered.gateway.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    margin = values.get("drain", {}).get("margin", 10)
    grace = rendered.pod["terminationGracePeriodSeconds"]
    assert grace == sleep + settings["DRAIN_WINDOW"] + settings["CLOSE_TIMEOUT"] + settings["FLUSH_TIMEOUT"] + margin
    assert settings["DRAIN_DEADLINE"] == grace - sleep - margin


def test_the_default_grace_period_is_a_minute() -> None:
    """The default grace period is 60 s: 10, 30, 5, 5 and 10."""
    assert chart(READY).pod["terminationGracePeriodSeconds"] == 60


def test_a_longer_grace_period_is_the_gateways() -> None:
    """A longer grace period raises the drain's deadline, and the notes show the numbers."""
    rendered = chart(READY, terminationGracePeriodSeconds=120)
    assert rendered.pod["terminationGracePeriodSeconds"] == 120
    assert rendered.environment["FORESTAY_DRAIN_DEADLINE"] == "100"
    assert "120 s before it is killed" in rendered.notes
    assert "100 s from SIGTERM" in rendered.notes


def test_the_sleep_is_the_clusters_own() -> None:
    """The preStop hook uses the cluster's sleep action, so that the image needs no shell."""
    assert chart(READY).gateway["lifecycle"] == {"preStop": {"sleep": {"seconds": 10}}}


def test_the_lifecycle_can_be_another_or_none() -> None:
    """A map replaces the preStop sleep; `null` or a sleep of 0 removes it."""
    own = {"preStop": {"httpGet": {"path": "/x", "port": 1}}}
    assert chart(READY, lifecycle=own).gateway["lifecycle"] == own
    assert "lifecycle" not in chart(READY, lifecycle=None).gateway
    assert "lifecycle" not in chart(READY, drain={"preStop": 0}).gateway


def test_a_rollout_moves_each_client_once() -> None:
    """A rollout starts all new pods before it ends old ones; both numbers can be changed."""
    spec = chart(READY).one("Deployment")["spec"]
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "100%"}}
    assert spec["minReadySeconds"] == 10
    probe = chart(READY).gateway["startupProbe"]
    assert spec["progressDeadlineSeconds"] > probe["periodSeconds"] * probe["failureThreshold"] + 10
    other = chart(
        READY, strategy={"rollingUpdate": {"maxSurge": "25%"}}, minReadySeconds=30, progressDeadlineSeconds=900
    ).one("Deployment")["spec"]
    assert other["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": "25%"}
    assert (other["minReadySeconds"], other["progressDeadlineSeconds"]) == (30, 900)
    assert chart(READY, strategy={"type": "Recreate"}).one("Deployment")["spec"]["strategy"] == {"type": "Recreate"}


@matrix
def test_three_probes_ask_three_questions(values: dict[str, Any]) -> None:
    """Each probe has its own path on the internal port."""
    gateway = chart(values).gateway
    asked = {probe: gateway[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {probe: get["path"] for probe, get in asked.items()} == {
        "startupProbe": "/startupz",
        "livenessProbe": "/livez",
        "readinessProbe": "/readyz",
    }
    assert {get["port"] for get in asked.values()} == {"internal"}
    assert {port["name"]: port["containerPort"] for port in gateway["ports"]} == {"public": 8080, "internal": 9090}


def test_probes_can_be_others() -> None:
    """Single numbers of a probe can be changed, and a probe can be removed."""
    assert chart(READY, readinessProbe={"periodSeconds": 5}).gateway["readinessProbe"]["periodSeconds"] == 5
    assert "startupProbe" not in chart(READY, startupProbe=None).gateway


def test_the_gateway_learns_who_it_is() -> None:
    """The gateway gets its pod name, its namespace and its Service."""
    environment = chart(READY).environment
    for name, path in {
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "POD_UID": "metadata.uid",
    }.items():
        assert environment[name] == {"fieldRef": {"fieldPath": path}}
    assert environment["SERVICE_NAME"] == chart(READY).one("Service")["metadata"]["name"]


@matrix
def test_the_gateway_takes_what_the_chart_gives_it(values: dict[str, Any]) -> None:
    """Every variable of the chart is a setting with a value that the gateway can read."""
    given = {name: value for name, value in chart(values).environment.items() if isinstance(value, str)}
    settings = load({**given, "FORESTAY_ROOMS_FILE": "", "FORESTAY_SECRETS_DIR": ""})
    assert settings.max_connections == values.get("maxConnections", 10_000)


def test_large_numbers_stay_whole() -> None:
    """A million is written with all digits, although values come as floats."""
    environment = chart(READY, maxConnections=1000000, settings={"FORESTAY_SEND_BUFFER_BYTES": 16777216}).environment
    assert environment["FORESTAY_MAX_CONNECTIONS"] == "1000000"
    assert environment["FORESTAY_SEND_BUFFER_BYTES"] == "16777216"
    assert chart(READY, rebalance={"maxAge": 1000000}).environment[f"{PREFIX}REBALANCE_MAX_AGE"] == "1000000"


def test_rooms_are_a_file() -> None:
    """A list becomes TOML that the gateway can read, a text is kept, and no rooms give no file."""
    room = {"pattern": 'a"b.*', "echo": False, "slow": "drop_oldest", "history": {"size": 1000, "ttl": 2592000}}
    assert tomllib.loads(_rooms(chart(READY, rooms=[room, {"pattern": "**"}]))) == {"rooms": [room, {"pattern": "**"}]}
    text = '[[rooms]]\npattern = "{{ not a template }}"\n'
    assert tomllib.loads(_rooms(chart(READY, rooms=text))) == tomllib.loads(text)
    assert chart(READY).all("ConfigMap") == []
    assert "FORESTAY_ROOMS_FILE" not in chart(READY).environment


@pytest.mark.parametrize(
    ("hooks", "named", "volumes"),
    [
        ({"configMap": "rules"}, "/etc/forestay/hooks/hooks.py", 1),
        ({"configMap": "rules", "module": "chat.py"}, "/etc/forestay/hooks/chat.py", 1),
        ({"module": "/opt/hooks/hooks.py"}, "/opt/hooks/hooks.py", 0),
        ({"module": "shop.rules"}, "shop.rules", 0),
    ],
)
def test_hooks_come_from_a_config_map_or_from_the_image(hooks: dict[str, str], named: str, volumes: int) -> None:
    """The setting names the file in the mounted ConfigMap, or what the image has."""
    pod = chart(READY, hooks=hooks).pod
    [gateway] = pod["containers"]
    environment = {each["name"]: each.get("value") for each in gateway["env"]}
    assert environment["FORESTAY_HOOKS_MODULE"] == named
    mounts = [each["mountPath"] for each in gateway["volumeMounts"] if each["name"] == "hooks"]
    sources = [each["configMap"] for each in pod["volumes"] if each["name"] == "hooks"]
    assert (mounts, sources) == (volumes * ["/etc/forestay/hooks"], volumes * [{"name": "rules"}])


def test_tracing_is_the_standard_variables() -> None:
    """With an endpoint the sampler keeps the given share; without one no variables are set."""
    environment = chart(FULL).environment
    assert environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4318"
    assert (environment["OTEL_TRACES_SAMPLER"], environment["OTEL_TRACES_SAMPLER_ARG"]) == (
        "parentbased_traceidratio",
        "0.5",
    )
    assert not [name for name in chart(READY).environment if name.startswith("OTEL_")]


@pytest.mark.parametrize(
    ("url", "completed"),
    [
        ("rediss://bus", "rediss://bus?ca=/etc/forestay/redis/ca.crt"),
        ("redis://bus", "redis://bus?ca=/etc/forestay/redis/ca.crt&tls=1"),
        ("redis+cluster://a,b?tls=1", "redis+cluster://a,b?tls=1&ca=/etc/forestay/redis/ca.crt"),
        ("rediss://bus?ca=/mine", "rediss://bus?ca=/mine"),
    ],
)
def test_the_url_is_completed_with_the_authority(url: str, completed: str) -> None:
    """The certificate authority is mounted where the Redis URL names it."""
    rendered = chart(KEYS, redis={"url": url, "tls": {"caSecret": "ca"}})
    assert _decoded(rendered) == completed
    mounts = {mount["name"]: mount["mountPath"] for mount in rendered.gateway["volumeMounts"]}
    assert mounts["redis-ca"] == "/etc/forestay/redis"


def test_the_small_redis_has_a_password_and_lets_only_gateways_in() -> None:
    """Redis and the gateways read the same password from one Secret; a policy lets in them and their test only."""
    rendered = chart(KEYS, redis={"enabled": True, "password": "a" * 20})
    data = {key: base64.b64decode(value).decode() for key, value in rendered.one("Secret", "-redis")["data"].items()}
    assert data["redis.conf"] == f"requirepass {'a' * 20}\n"
    assert data["url"] == f"redis://:{'a' * 20}@forestay-redis:6379"
    [source] = [
        source["secret"]
        for volume in rendered.pod["volumes"]
        if volume["name"] == "secrets"
        for source in volume["projected"]["sources"]
        if source["secret"]["name"] == "forestay-redis"
    ]
    assert source["items"] == [{"key": "url", "path": "bus-url"}]
    [rule] = rendered.one("NetworkPolicy", "-redis")["spec"]["ingress"]
    peers = [each["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for each in rule["from"]]
    assert peers == ["gateway", "doctor"]
    random = rendered_password(chart(KEYS, redis={"enabled": True}))
    assert len(random) == 32
    assert random.isalnum()


def rendered_password(rendered: Chart) -> str:
    return base64.b64decode(rendered.one("Secret", "-redis")["data"]["password"]).decode()


def test_keys_with_scopes_are_a_file_that_may_change() -> None:
    """A Secret's key becomes the file that the gateway reads again; without its name there is no such file."""
    assert "FORESTAY_API_KEYS_FILE" not in chart(READY).environment
    rendered = chart({**READY, "auth": {"existingSecret": "keys", "secretKeys": {"apiKeys": "backends"}}})
    path = rendered.environment["FORESTAY_API_KEYS_FILE"]
    [volume] = [volume for volume in rendered.pod["volumes"] if volume["name"] == "secrets"]
    items = volume["projected"]["sources"][0]["secret"]["items"]
    assert path == f"{rendered.environment['FORESTAY_SECRETS_DIR']}/api-keys.toml"
    assert {"key": "backends", "path": "api-keys.toml"} in items


def test_a_user_has_a_limit_of_connections() -> None:
    """The chart limits the connections of a user; 0 removes the limit."""
    assert 0 < int(chart(READY).environment["FORESTAY_MAX_CONNECTIONS_PER_USER"]) <= 100
    assert chart(READY, maxConnectionsPerUser=0).environment["FORESTAY_MAX_CONNECTIONS_PER_USER"] == "0"


def test_the_examples_give_narrow_rights() -> None:
    """Each example, and the plain manifests, give tokens without the claim `rooms` no right to write."""
    paths = [*sorted((CHART / "examples").glob("*.yaml")), ROOT / "k8s" / "values.yaml"]
    for path in paths:
        if path.stem == "keda":
            # It is added to values that are there, and changes nothing but the number of pods.
            assert read(path).keys() == {"autoscaling"}
            continue
        rights = read(path)["settings"]["FORESTAY_DEFAULT_RIGHTS"]
        assert [letters for letters in parse_rooms(rights).values() if set(letters) - set("r")] == [], path


def test_the_small_redis_forgets_and_the_notes_say_so() -> None:
    """The bundled Redis has no disk, a memory limit and no eviction, and the notes warn once."""
    rendered = chart(KEYS, redis={"enabled": True})
    command = rendered.one("Deployment", "-redis")["spec"]["template"]["spec"]["containers"][0]["command"]
    assert command[:2] == ["redis-server", "/etc/redis/redis.conf"]
    options = dict(zip(command[2::2], command[3::2], strict=True))
    assert (options["--save"], options["--maxmemory"], options["--maxmemory-policy"]) == ("", "128mb", "noeviction")
    assert "WARNING: redis.enabled" in rendered.notes
    assert "WARNING" not in chart(READY).notes


def test_a_single_pod_is_warned_about() -> None:
    """The notes warn of a single pod and of a missing bus."""
    notes = chart(KEYS, replicaCount=1).notes
    assert "WARNING: with a single pod" in notes
    assert "WARNING: without Redis" in notes


_DRAIN_SETTINGS = ("DRAIN_WINDOW", "DRAIN_DEADLINE", "CLOSE_TIMEOUT", "FLUSH_TIMEOUT")


def _rooms(rendered: Chart) -> str:
    text: str = rendered.one("ConfigMap", "-rooms")["data"]["rooms.toml"]
    return text


def _decoded(rendered: Chart) -> str:
    return base64.b64decode(rendered.one("Secret", "-bus")["data"]["redis-url"]).decode()


def test_times_have_units_or_are_seconds() -> None:
    """A time with units renders to what its seconds render to, in the drain, in rooms and in the age of connections."""

    def rooms(ttl: object) -> list[dict[str, Any]]:
        return [{"pattern": "chat.*", "history": {"size": 10, "ttl": ttl}}]

    numbers = {"preStop": 20, "window": 90, "lead": 3, "close": 5, "flush": 60, "margin": 3600}
    texts = {"preStop": "20s", "window": "1m30s", "lead": "3s", "close": "5s", "flush": "1m", "margin": "1h"}
    by_number = chart(READY, drain=numbers, rebalance={"maxAge": 100_800}, rooms=rooms(90_000))
    by_text = chart(READY, drain=texts, rebalance={"maxAge": "1d4h"}, rooms=rooms("1d1h"))
    assert by_text.objects == by_number.objects
    assert by_text.notes == by_number.notes
