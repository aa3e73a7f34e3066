"""Operators see what waits for the receiver of webhooks, and read, replay and delete dead letters."""

import asyncio
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from tests.support.gateway import Gateway, call, gateway
from tests.support.local_redis import RedisServer
from tests.support.webhook_receiver import Receiver, ok, receiver, settings_for, status


@pytest.fixture
async def told() -> AsyncIterator[Receiver]:
    async with receiver() as found:
        yield found


@pytest.fixture(params=["memory", "redis"])
async def pod(request: pytest.FixtureRequest, told: Receiver, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A pod whose receiver refuses everything, once."""
    given = settings_for(told, tmp_path, webhooks_attempts=1)
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis")
        given["bus_url"] = f"{server.url}?prefix=t{token_hex(6)}"
    told.answer = status(500)
    async with gateway(**given) as running:
        yield running


async def say(pod: Gateway, *payloads: object) -> None:
    for payload in payloads:
        body = json.dumps({"payload": payload}).encode()
        assert (await call(pod, "POST", "/v1/rooms/told.a/messages", body))[0] == 200


async def letters(pod: Gateway, number: int, query: str = "") -> list[Any]:
    """The dead letters, once there are so many."""
    async with asyncio.timeout(30):
        while True:
            code, body = await call(pod, "GET", f"/v1/webhooks/dead{query}")
            assert code == 200
            found: Any = body["dead"]
            if len(found) == number:
                return list(found)
            await asyncio.sleep(0.05)


async def test_dead_letters_are_listed_with_their_reason(pod: Gateway) -> None:
    """The event is what the receiver would get. A page leads to the next one."""
    for payload in range(3):
        await say(pod, payload)
    found = await letters(pod, 3)
    assert sorted(one["event"]["data"]["payload"] for one in found) == [0, 1, 2]
    assert [(one["reason"], one["attempts"]) for one in found] == [("status 500", 1)] * 3
    code, page = await call(pod, "GET", "/v1/webhooks/dead?limit=2")
    rest = await call(pod, "GET", f"/v1/webhooks/dead?limit=2&after={page['next']}")
    assert (code, rest) == (200, (200, {"dead": found[2:]}))


async def test_a_replay_is_delivered(pod: Gateway, told: Receiver) -> None:
    """One letter, then all others; with the ids that the events had."""
    for payload in range(4):
        await say(pod, payload)
    found = await letters(pod, 4)
    told.answer = ok
    assert await call(pod, "POST", f"/v1/webhooks/dead/{found[1]['id']}/replay") == (200, {"replayed": 1})
    await told.until(lambda: told.ids == [found[1]["event"]["id"]])
    assert (await call(pod, "POST", f"/v1/webhooks/dead/{found[1]['id']}/replay"))[0] == 404
    assert await call(pod, "DELETE", f"/v1/webhooks/dead/{found[0]['id']}") == (200, {"deleted": 1})
    assert (await call(pod, "DELETE", f"/v1/webhooks/dead/{found[0]['id']}"))[0] == 404
    assert await call(pod, "POST", "/v1/webhooks/dead/replay") == (200, {"replayed": 2, "more": False})
    await told.until(lambda: set(told.ids) == {one["event"]["id"] for one in found[1:]})
    assert await letters(pod, 0) == []


async def test_after_a_410_a_resume_goes_on(pod: Gateway, told: Receiver) -> None:
    """What waited is delivered then, and the state says where things are."""
    told.answer = status(410)
    await say(pod, 1)
    await letters(pod, 1)
    async with asyncio.timeout(30):
        while not (await call(pod, "GET", "/v1/webhooks"))[1]["stopped"]:
            await asyncio.sleep(0.05)
    await say(pod, 2)
    told.answer = ok
    assert await call(pod, "POST", "/v1/webhooks/resume") == (200, {})
    async with asyncio.timeout(30):
        while (await call(pod, "GET", "/v1/webhooks"))[1] != {"waiting": 0, "lag": 0.0, "dead": 1, "stopped": False}:
            await asyncio.sleep(0.05)
    await say(pod, 3)
    await told.until(lambda: [data["payload"] for data in told.of("message")] == [3])


@pytest.mark.parametrize("id", ["x", "0.1", "0.1-0-0", "9999.1-0", "0.99999999999999999999-0", "%2F"])
async def test_what_is_no_id_is_refused(pod: Gateway, id: str) -> None:
    """With 400, wherever it stands."""
    for method, path in (("POST", f"dead/{id}/replay"), ("DELETE", f"dead/{id}"), ("GET", f"dead?after={id}")):
        assert (await call(pod, method, f"/v1/webhooks/{path}"))[0] == 400


@pytest.mark.parametrize(
    ("scopes", "reads", "manages"),
    [
        ('{ read = ["**", "@me"] }', 200, 403),
        ('{ manage = ["**", "@me"] }', 403, 200),
        ('{ read = ["**"], manage = ["**"], publish = ["@me"] }', 403, 403),
        ('{ read = ["chat.**", "@me"] }', 403, 403),
    ],
)
async def test_a_key_needs_all_rooms_and_all_users(tmp_path: Path, scopes: str, reads: int, manages: int) -> None:
    """For dead letters have messages of each."""
    key = "a key of the file"
    (tmp_path / "keys.toml").write_text(
        f'[[keys]]\nname = "one"\nsha256 = "{sha256(key.encode()).hexdigest()}"\nscopes = {scopes}\n'
    )
    headers = {"Authorization": f"Bearer {key}"}
    async with gateway(api_keys_file=str(tmp_path / "keys.toml")) as running:
        for path in ("", "/dead"):
            assert (await call(running, "GET", f"/v1/webhooks{path}", headers=headers))[0] == reads
        for path in ("resume", "dead/replay"):
            assert (await call(running, "POST", f"/v1/webhooks/{path}", headers=headers))[0] == manages
