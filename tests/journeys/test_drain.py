"""The drain of a real process with thousands of real sockets."""

import asyncio
import json
import resource
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.gateway import JSON, PATIENCE, Client, Closed, call, frame, probe, token, upgrade
from tests.support.local_redis import RedisServer
from tests.support.process import KEYS, Process, serving, start
from tests.support.stopwatch import stopwatch

TEXT, CLOSE = 1, 8


class Crowd:
    """Many clients that answer a close, or do not, and record when it came and what they received."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.closes: list[tuple[float, int, str]] = []
        self.reconnects: list[dict[str, int]] = []
        self.heard: Counter[str] = Counter()
        self._tasks: list[asyncio.Task[None]] = []

    async def come(self, port: int, number: int, *, polite: bool = True) -> None:
        for first in range(0, number, 200):
            names = range(first, min(first + 200, number))
            some = await asyncio.gather(*(Client.open(port, token(f"user-{name}")) for name in names))
            self.clients += some
            self._tasks += [asyncio.create_task(self._live(client, polite=polite)) for client in some]
        async with asyncio.timeout(PATIENCE):
            while self.heard["welcome"] < number:
                await asyncio.sleep(0.01)

    async def _live(self, client: Client, *, polite: bool) -> None:
        try:
            while True:
                try:
                    opcode, data = await client.read()
                except TimeoutError:
                    continue
                if opcode != TEXT:
                    continue
                message = json.loads(data)
                self.heard[message["type"]] += 1
                if message["type"] == "reconnect":
                    self.reconnects.append(message["payload"])
        except Closed as closed:
            self.closes.append((time.monotonic(), closed.code, closed.reason))
            if polite:
                await client.send(frame(CLOSE, closed.code.to_bytes(2, "big")))
                await client.close()
        except (ConnectionError, asyncio.IncompleteReadError):
            self.closes.append((time.monotonic(), 1006, ""))

    async def over(self) -> None:
        async with asyncio.timeout(6 * PATIENCE):
            await asyncio.gather(*self._tasks)

    async def gone(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in self.clients:
            await client.close()


@asynccontextmanager
async def crowd() -> AsyncIterator[Crowd]:
    together = Crowd()
    try:
        yield together
    finally:
        await together.gone()


async def metric(served: Process, name: str) -> float:
    async with aiohttp.request("GET", f"http://127.0.0.1:{served.internal_port}/metrics") as response:
        text = await response.text()
    return next((float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + " ")), 0.0)


async def publish(served: Process, room: str, payload: object) -> int:
    """Publishes as a backend and returns the status."""
    url = f"http://127.0.0.1:{served.internal_port}/v1/rooms/{room}/messages"
    async with aiohttp.request("POST", url, headers=JSON, json={"payload": payload}) as response:
        return response.status


async def test_three_thousand_sockets_are_drained_at_a_pace() -> None:
    """All close with 1001, evenly over the window, and the probes answer until the end."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    environ = {"FORESTAY_DRAIN_WINDOW": "10", "FORESTAY_DRAIN_LEAD": "2"}
    async with serving(**environ) as served, crowd() as clients:
        await clients.come(served.port, 3000)
        start = time.monotonic()
        with stopwatch() as watch:
            served.process.send_signal(signal.SIGTERM)
            while (await probe(served.internal_port, "/readyz"))[0] == 200:
                pass
            # The promise is 0.1.
            assert watch.seconds < 1
        late = await Client.request(served.port, upgrade(token("late")))
        assert (late.status, "retry-after" in late.headers, late.headers["connection"]) == (503, True, "close")
        while not clients.closes:
            await asyncio.sleep(0.1)
        assert (await probe(served.internal_port, "/livez"))[0] == 200
        assert await metric(served, "forestay_drain_remaining") > 100
        await clients.over()
        assert await served.end() == 0
        assert Counter(code for _, code, _ in clients.closes) == {1001: 3000}
        assert {reason for _, _, reason in clients.closes} == {"draining: connect again"}
        assert clients.heard["reconnect"] == 3000
        # They begin a lead after the signal, and end with the window. Where the machine stood still, they come late and
        # at once, and never early.
        lateness = [at - start - (2 + number * 8 / 3000) for number, (at, _, _) in enumerate(clients.closes)]
        assert min(lateness) > -1
        assert max(lateness) < 5


async def test_clients_that_do_not_answer_the_close_are_cut_and_counted() -> None:
    """Silent clients are cut after the close timeout; all ends are counted by which side closed first."""
    async with serving(FORESTAY_DRAIN_WINDOW="4", FORESTAY_CLOSE_TIMEOUT="1") as served, crowd() as rude:
        await rude.come(served.port, 5, polite=False)
        mover = await served.pod.connect("mover")
        pods: Any = (await call(served.pod, "GET", "/v1/info"))[1]["pods"]
        # A pod that a backend drains stays, and can be asked when all are gone.
        assert (await call(served.pod, "POST", f"/v1/pods/{pods[0]['pod']}/drain"))[0] == 202
        await mover.hear("reconnect")
        await mover.send(frame(CLOSE, (1000).to_bytes(2, "big")))
        await mover.close()
        while await metric(served, 'forestay_drain_closed_total{outcome="aborted"}') < 5:
            await asyncio.sleep(0.05)
        assert len(rude.closes) == 5
        assert await metric(served, 'forestay_drain_closed_total{outcome="client_closed"}') == 1
        assert await served.end() == 0


async def test_queued_messages_come_before_the_close() -> None:
    """Each client receives every message that was accepted before its close frame was written."""
    async with serving(FORESTAY_DRAIN_WINDOW="3", FORESTAY_MESSAGE_RATE="0") as served:
        clients = [await Client.open(served.port, token(f"user-{number}")) for number in range(20)]
        for client in clients:
            await client.hear("welcome")
            await client.ask({"type": "join", "room": "chat.a"})
        served.process.send_signal(signal.SIGTERM)
        accepted = 0

        async def hear(client: Client) -> tuple[list[int], int]:
            """The numbers that came, and how many were accepted when the client asked for the last time.

            What the gateway answers was asked before it wrote the close frame. So was everything accepted until then,
            however late this test reads it.
            """
            numbers, before = [], 0
            try:
                await client.say({"type": "ping", "id": str(accepted)})
                while True:
                    _, data = await client.read()
                    message = json.loads(data)
                    if message["type"] == "broadcast":
                        numbers.append(message["payload"])
                    elif message["type"] == "pong":
                        before = int(message["id"])
                        await client.say({"type": "ping", "id": str(accepted)})
            except ConnectionError:
                # The test was too late with its question: the gateway had closed, and waited for the answer in vain.
                assert (await client.ended()).code == 1001
            except Closed as closed:
                assert closed.code == 1001
            await client.close()
            return numbers, before

        readers = [asyncio.create_task(hear(client)) for client in clients]
        while not all(task.done() for task in readers):
            try:
                status = await publish(served, "chat.a", accepted + 1)
            except aiohttp.ClientConnectionError:
                # The last client is closed, so the process ends and closes the connection of this request.
                break
            if status != 200:
                break
            accepted += 1
        for numbers, before in await asyncio.gather(*readers):
            assert numbers == list(range(1, len(numbers) + 1))
            assert len(numbers) >= before
        assert accepted
        assert await served.end() == 0


async def test_nothing_of_a_drained_pod_stays_in_redis(redis: RedisServer, tmp_path: Path) -> None:
    """After the drain Redis has no lease, presence or subscription of the pod."""
    rooms = '[[rooms]]\npattern = "**"\npresence = true\n'
    prefix = f"t{time.monotonic_ns()}"
    environ = {"FORESTAY_BUS_URL": f"{redis.url}?prefix={prefix}", "FORESTAY_PRESENCE_GRACE": "0"}
    path = tmp_path / "rooms.toml"
    path.write_text(rooms)
    async with serving(**environ, FORESTAY_ROOMS_FILE=str(path), FORESTAY_DRAIN_WINDOW="1") as served:
        client = await Client.open(served.port, token("ada"))
        await client.hear("welcome")
        await client.ask({"type": "join", "room": "chat.a"})
        served.process.send_signal(signal.SIGTERM)
        assert (await client.ended()).code == 1001
        await client.close()
        assert await served.end() == 0
    assert redis.do("PUBSUB", "CHANNELS", f"*{prefix}*") == []
    assert redis.do("KEYS", f"*{prefix}*") == []


async def test_a_redis_that_does_not_answer_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """With a frozen Redis all clients are closed on time, and the process ends within the budget."""
    redis = RedisServer(tmp_path / "redis")
    redis.start()
    budget = {"FORESTAY_DRAIN_WINDOW": "2", "FORESTAY_CLOSE_TIMEOUT": "2", "FORESTAY_FLUSH_TIMEOUT": "3"}
    try:
        async with serving(FORESTAY_BUS_URL=redis.url, **budget) as served, crowd() as clients:
            await clients.come(served.port, 20, polite=False)
            redis.freeze()
            start = time.monotonic()
            assert await served.end() == 0
            took = time.monotonic() - start
            await clients.over()
            assert {code for _, code, _ in clients.closes} == {1001}
            # Three more seconds, because the machine is shared.
            assert took < 2 + 2 + 3 + 3
    finally:
        redis.thaw()
        redis.close()


async def test_a_signal_during_the_start_ends_it() -> None:
    """A signal during the start ends the process cleanly, without waiting for an unreachable bus."""
    environ = {"FORESTAY_BUS_URL": "redis://127.0.0.1:9", "FORESTAY_BUS_TIMEOUT": "50"}
    ports = ("--host", "127.0.0.1", "--port", "0", "--internal-port", "0")
    process = await start("serve", *ports, **KEYS | environ)
    try:
        assert process.stderr is not None
        assert b"bus" in await asyncio.wait_for(process.stderr.readline(), 3 * PATIENCE)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
        assert b"Traceback" not in await process.stderr.read()
    finally:
        if process.returncode is None:
            process.kill()


async def test_sigint_does_not_pace() -> None:
    """SIGINT drains without a window, because a person waits at the terminal."""
    async with serving(FORESTAY_DRAIN_WINDOW="50") as served, crowd() as clients:
        await clients.come(served.port, 20)
        start = time.monotonic()
        assert await served.end(signal.SIGINT) == 0
        assert time.monotonic() - start < 20
        await clients.over()
        assert {code for _, code, _ in clients.closes} == {1001}
        assert {(one["after_ms"], one["within_ms"]) for one in clients.reconnects} == {(0, 0)}
