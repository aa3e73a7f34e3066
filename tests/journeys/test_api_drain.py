"""A backend drains a pod: its clients move, and the process stays until a signal ends it."""

import asyncio
import signal
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.support.gateway import Client, Gateway, Pod, call, token
from tests.support.pods import NewPod
from tests.support.process import serving


def id_of(pod: Gateway) -> str:
    return pod.running._pod.pods.me


async def only_pod(pod: Pod) -> str:
    """The name of a pod that is alone."""
    pods: Any = (await call(pod, "GET", "/v1/info"))[1]["pods"]
    return str(pods[0]["pod"])


async def test_any_pod_drains_another_one(new_pod: NewPod) -> None:
    """The clients of that pod are asked to move and closed with 1001; the other pod goes on as before."""
    one, two = await new_pod(), await new_pod(drain_window=0.5, drain_lead=0.1, close_timeout=0.1)
    stays, moves = await one.connect("alice"), await two.connect("bob")
    status, answer = await call(one, "POST", f"/v1/pods/{id_of(two)}/drain")
    assert (status, answer["pod"], answer["state"], answer["connections"]) == (202, id_of(two), "draining", 1)
    # From the answer on.
    assert (await Client.open_or_refused(two.port, token("eve"))).status == 503
    assert (await two.probe("/readyz"))[1]["failing"] == ["draining"]
    assert (await moves.hear("reconnect"))["payload"]["reason"] == "draining"
    assert (await moves.ended()).code == 1001
    assert await stays.silent()
    assert (await one.probe("/readyz"))[0] == 200
    assert (await Client.open_or_refused(one.port, token("eve"))).status == 101


async def test_a_drained_pod_stays_and_serves_backends(new_pod: NewPod) -> None:
    """A second order changes nothing, and the pod answers for all pods, itself included, until it is stopped."""
    one, two = await new_pod(), await new_pod(drain_window=0, close_timeout=0.1)
    path = f"/v1/pods/{id_of(two)}/drain"
    assert (await call(two, "POST", path))[0] == 202
    for asked in (one, two):
        status, answer = await call(asked, "POST", path)
        assert (status, answer["state"]) == (200, "draining")
    alice = await one.join("alice", "a")
    assert await call(two, "POST", "/v1/rooms/a/messages", b'{"payload": 1}') == (200, {})
    assert (await alice.hear("broadcast"))["payload"] == 1
    answer = (await call(one, "GET", "/v1/info"))[1]
    states = {each["pod"]: each["state"] for each in answer["pods"]}  # type: ignore[attr-defined]
    assert (states, answer["complete"]) == ({id_of(one): "ready", id_of(two): "draining"}, True)
    assert (await two.probe("/livez"))[0] == 200


async def test_a_pod_is_found_by_its_host(new_pod: NewPod, monkeypatch: pytest.MonkeyPatch) -> None:
    """In Kubernetes that is the name of the pod. A name of several pods is refused, and drains none."""
    made = []
    for name in ("forestay-a", "forestay-b", "forestay-b"):
        monkeypatch.setenv("POD_NAME", name)
        made.append(await new_pod())
    hosts = [each["host"] for each in (await call(made[0], "GET", "/v1/info"))[1]["pods"]]  # type: ignore[attr-defined]
    assert sorted(hosts) == ["forestay-a", "forestay-b", "forestay-b"]
    status, problem = await call(made[0], "POST", "/v1/pods/forestay-b/drain")
    assert (status, problem["code"]) == (400, "bad_message")
    assert id_of(made[1]) in str(problem["detail"])
    assert (await call(made[2], "POST", "/v1/pods/forestay-a/drain"))[0] == 202
    assert [(await each.probe("/readyz"))[0] for each in made] == [503, 200, 200]


async def test_a_drain_that_cannot_be_is_refused(new_pod: NewPod) -> None:
    """An unknown pod is 404, and one that does not answer is 504. Each has its line in the log."""
    one, two = await new_pod(), await new_pod()
    with capture_logs() as logged:
        status, problem = await call(one, "POST", "/v1/pods/nothing/drain")
        assert (status, problem["code"]) == (404, "not_found")
        assert (await call(one, "POST", f"/v1/pods/{id_of(one)}/drain"))[0] == 202
        two.running._pod.control.close()
        status, problem = await call(one, "POST", f"/v1/pods/{id_of(two)}/drain")
        assert (status, problem["code"]) == (504, "outcome_unknown")
    lines = [line for line in logged if line["event"] == "audit"]
    assert [(line["action"], line["pod"], line["result"], line.get("begun")) for line in lines] == [
        ("drain", "nothing", "not_found", None),
        ("drain", id_of(one), "ok", True),
        ("drain", id_of(two), "outcome_unknown", None),
    ]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_a_pod_that_drains(how: signal.Signals) -> None:
    """SIGTERM waits for the end of the drain, and SIGINT does not; the client is closed with 1001."""
    # One that is waited for is short. The other one is longer than pytest would wait.
    window = "2" if how is signal.SIGTERM else "600"
    async with serving(FORESTAY_DRAIN_WINDOW=window, FORESTAY_CLOSE_TIMEOUT="0.1") as served:
        client = await served.pod.connect()
        pod = await only_pod(served.pod)
        assert (await call(served.pod, "POST", f"/v1/pods/{pod}/drain"))[0] == 202
        await client.hear("reconnect")
        ending = asyncio.create_task(served.end(how))
        assert (await client.ended()).code == 1001
        assert await ending == 0
        assert served.log.count('"draining"') == 1


async def test_a_pod_that_was_drained_ends_at_once() -> None:
    """SIGTERM has nothing to wait for."""
    async with serving(FORESTAY_DRAIN_WINDOW="0", FORESTAY_CLOSE_TIMEOUT="0.1") as served:
        pod = await only_pod(served.pod)
        assert (await call(served.pod, "POST", f"/v1/pods/{pod}/drain"))[0] == 202
        while (await call(served.pod, "GET", "/v1/info"))[1]["connections"]:
            await asyncio.sleep(0.01)
        assert await served.end() == 0
        assert served.log.count('"drained"') == 1
