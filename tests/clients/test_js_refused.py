"""The JavaScript client says why a real gateway refuses it, in Node and in a browser, which shows only 1006."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.support.blocking_proxy import blocking
from tests.support.browser import chromium, launched
from tests.support.gateway import gateway, token
from tests.support.node import node, program_output

pytestmark = pytest.mark.timeout(120)

ASK = """
async function ask(Client, url, token) {
  const client = new Client(url, { getToken: () => token });
  const waiting = new Promise((resolve) => client.on("waiting", resolve));
  const stopped = client.room("a").join().catch(() => {});
  client.connect();
  await Promise.race([waiting, stopped]);
  const { state, error } = client;
  const ready = state === "disconnected" && (await client.ready().catch(({ name }) => name));
  client.disconnect();
  return { state, code: error?.code, reason: error?.reason, ready };
}
"""

TALK = """
async function talk(url, token) {
  const client = new Forestay.Client(url, {
    getToken: () => token,
    transports: ["websocket", ForestayStream.stream],
    maxDelay: 100,
  });
  client.connect();
  await client.ready();
  const [room, other] = [client.room("log.a"), client.room("chat.a")];
  const heard = [];
  const all = new Promise((resolve) => room.on("message", ({ payload }) => heard.push(payload) === 3 && resolve()));
  await Promise.all([room.join(), other.join()]);
  await Promise.all([1, 2, 3].map((number) => room.publish(number)));
  await all;
  const { messages } = await room.history({ limit: 3 });
  const refused = await room.send(7, new Uint8Array(1)).catch(({ code }) => code);
  const { state } = client;
  client.disconnect();
  return { heard, kept: messages.map(({ payload }) => payload), refused, state };
}
"""


@dataclass(frozen=True, slots=True)
class Asker:
    """Connects with a token to a gateway, and returns what the client shows then."""

    origin: str
    """Of the page, where there is one."""
    ask: Callable[[str, str], Awaitable[dict[str, object]]]


@pytest.fixture(params=["node", "browser"])
async def asker(request: pytest.FixtureRequest, project: Path) -> AsyncIterator[Asker]:
    """A client in Node, and one on a page of Chromium."""
    if request.param == "node":
        program = project / "ask.mjs"
        run_it = "ask(Client, ...process.argv.slice(2)).then((shown) => console.log(JSON.stringify(shown)));"
        program.write_text(f'import {{ Client }} from "forestay";{ASK}{run_it}', encoding="utf-8")

        async def in_node(url: str, bearer: str) -> dict[str, object]:
            shown: dict[str, object] = json.loads(await program_output(node(), program, url, bearer))
            return shown

        yield Asker("", in_node)
        return
    async with page_of(project, "forestay") as page:

        async def in_browser(url: str, bearer: str) -> dict[str, object]:
            shown: dict[str, object] = await page.evaluate(
                f"([url, token]) => {{ {ASK} return ask(Forestay.Client, url, token); }}", [url, bearer]
            )
            return shown

        yield Asker(page.url.rstrip("/"), in_browser)


@asynccontextmanager
async def page_of(project: Path, *scripts: str) -> AsyncIterator[Page]:
    """A page of Chromium, of another origin than any gateway, with these files of the package."""
    path = chromium()
    if path is None:
        pytest.skip("no Chromium: name one in CHROMIUM, or install it")
    # A browser lets pages reach this machine if they come from it. By another name it is another origin.
    server = await asyncio.start_server(_serve_page, "127.0.0.1", 0)
    origin = f"http://localhost:{server.sockets[0].getsockname()[1]}"
    async with launched(path) as browser:
        page = await browser.new_page()
        await page.goto(f"{origin}/")
        for script in scripts:
            await page.add_script_tag(path=project / f"node_modules/forestay/dist/{script}.iife.js")
        yield page
    server.close()


async def _serve_page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 15\r\nConnection: close\r\n\r\n")
    writer.write(b"<!doctype html>")
    await writer.drain()
    writer.close()


async def test_a_bad_token_is_the_end_with_the_reason(asker: Asker) -> None:
    """An expired token is refused twice with 401, and then the client stops and shows the gateway's sentence."""
    async with gateway(allowed_origins=asker.origin) as pod:
        shown = await asker.ask(pod.url, token("alice", exp=time.time() - 60))
    assert shown["state"] == "disconnected"
    assert shown["code"] == 401
    assert shown["ready"] == "DisconnectedError"
    assert "expired" in str(shown["reason"])


async def test_a_wrong_path_is_the_end(asker: Asker) -> None:
    """404 ends a client that has never been connected."""
    async with gateway(allowed_origins=asker.origin) as pod:
        shown = await asker.ask(f"{pod.url}x", token("alice"))
    # A browser cannot read this answer, which is no gateway's: it goes on trying.
    assert (shown["state"], shown["code"]) in [("disconnected", 404), ("connecting", 1006)]


async def test_a_full_pod_is_shown_while_the_client_waits(asker: Asker) -> None:
    """503 is no end: the client shows the gateway's sentence and waits."""
    async with gateway(allowed_origins=asker.origin, max_connections=1) as pod:
        await pod.connect("bob")
        shown = await asker.ask(pod.url, token("alice"))
    assert shown["state"] == "connecting"
    assert shown["code"] == 503
    assert shown["reason"]


@pytest.mark.parametrize("asker", ["browser"], indirect=True)
async def test_a_page_that_may_not_connect_is_told_so(asker: Asker) -> None:
    """A page of an origin that is not allowed stops with 403, and shows which origin the gateway saw."""
    async with gateway(allowed_origins="https://example.com") as pod:
        shown = await asker.ask(pod.url, token("alice"))
    assert (shown["state"], shown["code"]) == ("disconnected", 403)
    assert asker.origin in str(shown["reason"])


async def test_a_page_goes_on_where_websockets_are_blocked(project: Path, tmp_path: Path) -> None:
    """In Chromium, on a page of another origin, a proxy that refuses upgrades leads to streams and requests."""
    rooms = tmp_path / "rooms.toml"
    rooms.write_text('[[rooms]]\npattern = "log.*"\n[rooms.history]\nsize = 10\nttl = 60\n')
    async with AsyncExitStack() as stack:
        page = await stack.enter_async_context(page_of(project, "forestay", "forestay-stream"))
        origin = page.url.rstrip("/")
        pod = await stack.enter_async_context(gateway(allowed_origins=origin, rooms_file=str(rooms)))
        proxy = await stack.enter_async_context(blocking(pod.port))
        run_it = f"([url, token]) => {{ {TALK} return talk(url, token); }}"
        shown = await page.evaluate(run_it, [proxy.url, token("alice")])
    assert proxy.blocked == 2
    numbers = [1, 2, 3]
    assert shown == {"heard": numbers, "kept": numbers, "refused": "needs_websocket", "state": "connected"}
