"""The real client library against an API server that can fail in every way."""

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
import trustme

from forestay.ops.kubernetes import api as kubernetes
from forestay.ops.kubernetes import endpoints
from forestay.ops.kubernetes.api import Cluster, Pod
from forestay.ops.kubernetes.endpoints import Endpoint, Endpoints
from forestay.ops.kubernetes.events import Events, Occurrence, Reason
from forestay.ops.kubernetes.unanswered import Cause, Unanswered
from forestay.pod.tasks import Supervisor
from tests.support.kubernetes_api import NAMESPACE, SERVICE, Fault, KubernetesApi, endpoint, kubernetes_api

US = Pod(NAMESPACE, "forestay-0", "uid-0")


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KubernetesApi]:
    async with kubernetes_api(tmp_path, monkeypatch) as running:
        yield running


@pytest.fixture
async def cluster(api: KubernetesApi) -> AsyncIterator[Cluster]:
    opened = Cluster(US, SERVICE, api.account)
    yield opened
    await opened.close()


class Following:
    def __init__(self, cluster: Cluster, rng: Callable[[float, float], float]) -> None:
        self.faults: list[str] = []
        self.endpoints = Endpoints(cluster, rng, self.faults.append)

    def names(self) -> list[str]:
        return [each.name for each in self.endpoints.pods() or ()]


@asynccontextmanager
async def following(cluster: Cluster, rng: Callable[[float, float], float] | None = None) -> AsyncIterator[Following]:
    """Follow the pods. Rests are short unless `rng` says otherwise; watches have their usual length."""
    us = Following(cluster, rng or (lambda _, high: high if high >= 100 else 0.02))
    task = asyncio.create_task(us.endpoints.follow())
    try:
        yield us
        assert not task.done(), "it must follow until cancelled"
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(holds: Callable[[], object]) -> None:
    while not holds():
        await asyncio.sleep(0.005)


async def test_the_pods_are_listed_and_then_watched(api: KubernetesApi, cluster: Cluster) -> None:
    """A pod with two address families is one endpoint, and a change is known as soon as the watch has it."""
    api.put("v4", endpoint("a"), endpoint("b", ready=False, terminating=True))
    api.put("v6", endpoint("a"), family="IPv6")
    api.put("empty")
    async with following(cluster) as us:
        await until(lambda: us.endpoints.pods() is not None)
        assert us.endpoints.pods() == (
            Endpoint("a", ready=True, terminating=False),
            Endpoint("b", ready=False, terminating=True),
        )
        await until(lambda: api.watching)
        api.put("v4", endpoint("a"), endpoint("c"))
        await until(lambda: us.names() == ["a", "c"])
        api.delete("v4")
        await until(lambda: us.names() == ["a"])
    assert us.faults == []
    assert (api.count("list"), api.count("watch")) == (1, 1)
    assert api.last("watch").agent == "forestay"
    assert 240 <= int(api.last("watch").query["timeoutSeconds"]) <= 300
    await until(lambda: not api.watching)


@pytest.mark.parametrize("end", ["ended", "broken"])
async def test_a_watch_is_resumed_where_it_ended(api: KubernetesApi, cluster: Cluster, end: str) -> None:
    """The next watch brings what changed meanwhile, without another list."""
    api.put("v4", endpoint("a"))
    async with following(cluster) as us:
        await until(lambda: api.watching)
        api.bookmark()
        version = str(api._version)
        if end == "ended":
            api.end_watches()
        else:
            api.break_watches()
        await until(lambda: not api.watching)
        api.put("v4", endpoint("a"), endpoint("b"))
        await until(lambda: us.names() == ["a", "b"])
        assert api.last("watch").query["resourceVersion"] == version
        assert api.count("list") == 1
        assert us.faults == ["brief" if end == "ended" else "unreachable"]


@pytest.mark.parametrize("said", ["within the watch", "as a status"])
async def test_a_version_that_is_gone_is_listed_anew(api: KubernetesApi, cluster: Cluster, said: str) -> None:
    """Slices that were deleted by then are forgotten."""
    api.put("old", endpoint("a"))
    async with following(cluster) as us:
        await until(lambda: api.watching)
        if said == "within the watch":
            del api.slices["old"]
            api.compact()
        else:
            await api.stop()
            del api.slices["old"]
            api.compact()
            await api.start()
        await until(lambda: us.endpoints.pods() == ())
        assert api.count("list") == 2
        assert said != "within the watch" or us.faults == ["gone"]
        assert us.faults.count("gone") == 1


async def test_a_server_that_ends_watches_at_once_is_asked_a_few_times(api: KubernetesApi, cluster: Cluster) -> None:
    """With random rests as in production, it is asked at most six times in three seconds."""
    api.brief = True
    fair = random.Random(1)
    async with following(cluster, fair.uniform) as us:
        await until(lambda: api.asked)
        await asyncio.sleep(3)
        assert us.endpoints.pods() == ()
    assert 1 <= api.count("watch") <= 6
    # After the list the next watch may not have begun.
    assert api.count("list") - max(0, api.count("watch") - 3) in (1, 2)


@pytest.mark.parametrize(
    ("kind", "fault", "cause"),
    [
        ("list", Fault(500), "failed"),
        ("watch", Fault(503), "failed"),
        ("list", Fault(403), "denied"),
        ("watch", Fault(403), "denied"),
        ("list", Fault(404), "failed"),
        ("watch", Fault(429), "throttled"),
    ],
)
async def test_an_error_is_counted_and_waited_out(
    api: KubernetesApi, cluster: Cluster, kind: str, fault: Fault, cause: str
) -> None:
    """Each cause has its rests, and the pods are known again when the answers come back."""
    api.put("v4", endpoint("a"))
    api.faults[kind] = fault
    bounds: list[float] = []

    def rng(low: float, high: float) -> float:
        if high < 100:
            bounds.append(high)
        return low if high >= 100 else 0.01

    async with following(cluster, rng) as us:
        await until(lambda: us.faults == [cause] * 4)
        assert bounds[:3] == ([60] * 3 if cause == "denied" else [1, 2, 4])
        api.faults.clear()
        await until(lambda: api.watching)
        assert us.names() == ["a"]


async def test_a_retry_after_is_respected(api: KubernetesApi, cluster: Cluster) -> None:
    """It counts with 429 and with 503."""
    async with following(cluster) as us:
        for status in (429, 503):
            api.faults["list"] = Fault(status, {"Retry-After": "1"})
            before = api.count("list")
            await until(lambda before=before: api.count("list") == before + 1)  # type: ignore[misc]
            await until(lambda status=status: us.faults[-1:] == ["throttled" if status == 429 else "failed"])  # type: ignore[misc]
        api.faults.clear()
        await until(lambda: us.endpoints.pods() is not None)
    lists = [each.at for each in api.asked if each.kind == "list"]
    assert [later - earlier >= 1 for earlier, later in pairwise(lists)] == [True, True]


async def test_a_server_that_is_away_is_found_again(
    api: KubernetesApi, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pods stay known for a while and are then unknown, without an exception."""
    monkeypatch.setattr(endpoints, "STALE", 0.3)
    api.put("v4", endpoint("a"))
    async with following(cluster) as us:
        await until(lambda: api.watching)
        await asyncio.sleep(0.4)
        assert us.names() == ["a"]
        monkeypatch.setattr(endpoints, "STALE", 600.0)
        await api.stop()
        await until(lambda: "unreachable" in us.faults)
        assert us.names() == ["a"]
        monkeypatch.setattr(endpoints, "STALE", 0.3)
        await until(lambda: us.endpoints.pods() is None)
        await api.start()
        await until(lambda: us.names() == ["a"])


async def test_a_server_that_hangs_times_out(
    api: KubernetesApi, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request without an answer times out, and so does a watch that goes silent."""
    await cluster.list()
    monkeypatch.setattr(kubernetes, "_SILENCE", 0.3)
    async with following(cluster) as us:
        await until(lambda: us.faults == ["unreachable"])
        assert api.count("watch") == 1
        monkeypatch.setattr(kubernetes, "_TIMEOUT", 0.2)
        api.mute = True
        await until(lambda: len(us.faults) >= 4)
        assert set(us.faults) == {"unreachable"}


async def test_a_new_token_is_used_from_the_next_request_on(api: KubernetesApi, cluster: Cluster) -> None:
    """The open watch stays. The next watch and each event use the new token, as the old one is invalid."""
    async with following(cluster) as us:
        await until(lambda: api.watching)
        api.rotate("token-2")
        api.put("v4", endpoint("a"))
        await until(lambda: us.names() == ["a"])
        await cluster.create(Occurrence(Reason.DRAIN_STARTED, "n=1", warning=False, count=1))
        api.end_watches()
        await until(lambda: api.count("watch") == 2 and api.watching)
        assert us.faults == ["brief"]
        api.rotate("token-3", told=False)
        api.end_watches()
        await until(lambda: us.faults[-1] == "denied")
        api.rotate("token-3")
        await until(lambda: api.watching)


async def test_an_event_says_what_happened_to_which_pod(api: KubernetesApi, cluster: Cluster) -> None:
    """It has every field that the API server requires, and its note is cut to the longest allowed."""
    name = await cluster.create(Occurrence(Reason.BUS_DEGRADED, "ü" * 2000, warning=True, count=1))
    event = api.events[name]
    assert event["metadata"] == {"name": name, "namespace": NAMESPACE}
    assert name.startswith("forestay-0.")
    assert event["regarding"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": NAMESPACE,
        "name": "forestay-0",
        "uid": "uid-0",
    }
    assert (event["reason"], event["action"], event["type"]) == ("BusDegraded", "BusDegraded", "Warning")
    assert (event["reportingController"], event["reportingInstance"]) == ("forestay", "forestay-0")
    assert event["note"] == "ü" * 512
    assert "series" not in event
    assert abs(datetime.fromisoformat(event["eventTime"]).timestamp() - time.time()) < 5
    assert len(event["eventTime"].partition(".")[2]) == len("123456+00:00")


async def test_a_note_that_is_no_valid_text_is_written_all_the_same(api: KubernetesApi, cluster: Cluster) -> None:
    """Half a surrogate pair in a note does not lose the event."""
    name = await cluster.create(Occurrence(Reason.BUS_DEGRADED, "a\ud800b", warning=True, count=1))
    assert api.events[name]["note"] == "a?b"


async def test_a_request_after_the_close_fails(api: KubernetesApi, cluster: Cluster) -> None:
    """Nothing is opened again, and closing twice works."""
    await cluster.list()
    await cluster.close()
    with pytest.raises(Unanswered) as raised:
        await cluster.list()
    assert raised.value.cause is Cause.ABSENT
    assert len(api.asked) == 1


async def test_a_flood_of_events_is_one_event_with_a_count(api: KubernetesApi, cluster: Cluster) -> None:
    """A thousand occurrences are two requests: the event, and its series at the close."""
    faults: list[str] = []
    recorder = Events(cluster, Supervisor(random.uniform), faults.append)
    recorder.start()
    recorder.record(Reason.REBALANCE_SHED, "first")
    await until(lambda: api.events)
    for _ in range(999):
        recorder.record(Reason.REBALANCE_SHED, "more")
    recorder.record(Reason.DRAIN_STARTED, "n=8123")
    await recorder.close(5)
    assert (api.count("create"), api.count("patch")) == (2, 1)
    first, drain = api.events.values()
    assert (first["note"], first["series"]["count"]) == ("first", 1000)
    assert datetime.fromisoformat(first["series"]["lastObservedTime"]) > datetime.fromisoformat(first["eventTime"])
    assert drain["note"] == "n=8123"
    assert faults == []


async def test_an_event_that_the_cluster_forgot_is_not_there(api: KubernetesApi, cluster: Cluster) -> None:
    """Repeating it returns False."""
    name = await cluster.create(Occurrence(Reason.BUS_DEGRADED, "", warning=True, count=7))
    assert api.events[name]["series"]["count"] == 7
    assert await cluster.repeat(name, 8)
    api.events.clear()
    assert not await cluster.repeat(name, 9)


async def test_events_that_are_denied_are_only_counted(api: KubernetesApi, cluster: Cluster) -> None:
    """A 403 for each write raises nothing, and closing takes no time."""
    api.faults |= {"create": Fault(403), "patch": Fault(403)}
    faults: list[str] = []
    recorder = Events(cluster, Supervisor(random.uniform), faults.append)
    recorder.start()
    recorder.record(Reason.DRAIN_STARTED, "n=1")
    recorder.record(Reason.BUS_DEGRADED, "", warning=True)
    await recorder.close(5)
    assert faults == ["denied", "denied"]


async def test_outside_of_a_cluster_each_request_fails_with_a_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is `absent` without variables, without a token and with a bad authority, and closing works."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    cluster = Cluster(US, SERVICE, tmp_path)
    for step in range(4):
        with pytest.raises(Unanswered) as raised:
            await cluster.list()
        assert raised.value.cause is Cause.ABSENT
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
        if step == 1:
            (tmp_path / "token").write_text("t")
            (tmp_path / "ca.crt").write_text("no certificate")
        if step == 2:
            (tmp_path / "ca.crt").write_bytes(b"\xff\xfe")
    await cluster.close()


async def test_a_server_with_another_certificate_is_not_trusted(api: KubernetesApi, cluster: Cluster) -> None:
    """A server at the API server's address without its certificate does not get the token."""
    trustme.CA().cert_pem.write_to_path(str(api.account / "ca.crt"))
    with pytest.raises(Unanswered, match="certificate") as raised:
        await cluster.list()
    assert raised.value.cause is Cause.UNREACHABLE
    assert api.asked == []


def test_the_client_is_not_loaded_before_it_is_needed() -> None:
    """Importing the server and everything about the cluster leaves `kubernetes` alone: it is large."""
    check = (
        "import sys, forestay.pod.server;"
        "from forestay.ops.kubernetes import api, endpoints, events;"
        "sys.exit(any(name.partition('.')[0] == 'kubernetes' for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", check], check=True, cwd=Path(kubernetes.__file__).parents[2])
