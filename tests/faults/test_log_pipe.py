"""Faults of what reads the log: a pipe that nobody empties, and one that is closed. Clients notice nothing."""

import asyncio
import json
import os
import subprocess
import threading
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.support.exposition import scrape
from tests.support.gateway import PATIENCE, Pod, close_clients
from tests.support.local_redis import free_port
from tests.support.process import FORESTAY, KEYS
from tests.support.repository import ROOT

FULL, OVERFLOWING = 500, 7_000
"""Lines that fill a pipe, and lines that also fill the queue before it. At debug level each refusal is a line."""


@asynccontextmanager
async def logging_to(descriptor: int | None) -> AsyncIterator[tuple[Pod, Process]]:
    """A gateway process whose standard error is `descriptor`, or is closed."""
    pod = Pod(free_port(), free_port())
    ports = ["--host", "127.0.0.1", "--port", str(pod.port), "--internal-port", str(pod.internal_port)]
    more = {
        "FORESTAY_LOG_LEVEL": "DEBUG",
        "FORESTAY_MESSAGE_RATE": "0",
        "FORESTAY_DRAIN_WINDOW": "0",
        "FORESTAY_CLOSE_TIMEOUT": "0.2",
    }
    command = [*FORESTAY.command, "serve", *ports]
    if descriptor is None:
        command = ["sh", "-c", 'exec "$@" 2>&-', "sh", *command]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=os.environ | KEYS | more, stdout=subprocess.DEVNULL, stderr=descriptor
    )
    try:
        async with asyncio.timeout(3 * PATIENCE):
            while not await _answers(pod):
                await asyncio.sleep(0.05)
        yield pod, process
    finally:
        await close_clients()
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _answers(pod: Pod) -> bool:
    try:
        return (await pod.probe("/readyz"))[0] == 200
    except aiohttp.ClientError:
        return False


async def _flooded(pod: Pod, lines: int) -> None:
    """Make the pod log, and see that clients hear each other meanwhile."""
    loud, alice, bob = await pod.connect("loud"), await pod.join("alice", "chat.a"), await pod.join("bob", "chat.a")
    for number in range(lines // 100):
        await loud.say(*["{"] * 100)
        for _ in range(100):
            await loud.hear("error")
        await alice.say({"type": "broadcast", "room": "chat.a", "payload": number})
        assert (await bob.hear())["payload"] == number


class Reader(threading.Thread):
    """Reads log lines from a pipe until its other end is closed."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._pipe = os.fdopen(descriptor, encoding="utf-8")
        self.lines: list[dict[str, object]] = []
        self.start()

    def run(self) -> None:
        with self._pipe:
            self.lines.extend(json.loads(line) for line in self._pipe)

    def events(self) -> list[object]:
        return [line["event"] for line in self.lines]


async def _dropped(pod: Pod) -> float:
    return (await scrape(pod.internal_port))["forestay_log_lines_dropped_total"]


async def test_a_log_pipe_that_nobody_empties_delays_no_message() -> None:
    """While the pipe is full, messages flow, and lines are dropped and counted. Once it is read, the log says so."""
    reading, writing = os.pipe()
    async with logging_to(writing) as (pod, process):
        os.close(writing)
        await _flooded(pod, OVERFLOWING)
        assert await _dropped(pod) > 0
        reader = Reader(reading)
        loud = await pod.connect("loud")
        async with asyncio.timeout(PATIENCE):
            while "log lines dropped" not in reader.events():
                await loud.ask("{")
        dropped = await _dropped(pod)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
    reader.join()
    assert sum(int(str(line["count"])) for line in reader.lines if line["event"] == "log lines dropped") == dropped
    assert reader.events()[-1] == "stopped"


@pytest.mark.parametrize("how", ["closed by its reader", "closed from the start"])
async def test_a_log_that_cannot_be_written_disturbs_nothing(how: str) -> None:
    """Without standard error, or with one that its reader has closed, messages flow and the exit is an ordinary one."""
    reading, writing = os.pipe()
    async with logging_to(writing if how == "closed by its reader" else None) as (pod, process):
        os.close(writing)
        os.close(reading)
        await _flooded(pod, FULL)
        assert (await _dropped(pod) > 0) == (how == "closed by its reader")
        process.terminate()
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


async def test_the_exit_does_not_wait_for_a_full_pipe() -> None:
    """A process whose log nobody reads ends within its drain, with status 0."""
    reading, writing = os.pipe()
    async with logging_to(writing) as (pod, process):
        os.close(writing)
        await _flooded(pod, FULL)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
    os.close(reading)
