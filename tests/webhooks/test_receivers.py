"""Receivers that are late, gone, down, or that answer with anything else than 200."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.support.gateway import PATIENCE, Gateway, call, gateway
from tests.support.local_redis import Authority, RedisServer
from tests.support.webhook_receiver import Answer, Receiver, ok, receiver, settings_for, status

OTHER = "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="


@pytest.fixture
async def told() -> AsyncIterator[Receiver]:
    async with receiver() as found:
        yield found


@asynccontextmanager
async def telling(told: Receiver, folder: Path, **given: Any) -> AsyncIterator[Gateway]:
    """A pod on the memory bus that tells `told`."""
    async with gateway(**settings_for(told, folder, **given)) as running:
        yield running


async def say(pod: Gateway, *payloads: object) -> None:
    """Publish these payloads in a room whose messages are told."""
    for payload in payloads:
        body = json.dumps({"payload": payload}).encode()
        assert (await call(pod, "POST", "/v1/rooms/told.a/messages", body))[0] == 200


def payloads(told: Receiver) -> list[int]:
    return [data["payload"] for data in told.of("message")]


async def metric(pod: Gateway, name: str) -> float:
    """The value of one line of the metrics."""
    async with aiohttp.request("GET", f"{pod.internal}/metrics") as response:
        text = await response.text()
    [value] = re.findall(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(value)


async def reaches(pod: Gateway, name: str, value: float) -> None:
    """Wait until a metric has this value."""
    async with asyncio.timeout(PATIENCE):
        while await metric(pod, name) != value:
            await asyncio.sleep(0.05)


async def test_an_answer_that_comes_too_late_repeats_the_events(told: Receiver, tmp_path: Path) -> None:
    """They come again, with the same ids, and count as delivered once."""
    over = asyncio.Event()

    async def late(request: web.Request) -> web.StreamResponse:
        told.answer = ok
        await over.wait()
        return web.Response()

    told.answer = late
    async with telling(told, tmp_path, webhooks_timeout=0.5) as pod:
        await say(pod, 1)
        await told.until(lambda: len(told.requests) >= 2)
        await reaches(pod, 'forestay_webhook_events_total{outcome="delivered"}', 1)
        over.set()
        # On a busy machine a good answer may be late as well.
        assert len({headers["webhook-id"] for headers, _ in told.requests}) == 1
        assert len({json.dumps(json.loads(body)["data"]) for _, body in told.requests}) == 1


@pytest.mark.parametrize("code", [301, 307, 308])
async def test_a_redirect_is_not_followed(told: Receiver, tmp_path: Path, code: int) -> None:
    """It counts as a failure, and nothing reaches the other address."""
    async with receiver() as elsewhere:
        told.answer = status(code, Location=elsewhere.url)
        async with telling(told, tmp_path, webhooks_attempts=2) as pod:
            await say(pod, 1)
            await reaches(pod, 'forestay_webhook_events_total{outcome="dead"}', 1)
            assert (len(told.requests), elsewhere.requests) == (2, [])


async def test_a_large_answer_is_not_read(told: Receiver, tmp_path: Path) -> None:
    """The receiver gets rid of a small part of 10 MB only, and its events count as delivered."""
    sent = 0

    async def large(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Length": str(10 * 2**20)})
        await response.prepare(request)
        told.events += json.loads(told.requests[-1][1])["data"]["events"]
        told.came.set()
        for _ in range(160):
            await response.write(bytes(65536))
            sent += 65536
        return response

    told.answer = large
    async with telling(told, tmp_path) as pod:
        await say(pod, 1)
        await reaches(pod, 'forestay_webhook_events_total{outcome="delivered"}', 1)
        await asyncio.sleep(0.3)
        assert sent < 8 * 2**20
        assert len(told.requests) == 1


async def test_half_a_body_after_200_counts_as_delivered(told: Receiver, tmp_path: Path) -> None:
    """Only the status counts: the rest is not waited for, and the next events come on another connection."""

    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"x" * 50)
        told.answer = ok
        await asyncio.sleep(5)
        return response

    told.answer = half
    async with telling(told, tmp_path) as pod:
        await say(pod, 1)
        await reaches(pod, 'forestay_webhook_events_total{outcome="delivered"}', 1)
        await say(pod, 2)
        await told.until(lambda: payloads(told) == [2])


async def test_a_broken_answer_is_a_failure(tmp_path: Path) -> None:
    """A connection that closes without a status, and one that is no HTTP: the event comes again."""
    answers = [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 20", b"HTTP/1.1 204 No Content\r\n\r\n"]
    asked: list[bytes] = []
    done = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answers[len(asked) - 1])
        await writer.drain()
        writer.close()
        if len(asked) == len(answers):
            done.set()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    told = Receiver(port=server.sockets[0].getsockname()[1])
    async with server, telling(told, tmp_path) as pod:
        await say(pod, 1)
        await asyncio.wait_for(done.wait(), 30)
        await reaches(pod, 'forestay_webhook_events_total{outcome="delivered"}', 1)
        assert await metric(pod, 'forestay_webhook_requests_total{result="unreachable"}') == 3


async def test_a_receiver_that_is_down_loses_none(tmp_path: Path) -> None:
    """Events that come while nothing listens are delivered when something does, in batches."""
    async with receiver() as before:
        port = before.port
    gone = Receiver(port=port)
    async with telling(gone, tmp_path) as pod:
        await say(pod, *range(30))
        await reaches(pod, "forestay_webhook_waiting", 30)
        assert await metric(pod, "forestay_webhook_lag_seconds") > 0
        async with receiver(port=port) as told:
            await told.until(lambda: len(payloads(told)) >= 30)
            assert sorted(payloads(told)) == list(range(30))
            assert len(told.requests) < 15
            await reaches(pod, "forestay_webhook_waiting", 0)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("bus", ["memory", "redis"])
async def test_a_receiver_that_is_down_for_a_minute_loses_none(
    bus: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Events come all the time, from before to after. Each is delivered, and none becomes a dead letter."""
    async with receiver() as before:
        port = before.port
    given: dict[str, object] = {"message_rate": 0}
    if bus == "redis":
        server: RedisServer = request.getfixturevalue("redis")
        given["bus_url"] = f"{server.url}?prefix=t{token_hex(6)}"
    said = 0
    async with telling(Receiver(port=port), tmp_path, **given) as pod:

        async def speak(seconds: float) -> None:
            nonlocal said
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                await say(pod, *range(said, said + 5))
                said += 5
                await asyncio.sleep(0.1)

        async with receiver(port=port) as told:
            await speak(2)
            await told.until(lambda: bool(told.events))
        await speak(60)
        assert await metric(pod, "forestay_webhook_lag_seconds") > 50
        async with receiver(port=port) as again:
            await speak(2)
            # A batch that failed six times waits for up to half a minute.
            await again.until(lambda: {*payloads(told), *payloads(again)} == set(range(said)), 90)
        await reaches(pod, "forestay_webhook_waiting", 0)
        assert await metric(pod, "forestay_webhook_dead_letters") == 0


async def test_410_ends_the_receiver_for_good(
    told: Receiver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No request follows, the log says so, and a metric shows it. The events of that request are dead letters."""
    told.answer = status(410)
    async with telling(told, tmp_path) as pod:
        await say(pod, 1)
        await reaches(pod, "forestay_webhook_stopped", 1)
        await reaches(pod, "forestay_webhook_dead_letters", 1)
        requests = len(told.requests)
        told.answer = ok
        await say(pod, 2, 3)
        await asyncio.sleep(1.2)
        assert (len(told.requests), told.events) == (requests, [])
        assert await metric(pod, 'forestay_webhook_requests_total{result="gone"}') == 1
    assert "webhooks are stopped, because the receiver answered 410" in "".join(capsys.readouterr())


async def test_an_event_that_the_receiver_refuses_takes_no_other_with_it(told: Receiver, tmp_path: Path) -> None:
    """Of many events in a batch the refused one alone becomes a dead letter."""
    all_said = asyncio.Event()

    async def picky(request: web.Request) -> web.StreamResponse:
        bad = any(event["data"].get("payload") == 13 for event in json.loads(told.requests[-1][1])["data"]["events"])
        # While the first requests are under way, the other events wait for the next ones.
        await all_said.wait()
        return web.Response(status=422 if bad else 200)

    told.answer = picky
    async with telling(told, tmp_path, webhooks_attempts=2, webhooks_timeout=PATIENCE) as pod:
        await say(pod, *range(40))
        all_said.set()
        await reaches(pod, 'forestay_webhook_events_total{outcome="dead"}', 1)
        await told.until(lambda: len(payloads(told)) == 39)
        assert sorted(payloads(told)) == [number for number in range(40) if number != 13]


@pytest.mark.parametrize("answer", [status(500), status(404), status(429, Retry_After="0")], ids=["500", "404", "429"])
async def test_an_event_is_sent_as_often_as_the_setting_says(told: Receiver, tmp_path: Path, answer: Answer) -> None:
    """Then it is a dead letter."""
    told.answer = answer
    async with telling(told, tmp_path, webhooks_attempts=3) as pod:
        await say(pod, 1)
        await reaches(pod, "forestay_webhook_dead_letters", 1)
        assert len(told.requests) == 3


async def test_retry_after_is_kept(told: Receiver, tmp_path: Path) -> None:
    """No request comes before the time that the receiver named."""
    asked: list[float] = []

    async def later(request: web.Request) -> web.StreamResponse:
        asked.append(time.monotonic())
        return await (ok if len(asked) > 1 else status(503, Retry_After="2"))(request)

    told.answer = later
    async with telling(told, tmp_path) as pod:
        await say(pod, 1)
        await told.until(lambda: len(asked) > 1)
        assert asked[1] - asked[0] >= 1.99


async def test_more_events_than_may_wait_drop_the_oldest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The newest stay; what is dropped is counted and logged."""
    async with receiver() as before:
        gone = Receiver(port=before.port)
    async with telling(gone, tmp_path, webhooks_backlog=10) as pod:
        await say(pod, *range(25))
        await reaches(pod, 'forestay_webhook_events_total{outcome="dropped"}', 15)
        assert await metric(pod, "forestay_webhook_waiting") == 10
        # A second line about those that were dropped later comes after ten seconds.
        log = ""
        async with asyncio.timeout(PATIENCE):
            while sum(map(int, re.findall(r"webhook events not delivered .*\bdropped=(\d+)", log))) < 15:
                log += "".join(capsys.readouterr())
                await asyncio.sleep(0.1)


async def test_a_single_event_is_a_body_of_its_own(told: Receiver, tmp_path: Path) -> None:
    """With batches of one the body is the event, and `webhook-id` is its id."""
    async with telling(told, tmp_path, webhooks_batch=1) as pod:
        await say(pod, 1, 2)
        await told.until(lambda: len(told.requests) == 2)
        bodies = [json.loads(body) for _, body in told.requests]
        assert {body["type"] for body in bodies} == {"message"}
        assert [body["id"] for body in bodies] == [headers["webhook-id"] for headers, _ in told.requests]


async def test_both_keys_sign_while_they_are_turned(told: Receiver, tmp_path: Path) -> None:
    """A receiver that knows the previous key only verifies the requests."""
    told.secret = OTHER
    async with telling(told, tmp_path, webhooks_secret_previous=OTHER) as pod:
        await say(pod, 1)
        await told.until(lambda: payloads(told) == [1])


@pytest.mark.parametrize("trusted", [True, False])
async def test_the_certificate_of_the_receiver_is_checked(tmp_path: Path, trusted: bool) -> None:  # noqa: FBT001 - a parameter of the case
    """A private authority must be named; without it the event waits."""
    authority = Authority(tmp_path)
    async with receiver(authority.tls()) as told:
        given = {"webhooks_ca": str(authority.ca)} if trusted else {}
        async with telling(told, tmp_path, **given) as pod:
            await say(pod, 1)
            if trusted:
                await told.until(lambda: payloads(told) == [1])
            else:
                async with asyncio.timeout(PATIENCE):
                    while not await metric(pod, 'forestay_webhook_requests_total{result="unreachable"}'):
                        await asyncio.sleep(0.05)
                assert told.requests == []


async def test_what_waits_at_the_end_of_the_last_pod_is_sent(told: Receiver, tmp_path: Path) -> None:
    """A room that becomes empty because the pod stops is told, also with the memory bus."""
    async with telling(told, tmp_path, presence_grace=5) as pod:
        await pod.join("ada", "told.a")
        await told.until(lambda: bool(told.of("room.occupied")))
    left = told.of("room.vacated", "user.offline")
    assert sorted(left, key=str) == [{"room": "told.a"}, {"user": "ada"}]
