"""The tutorials work as printed: their pages in Chromium, their programs, and their cluster's values in the chart."""

import asyncio
import os
import re
import shlex
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jwt
import kubernetes_validate
import pytest
import pytest_asyncio
import yaml
from playwright.async_api import Browser, Page, expect

from examples.__main__ import listens
from forestay import cli
from helm.rendering import Object, render
from tests.support.browser import launched
from tests.support.local_redis import free_port
from tests.support.printed_pages import serving
from tests.support.repository import ROOT, blocks, lines

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(90)]

TUTORIALS: Final = "docs/tutorials"
SECRET: Final = "a secret for tests only, long enough for HS256"
API_KEY: Final = "an API key for tests only, long enough"
PATIENCE: Final = 20_000


def commands(tutorial: str) -> list[str]:
    """The commands that a reader types, each in one line."""
    typed = blocks(f"{TUTORIALS}/{tutorial}", "sh")
    return [line for block in typed for line in block.replace("\\\n", "").splitlines()]


@dataclass(frozen=True, slots=True)
class Gateway:
    port: int
    internal_port: int


@asynccontextmanager
async def gateway(port: int = 0) -> AsyncIterator[Gateway]:
    """A gateway as `make run` starts it, but for its ports and keys."""
    ports = Gateway(port or free_port(), free_port())
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FORESTAY_")}
    own = {"FORESTAY_JWT_SECRET": SECRET, "FORESTAY_API_KEY": API_KEY, "FORESTAY_PRESENCE_GRACE": "0.5"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "forestay", "serve", "--dev"),
        *("--port", str(ports.port), "--internal-port", str(ports.internal_port)),
        env=clean | own | {"FORESTAY_RECONNECT_SPREAD": "0.3"},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(30):
            await asyncio.gather(listens(ports.port), listens(ports.internal_port))
        yield ports
    finally:
        # As Ctrl+C.
        process.send_signal(signal.SIGINT)
        await process.wait()


def token(user: str, rooms: dict[str, str] | None = None) -> str:
    claims = {"sub": user, "exp": int(time.time()) + 3600} | ({"rooms": rooms} if rooms else {})
    return jwt.encode(claims, SECRET, "HS256")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running() -> AsyncIterator[Gateway]:
    """One gateway, as `make run` starts it."""
    async with gateway() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with launched(chromium) as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site() -> AsyncIterator[str]:
    async with serving() as address:
        yield address


Open = Callable[[str, Gateway, str], Awaitable[Page]]


@pytest.fixture(scope="module")
def opened(browser: Browser, site: str) -> Open:
    """Opens the page of a tutorial in a window of its own, at the address that the tutorial prints for a token."""

    async def opened(tutorial: str, running: Gateway, bearer: str) -> Page:
        page = await (await browser.new_context()).new_page()
        await page.goto(f"{site}/docs/tutorials/{tutorial}?gateway={running.port}#{bearer}")
        return page

    return opened


async def test_a_chat(opened: Open) -> None:
    """Two people see what each of them writes, and both pages come back to a gateway that was started again."""
    async with gateway() as first:
        port = first.port
        alice, bob = [await opened("chat.md", first, token(user)) for user in ("alice", "bob")]
        for page in (alice, bob):
            await expect(page.locator("#state")).to_have_text("connected", timeout=PATIENCE)
        await alice.get_by_label("Message").fill("hello")
        await alice.get_by_role("button", name="Send").click()
        await expect(alice.locator("#messages li")).to_have_text(["alice: hello"])
        await expect(bob.locator("#messages li")).to_have_text(["alice: hello"])
        await expect(alice.get_by_label("Message")).to_have_value("")
    for page in (alice, bob):
        await expect(page.locator("#state")).to_have_text("connecting")
    async with gateway(port):
        for page in (alice, bob):
            await expect(page.locator("#state")).to_have_text("connected", timeout=PATIENCE)
        await bob.get_by_label("Message").fill("again")
        await bob.get_by_label("Message").press("Enter")
        await expect(alice.locator("#messages li")).to_have_text(["alice: hello", "bob: again"])
        for page in (alice, bob):
            await page.context.close()


async def test_who_is_here(opened: Open, running: Gateway) -> None:
    """Both pages list both users once, one sees that the other is typing, and who has closed the page is gone."""
    alice, bob = [await opened("presence.md", running, token(user)) for user in ("alice", "bob")]
    for page in (alice, bob):
        await expect(page.locator("#people li")).to_have_text(["alice", "bob"], timeout=PATIENCE)
    again = await opened("presence.md", running, token("alice"))
    await expect(again.locator("#people li")).to_have_text(["alice", "bob"], timeout=PATIENCE)
    await bob.get_by_label("Message").press("h")
    await expect(alice.locator("#typing")).to_have_text("bob is typing")
    await expect(bob.locator("#typing")).to_have_text("")
    await expect(alice.locator("#typing")).to_have_text("", timeout=PATIENCE)
    await bob.context.close()
    await expect(alice.locator("#people li")).to_have_text(["alice"], timeout=PATIENCE)
    for page in (alice, again):
        await page.context.close()


async def test_a_live_dashboard(opened: Open, running: Gateway, tmp_path: Path) -> None:
    """A page that is opened late has the prices before it at once, gets each new one, and cannot publish."""
    [program] = blocks(f"{TUTORIALS}/dashboard.md", "python")
    assert program.count("127.0.0.1:9090") == 1
    program = program.replace("127.0.0.1:9090", f"127.0.0.1:{running.internal_port}")
    (tmp_path / "prices.py").write_text(program, encoding="utf-8")
    prices = await asyncio.create_subprocess_exec(
        sys.executable,
        "-u",
        "prices.py",
        cwd=tmp_path,
        env={**os.environ, "FORESTAY_API_KEY": API_KEY},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert prices.stdout is not None
    try:
        printed = [await asyncio.wait_for(prices.stdout.readline(), 20) for _ in range(2)]
        assert [b"'offset'" in line for line in printed] == [True, True], printed
        [rights] = set(re.findall(r"--rooms '([^']+)'", "\n".join(commands("dashboard.md"))))
        room, _, granted = rights.partition(":")
        page = await opened("dashboard.md", running, token("viewer", {room: granted}))
        await expect(page.locator("#before li").first).to_be_visible(timeout=PATIENCE)
        before = await page.locator("#before li").count()
        await expect(page.locator("#before li")).not_to_have_count(before, timeout=PATIENCE)
        newest = await page.locator("#price").inner_text()
        assert re.fullmatch(r"\d+\.\d+|\d+", newest)
        assert "w" not in granted
        await page.context.close()
    finally:
        prices.kill()
        await prices.wait()


async def test_the_values_for_kind_make_what_the_commands_name() -> None:
    """The chart takes the values; the commands name the release, the Secret, the Service and the image of the page."""
    [text] = blocks(f"{TUTORIALS}/kind.md", "yaml")
    typed = "\n".join(commands("kind.md"))
    objects = render(yaml.safe_load(text)).objects
    for each in objects:
        kubernetes_validate.validate(each, "1.30", strict=True)
    made = {(each["kind"], each["metadata"]["name"]) for each in objects}
    for kind, name in re.findall(r"\b(service|deployment)/(\S+)", typed):
        assert (kind.capitalize(), name) in made
    [deployment] = [each for each in objects if (each["kind"], each["metadata"]["name"]) == ("Deployment", "forestay")]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert f"kind load docker-image {container['image'].removeprefix('docker.io/')}\n" in typed
    assert container["image"].endswith(f":{re.findall(r'IMAGE [?]= forestay:(.*)', makefile())[0]}")
    assert secrets_of(deployment) >= {"forestay"}
    assert deployment["spec"]["replicas"] == 2
    [forwarded] = re.findall(r"port-forward service/forestay \d+:(\d+)", typed)
    [service] = [each for each in objects if (each["kind"], each["metadata"]["name"]) == ("Service", "forestay")]
    assert int(forwarded) in {port["port"] for port in service["spec"]["ports"]}


@pytest.mark.parametrize("tutorial", sorted(path.name for path in (ROOT / TUTORIALS).glob("*.md")))
async def test_each_command_exists(tutorial: str) -> None:
    """Each verb of make is in the Makefile, and `forestay` takes each of its commands as printed."""
    verbs = set(re.findall(r"^([\w-]+):.*## ", makefile(), re.MULTILINE))
    for command in commands(tutorial):
        if verb := re.fullmatch(r"make (\S+)", command):
            assert verb[1] in verbs
        for arguments in re.findall(r"\.venv/bin/forestay ([^()\n]*)", command):
            cli._parser().parse_args(shlex.split(arguments))


async def test_the_tutorials_begin_alike() -> None:
    """What the README types to begin with is what the first tutorial types."""
    readme = [line for _, line in lines(ROOT / "README.md")]
    for command in commands("chat.md")[2:5]:
        assert command in readme


def makefile() -> str:
    return (ROOT / "Makefile").read_text(encoding="utf-8")


def secrets_of(each: Object) -> set[str]:
    """The names of all Secrets that an object refers to."""

    def found(value: Any) -> set[str]:
        if isinstance(value, list):
            return {name for item in value for name in found(item)}
        if not isinstance(value, dict):
            return set()
        own = {value["secret"]["name"]} if "name" in (value.get("secret") or {}) else set()
        own |= {value["secretKeyRef"]["name"]} if "secretKeyRef" in value else set()
        return own | {name for item in value.values() for name in found(item)}

    return found(each)
