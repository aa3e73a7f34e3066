"""Event streams over several pods, with a real browser and with clients that lose their connection."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import pytest
from playwright.async_api import Page

from tests.support.browser import launched
from tests.support.gateway import Gateway, call, gateway, token
from tests.support.local_redis import RedisServer
from tests.support.pumping import pump
from tests.support.streams import Stream, ask

ROOMS = """
[[rooms]]
pattern = "log.*"
history = { size = 1000, ttl = 60 }
"""
ALL = {"**": "rwph"}
BEARER = token("alice", rooms=ALL)

# What a page does: it keeps what each EventSource of it hears.
PAGE = """(path) => {
  window.heard = []; window.opened = 0;
  window.source = new EventSource(path);
  window.source.onopen = () => { window.opened += 1 };
  window.source.onmessage = (event) => window.heard.push(JSON.parse(event.data));
}"""


@asynccontextmanager
async def pods(redis: RedisServer, tmp_path: Path, **given: object) -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Two pods of one gateway."""
    rooms = tmp_path / "rooms.toml"
    rooms.write_text(ROOMS)
    values = {"bus_url": f"{redis.url}?prefix=t{secrets.token_hex(6)}", "rooms_file": str(rooms)} | given
    async with gateway(**values) as one, gateway(**values) as two:
        for pod in (one, two):
            await pod.running._pod.heartbeat.send()
        yield one, two


class Balancer:
    """Forwards each connection to the pod that it leads to now."""

    def __init__(self, pod: Gateway) -> None:
        self.pod = pod
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.pod.port)
        for source, target in ((reader, back), (there, writer)):
            task = asyncio.create_task(pump(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def publish(pod: Gateway, room: str, payload: int) -> None:
    status, _ = await call(pod, "POST", f"/v1/rooms/{room}/messages", b'{"payload": %d}' % payload)
    assert status == 200


async def heard(page: Page, number: int) -> list[object]:
    """The payloads of the broadcasts that the page has heard, once they are so many."""
    await page.wait_for_function(
        "(number) => window.heard.filter((one) => one.type === 'broadcast').length >= number",
        arg=number,
        timeout=20_000,
    )
    events = json.loads(await page.evaluate("JSON.stringify(window.heard)"))
    return [one["payload"] for one in events if one["type"] == "broadcast"]


async def test_an_event_source_follows_its_rooms_to_another_pod(
    redis: RedisServer, tmp_path: Path, chromium: str
) -> None:
    """A browser comes back by itself when its pod drains, on another pod, and misses and repeats nothing.

    Its URL has a ticket and no token. Where it must stop, it asks once more and then gives up.
    """
    async with (
        pods(redis, tmp_path, drain_window=0.2, drain_lead=0.2, reconnect_spread=0.2) as (one, two),
        Balancer(one) as balancer,
    ):
        _, answer = await ask(one, "POST", "/tickets", BEARER, b"")
        async with launched(chromium) as browser:
            page = await browser.new_page()
            await page.goto(f"http://127.0.0.1:{balancer.port}/nothing")
            await page.evaluate(PAGE, f"/stream?room=log.a&room=log.b&ticket={answer['ticket']}")
            await page.wait_for_function("window.heard.length >= 3")
            for number in range(3):
                await publish(one, "log.a", number)
            assert await heard(page, 3) == [0, 1, 2]
            balancer.pod = two
            stopping = asyncio.create_task(one.running.stop(asyncio.Event(), paced=True))
            for number in range(3, 6):
                await publish(two, "log.b", number)
            await stopping
            await publish(two, "log.a", 6)
            assert sorted(map(str, await heard(page, 7))) == [str(number) for number in range(7)]
            await page.wait_for_function("window.opened == 2")
            assert (await call(two, "DELETE", "/v1/users/alice/connections"))[1]["ended"] == 1
            await page.wait_for_function("window.source.readyState == EventSource.CLOSED")
            assert await page.evaluate("window.heard.at(-1).payload.code") == 4403
            assert await page.evaluate("window.opened") == 2


async def test_a_stream_that_breaks_again_and_again_loses_and_repeats_nothing(
    redis: RedisServer, tmp_path: Path
) -> None:
    """Its connection is reset in the middle of a flow of messages. Each time it resumes on the other pod."""
    async with pods(redis, tmp_path) as (one, two):
        numbers = range(120)

        async def flow() -> None:
            for number in numbers:
                await publish(one if number % 2 else two, f"log.{number % 3}", number)

        # Its id, from before the first message, is what the first of the connections below comes back with.
        stream = await Stream.open(one, BEARER, "log.0", "log.1", "log.2")
        while stream.last_id.count(".") < 1 or stream.last_id.endswith(","):
            await stream.hear()
        flowing = asyncio.create_task(flow())
        got: list[int] = []
        last_id = stream.last_id
        while len(got) < len(numbers):
            pod = (two, one)[len(got) // 15 % 2]
            stream = await Stream.open(pod, BEARER, "log.0", "log.1", "log.2", last_id=last_id)
            until = min(len(numbers), len(got) + 15)
            while len(got) < until:
                event = await stream.hear("welcome", "joined", "broadcast")
                if event["type"] == "broadcast":
                    got.append(event["payload"])
                assert event["type"] != "joined" or event["payload"]["recovered"]
                last_id = stream.last_id
            for connection in list(pod.running._pod.hub.of_user("alice")):
                connection.transport._transport.abort()  # type: ignore[attr-defined]
        await flowing
        for room in range(3):
            assert [number for number in got if number % 3 == room] == [*range(room, 120, 3)]


@pytest.mark.parametrize("tool", ["curl"])
async def test_curl_is_a_client(redis: RedisServer, tmp_path: Path, tool: str) -> None:
    """`curl -N` shows each event when it comes, and `curl -d` publishes."""
    async with pods(redis, tmp_path) as (one, two):
        bearer = f"Authorization: Bearer {BEARER}"
        listening = await asyncio.create_subprocess_exec(
            *(tool, "-sN", "-H", bearer, f"http://127.0.0.1:{one.port}/stream?room=log.a"),
            stdout=asyncio.subprocess.PIPE,
        )
        assert listening.stdout is not None
        lines = [await asyncio.wait_for(listening.stdout.readline(), 10) for _ in range(6)]
        assert lines[4].startswith(b'data: {"type":"joined"')
        speaking = await asyncio.create_subprocess_exec(
            *(tool, "-s", "-H", bearer, "-d", '{"payload": "hi"}', f"http://127.0.0.1:{two.port}/rooms/log.a/messages"),
            stdout=asyncio.subprocess.PIPE,
        )
        answer, _ = await asyncio.wait_for(speaking.communicate(), 10)
        assert json.loads(answer)["offset"] == 1
        lines = [await asyncio.wait_for(listening.stdout.readline(), 10) for _ in range(2)]
        assert b'"payload":"hi"' in lines[1]
        listening.kill()
        await listening.wait()
