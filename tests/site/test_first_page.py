"""From a fresh clone to a page of one's own that talks, with the README and nothing else."""

import asyncio
import os
import re
import resource
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Page, expect

from tests.support.browser import launched
from tests.support.local_redis import free_port
from tests.support.node import environment
from tests.support.repository import ROOT, blocks

COMMANDS: Final = 12
# In seconds, on a machine of two cores whose package registries are near.
GOAL: Final = 300.0
# The same for one command, on a machine that is busy.
PATIENCE: Final = 2 * GOAL


def printed(language: str) -> list[str]:
    """The code blocks of the section in `language`."""
    return blocks("README.md", language, "A page of your own")


def test_a_page_of_ones_own_takes_a_dozen_commands() -> None:
    """The README needs at most 12 commands from a fresh clone to a page that talks."""
    commands = [
        command for block in printed("sh") for line in block.splitlines() for command in re.split(r"&&|\$\(", line)
    ]
    assert 5 < len(commands) <= COMMANDS, commands


@pytest.mark.slow
@pytest.mark.timeout(1500)
async def test_from_a_fresh_clone_to_a_page_that_talks(chromium: str, tmp_path: Path) -> None:
    """The README's commands, as printed but for the ports, end with a page of Vite on which two people hear each other.

    It takes less than five minutes: of CPU, where others share the machine.
    """
    began = time.monotonic()
    cpu_before = cpu_seconds()
    clean = {name: value for name, value in environment().items() if not re.match("FORESTAY_|PYTHON|VIRTUAL_ENV", name)}
    environ = {**clean, "XDG_STATE_HOME": str(tmp_path / "state"), "CI": ""}
    gateway_port, internal_port, page_port = (free_port() for _ in range(3))
    clone_and_run, make_folder, serve = printed("sh")
    clone, run = clone_and_run.splitlines()
    [html] = printed("html")

    def shell(command: str, folder: Path) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=folder,
            env=environ,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    tree = Path((await asyncio.to_thread(shell, f"{clone.replace('ADDRESS', str(ROOT))}; pwd", tmp_path)).strip())
    own = f'{run} ARGS="--port {gateway_port} --internal-port {internal_port}"'
    async with going(own, tree, environ, gateway_port):
        folder = Path((await asyncio.to_thread(shell, f"{make_folder}pwd", tree)).splitlines()[-1])
        (folder / "index.html").write_text(html.replace("127.0.0.1:8080", f"127.0.0.1:{gateway_port}"), "utf-8")
        link, vite = serve.splitlines()
        link = link.replace(":5173", f":{page_port}")
        assert "alice" in link
        addresses = [
            (await asyncio.to_thread(shell, link.replace("alice", user), folder)).strip() for user in ("alice", "bob")
        ]
        async with (
            going(f"{vite} --port {page_port} --strictPort", folder, environ, page_port),
            launched(chromium) as browser,
        ):
            alice, bob = [await (await browser.new_context()).new_page() for _ in addresses]
            for page, address in zip((alice, bob), addresses, strict=True):
                await page.goto(address)
            await say(alice, "hello")
            await expect(alice.locator("pre")).to_contain_text("alice: hello", timeout=20_000)
            await say(bob, "and hello to you")
            for page in (alice, bob):
                await expect(page.locator("pre")).to_contain_text("bob: and hello to you", timeout=20_000)
    assert min(time.monotonic() - began, cpu_seconds() - cpu_before) < GOAL


def cpu_seconds() -> float:
    """What the processes that were started and have ended took of all cores."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def say(page: Page, text: str) -> None:
    await page.get_by_label("Message").fill(text)
    await page.get_by_role("button", name="Send").click()


@asynccontextmanager
async def going(command: str, folder: Path, environ: dict[str, str], port: int) -> AsyncIterator[None]:
    """Runs a command that goes on until Ctrl+C, from the time when it listens at `port`."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", command), cwd=folder, env=environ, start_new_session=True
    )
    ended = asyncio.create_task(process.wait())
    listening = asyncio.create_task(listens(port))
    try:
        await asyncio.wait({ended, listening}, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE)
        assert listening.done(), f"{command} does not listen at {port}"
        yield
    finally:
        listening.cancel()
        if not ended.done():
            os.killpg(process.pid, signal.SIGINT)
            await ended


async def listens(port: int) -> None:
    """Returns when something accepts connections at `port`, of IPv4 or of IPv6."""
    while True:
        try:
            _, writer = await asyncio.open_connection("localhost", port)
        except OSError:
            await asyncio.sleep(0.2)
        else:
            writer.close()
            return
