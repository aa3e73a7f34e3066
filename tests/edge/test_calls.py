"""Calls of clients of a real gateway, whose application answers in a module of Python."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.support import call_hooks
from tests.support.call_hooks import Gate
from tests.support.gateway import Client, Gateway, frame, gateway, token

TEXT, CLOSE = 1, 8


@pytest.fixture
async def pod() -> AsyncIterator[Gateway]:
    """A gateway whose application takes calls."""
    async with gateway(hooks_module=call_hooks.MODULE, hooks_timeout=0.5) as running:
        yield running


async def called(client: Client, method: str, payload: object = None, id: str = "1") -> dict[str, Any]:
    """The answer to a call, without its time."""
    await client.say({"type": "call", "id": id, "method": method, "payload": payload})
    heard = await client.hear()
    assert heard.pop("timestamp")
    return heard


def refused(code: str, id: str = "1") -> dict[str, Any]:
    return {"type": "error", "id": id, "code": code}


def short(answer: dict[str, Any]) -> dict[str, Any]:
    return {"type": answer["type"], "id": answer["id"], "code": answer["payload"]["code"]}


@pytest.mark.parametrize("payload", [None, 0, "", "é\u2028", [], {"a": [1.5, None]}, {"_placeholder": True, "num": 0}])
async def test_any_json_goes_there_and_back(pod: Gateway, payload: object) -> None:
    """What the application gets is what the client wrote, and the other way round."""
    client = await pod.connect("alice")
    assert await called(client, "echo", payload) == {"type": "result", "id": "1", "payload": payload}


async def test_the_application_knows_who_asks(pod: Gateway) -> None:
    """The user of the token, and the connection."""
    client = await Client.open(pod.port, token("alice"))
    welcome = await client.hear("welcome")
    who = await called(client, "whoami")
    assert who["payload"] == {"user": "alice", "wire": "v1", "connection": welcome["payload"]["connection"]}


async def test_the_application_refuses_with_its_own_words(pod: Gateway) -> None:
    """Its code is the reason; it also says which methods there are."""
    client = await pod.connect("alice")
    answer = await called(client, "buy")
    assert answer["payload"] == {"code": "refused_by_application", "reason": "sold_out", "message": "none left"}
    answer = await called(client, "by")
    assert answer["payload"]["reason"] == "no_such_method"


@pytest.mark.parametrize("method", ["raise", "hang", "large", "garbage"])
async def test_a_hook_that_fails_is_unavailable(pod: Gateway, method: str) -> None:
    """The client hears it in time, learns nothing of the cause, and stays connected."""
    client = await pod.connect("alice")
    answer = await called(client, method)
    assert short(answer) == refused("unavailable")
    assert "may have begun" in answer["payload"]["message"]
    assert "retry_after_ms" not in answer["payload"]
    assert call_hooks.SECRET not in json.dumps(answer)
    assert (await called(client, "echo", 2, "2"))["payload"] == 2


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"type": "call", "id": "1"}, "bad_message"),
        ({"type": "call", "id": "1", "method": 7}, "bad_message"),
        ({"type": "call", "id": "1", "method": ""}, "bad_message"),
        ({"type": "call", "id": "1", "method": "x" * 129}, "bad_message"),
        ({"type": "call", "id": "1", "method": "a\u0000b"}, "bad_message"),
    ],
)
async def test_a_call_of_a_wrong_form_is_refused(pod: Gateway, said: dict[str, object], code: str) -> None:
    """With its id, and before the application hears of it."""
    client = await pod.connect("alice")
    assert short(await client.ask(said)) == refused(code)


async def test_a_call_holds_no_other_message_of_its_client(pod: Gateway) -> None:
    """While the application thinks, joins, messages and other calls of the same client are answered."""
    gate = Gate("others")
    client = await pod.connect("alice")
    await client.say({"type": "call", "id": "held", "method": "hold", "payload": "others"})
    await asyncio.wait_for(gate.asked.wait(), 5)
    await client.say({"type": "join", "room": "a", "id": "join"})
    assert (await client.hear())["id"] == "join"
    await client.say({"type": "history", "room": "a", "id": "history"})
    assert (await client.hear())["id"] == "history"
    assert (await called(client, "echo", 1, "quick"))["id"] == "quick"
    gate.opened.set()
    answer = await client.hear()
    assert (answer["id"], answer["payload"]) == ("held", "others is open")


async def test_the_trace_of_a_broken_context_is_dropped(pod: Gateway) -> None:
    """As in a broadcast: a library that writes one wrong loses no call."""
    client = await pod.connect("alice")
    said = {"type": "call", "id": "1", "method": "echo", "payload": 1, "traceparent": 7, "tracestate": {}}
    assert (await client.ask(said))["payload"] == 1


async def test_a_client_that_closes_during_a_call_gets_no_answer_and_harms_nothing(pod: Gateway) -> None:
    """The close does not wait for the application, and what it answers later is nobody's."""
    gate = Gate("close")
    client = await pod.connect("alice")
    await client.say({"type": "call", "id": "1", "method": "hold", "payload": "close"})
    await asyncio.wait_for(gate.asked.wait(), 5)
    await client.send(frame(CLOSE, (1000).to_bytes(2, "big")))
    assert (await client.ended()).code == 1000
    gate.opened.set()
    other = await pod.connect("alice")
    assert (await called(other, "echo", 1))["payload"] == 1


async def test_a_call_is_answered_during_a_drain() -> None:
    """The client is asked to move, the answer comes on the old connection, and then that is closed."""
    async with gateway(hooks_module=call_hooks.MODULE, hooks_timeout=20, drain_window=0.2, drain_lead=10) as pod:
        gate = Gate("drain")
        client = await pod.connect("alice")
        await client.say({"type": "call", "id": "1", "method": "hold", "payload": "drain"})
        await asyncio.wait_for(gate.asked.wait(), 5)
        stopping = asyncio.create_task(pod.running.stop(asyncio.Event(), paced=True))
        assert (await client.hear("reconnect"))["payload"]["reason"] == "draining"
        assert (await called(client, "echo", 2, "2"))["payload"] == 2
        gate.opened.set()
        answer = await client.hear()
        assert (answer["id"], answer["payload"]) == ("1", "drain is open")
        await client.send(frame(CLOSE, (1000).to_bytes(2, "big")))
        assert (await client.ended()).code == 1000
        await asyncio.wait_for(stopping, 15)


async def test_a_pod_that_stops_does_not_wait_for_the_application() -> None:
    """A call that is never answered holds up no stop: its client hears the close, and that is all."""
    async with gateway(hooks_module=call_hooks.MODULE, hooks_timeout=60, drain_window=0.1, drain_lead=0.1) as pod:
        client = await pod.connect("alice")
        await client.say({"type": "call", "id": "1", "method": "hang"})
        began = time.monotonic()
        stopping = asyncio.create_task(pod.running.stop(asyncio.Event(), paced=True))
        assert (await client.ended()).code == 1001
        await client.send(frame(CLOSE, (1001).to_bytes(2, "big")))
        await asyncio.wait_for(stopping, 20)
        assert time.monotonic() - began < 20


async def post(
    pod: Gateway, body: object, bearer: str | None = None, **headers: str
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, JSON and headers of a call over HTTP."""
    said = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Authorization": f"Bearer {bearer or token('alice')}"} | headers
    url = f"http://127.0.0.1:{pod.port}/calls"
    async with aiohttp.request("POST", url, data=said, headers=fields) as response:
        return response.status, await response.json(content_type=None), dict(response.headers)


async def test_a_call_over_http_is_answered_as_on_a_socket(pod: Gateway) -> None:
    """The body has the payload that the application answers; it knows the user, and that there is no connection."""
    assert (await post(pod, {"method": "echo", "payload": {"a": [1]}}))[:2] == (200, {"payload": {"a": [1]}})
    assert (await post(pod, {"method": "echo"}))[:2] == (200, {"payload": None})
    status, body, _ = await post(pod, {"method": "whoami"})
    assert (status, body) == (200, {"payload": {"user": "alice", "wire": "http", "connection": None}})


async def test_a_refusal_over_http_is_a_problem_document(pod: Gateway) -> None:
    """403 with the application's code as the reason, 503 where its hook fails, 400 for a wrong form, and 401."""
    status, body, _ = await post(pod, {"method": "buy"})
    assert (status, body["code"], body["reason"], body["detail"]) == (
        403,
        "refused_by_application",
        "sold_out",
        "none left",
    )
    status, body, headers = await post(pod, {"method": "raise"})
    assert (status, body["code"]) == (503, "unavailable")
    assert "Retry-After" not in headers
    assert call_hooks.SECRET not in json.dumps(body)
    wrongs: list[object] = [{}, {"method": 1}, {"method": ""}, [], b"not JSON"]
    for wrong in wrongs:
        assert (await post(pod, wrong))[0] == 400
    assert (await post(pod, {"method": "echo"}, bearer="rubbish"))[0] == 401


async def test_one_user_asks_about_few_calls_at_once_over_http(pod: Gateway) -> None:
    """So that a client without a connection cannot take all places of the application either."""
    async with gateway(hooks_module=call_hooks.MODULE, hooks_timeout=20) as patient:
        gate = Gate("http")
        held = [asyncio.create_task(post(patient, {"method": "hold", "payload": "http"})) for _ in range(8)]
        async with asyncio.timeout(10):
            while gate.count < 8:
                await asyncio.sleep(0.01)
        status, body, _ = await post(patient, {"method": "echo"})
        assert (status, body["code"]) == (503, "unavailable")
        assert "8 calls of this user" in body["detail"]
        assert (await post(patient, {"method": "echo"}, bearer=token("bob")))[0] == 200
        gate.opened.set()
        assert [status for status, _, _ in await asyncio.gather(*held)] == [200] * 8
        assert (await post(patient, {"method": "echo"}))[0] == 200


async def test_without_a_hook_for_calls_every_way_says_so() -> None:
    """A gateway whose application takes no calls has the code of one that does not know them."""
    async with gateway() as pod:
        client = await pod.connect("alice")
        assert short(await called(client, "echo")) == refused("unknown_type")
        status, body, _ = await post(pod, {"method": "echo"})
        assert (status, body["code"]) == (400, "unknown_type")
    async with gateway(hooks_module=call_hooks.MODULE, hooks_ask="connect") as pod:
        client = await pod.connect("alice")
        assert short(await called(client, "echo")) == refused("unknown_type")
