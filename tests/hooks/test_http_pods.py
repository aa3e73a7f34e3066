"""Pods that ask the application over HTTP: what clients get, and that no client waits for the hook of another one."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from forestay.pod.inputs import prepare
from forestay.pod.tasks import Supervisor
from forestay.settings import settings
from tests.support.gateway import SECRET as TOKEN_SECRET
from tests.support.gateway import Client, Gateway, gateway, token
from tests.support.hook_receiver import (
    Application,
    Question,
    always,
    application,
    hang,
    http,
    say,
)
from tests.support.webhook_receiver import SECRET

ROOMS = """
[[rooms]]
pattern = "asked.**"
hooks = ["join", "broadcast", "leave"]

[[rooms]]
pattern = "plain.**"
"""
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@asynccontextmanager
async def asking(app: Application, folder: Path, **given: Any) -> AsyncIterator[Gateway]:
    """A pod that asks `app`. About connections only where `given` says so."""
    rooms = folder / "rooms.toml"
    rooms.write_text(ROOMS)
    values = {"hooks_url": app.url, "hooks_secret": SECRET, "rooms_file": str(rooms), "hooks_ask": "call"}
    async with gateway(**values | given) as pod:
        yield pod


async def metric(pod: Gateway, name: str) -> float:
    """The value of one line of the metrics."""
    async with aiohttp.request("GET", f"{pod.internal}/metrics") as response:
        text = await response.text()
    [value] = re.findall(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(value)


def publish(room: str, payload: object, id: str | None = None, **more: object) -> dict[str, object]:
    return {"type": "broadcast", "room": room, "payload": payload} | ({} if id is None else {"id": id}) | more


async def test_the_application_decides_about_everything(tmp_path: Path) -> None:
    """It puts a client into a room, refuses a join, replaces a payload, answers a call, and hears of the end."""

    async def answer(question: Question) -> bytes:
        match question.type:
            case "connect":
                return say({"allow": True, "rooms": ["plain.lobby"]})
            case "join" if question.data["room"] == "asked.closed":
                return say({"allow": False, "code": "closed", "message": "Come tomorrow."})
            case "broadcast":
                return say({"payload": {"said": question.data["payload"]}})
            case "call":
                return say({"result": sum(question.data["payload"])})
            case _:
                return http(204)

    async with application(answer) as app, asking(app, tmp_path, hooks_ask="connect call disconnect") as pod:
        alice = await pod.connect("alice")
        assert (await alice.hear("joined"))["room"] == "plain.lobby"
        refused = await alice.ask({"type": "join", "room": "asked.closed", "id": "1"})
        assert refused["payload"] | {"type": refused["type"], "id": refused["id"]} == {
            "type": "error",
            "id": "1",
            "code": "refused_by_application",
            "reason": "closed",
            "message": "Come tomorrow.",
        }
        await alice.say({"type": "join", "room": "asked.open"})
        await alice.hear("joined")
        await alice.say(publish("asked.open", "hi", traceparent=TRACEPARENT))
        assert (await alice.hear("broadcast"))["payload"] == {"said": "hi"}
        assert (await alice.ask({"type": "call", "id": "2", "method": "add", "payload": [1, 2]}))["payload"] == 3
        await alice.close()
        await app.until(lambda: {"leave", "disconnect"} <= set(app.types))
        assert app.unsigned == []
        [broadcast] = [question for question in app.questions if question.type == "broadcast"]
        assert broadcast.headers["traceparent"] == TRACEPARENT
        assert {question.data["user"] for question in app.questions} == {"alice"}
        assert {question.data["claims"]["sub"] for question in app.questions} == {"alice"}


async def test_a_refused_connect_is_403(tmp_path: Path) -> None:
    """With the application's code and sentence. Where it does not answer, it is 503."""
    refusal = say({"allow": False, "code": "banned", "message": "You are banned."})
    async with application(always(refusal)) as app, asking(app, tmp_path, hooks_ask="connect") as pod:
        client = await Client.open_or_refused(pod.port, token("mallory"))
        assert (client.status, b'"banned"' in client.body, b"You are banned." in client.body) == (403, True, True)
        app.answer = always(http(500))
        assert (await Client.open_or_refused(pod.port, token("alice"))).status == 503


async def test_the_65th_question_at_once_is_refused_and_none_waits(tmp_path: Path) -> None:
    """64 are asked; one more is `unavailable` at once, while they hang. It is not asked later either."""
    released = asyncio.Event()

    async def wait(question: Question) -> bytes:
        await released.wait()
        return http(204)

    async with application() as app, asking(app, tmp_path, hooks_timeout=30) as pod:
        clients = [await pod.join(f"user{number}", "asked.a") for number in range(65)]
        app.answer, app.questions[:] = wait, []
        for client in clients[:64]:
            await client.say(publish("asked.a", 1, "1"))
        await app.until(lambda: len(app.questions) == 64)
        refused = await clients[64].ask(publish("asked.a", 1, "1"))
        assert (refused["type"], refused["payload"]["code"]) == ("error", "unavailable")
        assert await metric(pod, 'forestay_hooks_total{hook="broadcast",outcome="busy"}') == 1
        released.set()
        assert [(await clients[64].hear("broadcast"))["payload"] for _ in range(64)] == [1] * 64
        await clients[64].say(publish("asked.a", 2))
        assert (await clients[64].hear("broadcast"))["payload"] == 2
        broadcasts = [question for question in app.questions if question.type == "broadcast"]
        assert [question.data["payload"] for question in broadcasts] == [1] * 64 + [2]


async def test_a_hook_that_hangs_holds_up_its_own_connection_only(tmp_path: Path) -> None:
    """Others publish in the same room, join and call, while one waits. Its own messages keep their order."""

    async def answer(question: Question) -> bytes:
        if question.data["user"] == "alice" and question.type == "broadcast":
            await released.wait()
        return say({"result": "pong"}) if question.type == "call" else http(204)

    released = asyncio.Event()
    async with application(answer) as app, asking(app, tmp_path, hooks_timeout=30) as pod:
        alice, bob = await pod.join("alice", "asked.a"), await pod.join("bob", "asked.a")
        await bob.say({"type": "join", "room": "plain.a"})
        await bob.hear("joined")
        await alice.say(publish("asked.a", "held"), publish("asked.a", "after"))
        await app.until(lambda: "broadcast" in app.types)
        for number in range(50):
            await bob.say(publish("plain.a", number), publish("asked.a", number))
        heard = [await bob.hear("broadcast") for _ in range(100)]
        for room in ("plain.a", "asked.a"):
            assert [message["payload"] for message in heard if message["room"] == room] == list(range(50))
        assert (await bob.ask({"type": "call", "id": "1", "method": "ping"}))["payload"] == "pong"
        carol = await pod.join("carol", "asked.a")
        assert [(await alice.hear("broadcast"))["payload"] for _ in range(50)] == list(range(50))
        released.set()
        for client in (alice, bob, carol):
            assert [(await client.hear("broadcast"))["payload"] for _ in range(2)] == ["held", "after"]


@pytest.mark.parametrize("on_failure", ["refuse", "allow"])
async def test_a_failure_refuses_or_allows(tmp_path: Path, on_failure: str) -> None:
    """As the setting says; a call is refused in any case. The log has one line with the cause."""
    async with application() as app, asking(app, tmp_path, hooks_on_failure=on_failure, hooks_timeout=2) as pod:
        alice = await pod.join("alice", "asked.a")
        for broken in (always(http(500)), always(say({"permit": True})), always(b""), hang):
            app.answer = broken
            heard = await alice.ask(publish("asked.a", 1, "1"))
            if on_failure == "allow":
                assert {heard["type"], (await alice.hear())["type"]} == {"ack", "broadcast"}
            else:
                assert (heard["type"], heard["payload"]["code"]) == ("error", "unavailable")
        refused = await alice.ask({"type": "call", "id": "2", "method": "m"})
        assert refused["payload"]["code"] == "unavailable"
        for outcome in ("status", "bad_answer", "unreachable", "timeout"):
            assert await metric(pod, f'forestay_hooks_total{{hook="broadcast",outcome="{outcome}"}}') == 1


async def test_the_circuit_breaker_is_a_metric(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It opens after failures in a row, and closes when the application answers again."""
    async with application() as app, asking(app, tmp_path) as pod:
        alice = await pod.join("alice", "asked.a")
        app.answer = always(http(503))
        for _ in range(5):
            await alice.ask(publish("asked.a", 1, "1"))
        assert await metric(pod, 'forestay_hook_circuit_open{hook="broadcast"}') == 1
        assert await metric(pod, 'forestay_hook_circuit_open{hook="join"}') == 0
        # A machine that stands still for the rest of the breaker makes the next question a trial, which fails too.
        while not await metric(pod, 'forestay_hooks_total{hook="broadcast",outcome="circuit_open"}'):
            await alice.ask(publish("asked.a", 1, "1"))
        app.answer = always(http(204))
        async with asyncio.timeout(20):
            while (await alice.ask(publish("asked.a", 1)))["type"] != "broadcast":
                await asyncio.sleep(0.1)
        assert await metric(pod, 'forestay_hook_circuit_open{hook="broadcast"}') == 0
    log = "".join(capsys.readouterr())
    assert "hook not asked for a while, because it failed again and again" in log
    assert "status 503 instead of 200 or 204" in log
    assert "the application answers hooks again" in log
    assert SECRET not in log


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"hooks_url": "https://app.example"}, ["FORESTAY_HOOKS_URL", "FORESTAY_HOOKS_SECRET"]),
        ({"hooks_secret": SECRET}, ["FORESTAY_HOOKS_SECRET", "FORESTAY_HOOKS_URL"]),
        ({"hooks_url": "app.example/s3cret", "hooks_secret": SECRET}, ["FORESTAY_HOOKS_URL", "http or https"]),
        ({"hooks_url": "https://app.example", "hooks_secret": "short"}, ["FORESTAY_HOOKS_SECRET", "openssl rand"]),
        (
            {"hooks_url": "https://app.example", "hooks_secret": SECRET, "hooks_ca": "/nowhere.crt"},
            ["FORESTAY_HOOKS_CA", "cannot read"],
        ),
    ],
)
def test_wrong_settings_end_the_start(given: dict[str, object], words: list[str]) -> None:
    """With the name of the setting and what to do, and without the secret."""
    with pytest.raises(settings.SettingsError) as error:
        prepare(settings.load({"FORESTAY_JWT_SECRET": TOKEN_SECRET}, **given), Supervisor(lambda low, _high: low))
    text = str(error.value)
    assert [word for word in words if word not in text] == []
    assert "s3cret" not in text
    assert SECRET not in text
