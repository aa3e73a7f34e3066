"""What Chromium does with connections, as docs/browsers.md says it, and that our clients live with it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page

from tests.clients.odd_site import Site, odd_site
from tests.support.browser import launched
from tests.support.gateway import PATIENCE, Gateway, call, gateway, token

pytestmark = pytest.mark.timeout(120)

ROOMS = '[[rooms]]\npattern = "log.*"\n[rooms.history]\nsize = 100\nttl = 60\n'

OPEN = """(url) => new Promise((done) => {
  const begun = performance.now();
  const socket = new WebSocket(url);
  const tell = (what) => done([what, performance.now() - begun]);
  socket.onopen = () => tell("open");
  socket.onclose = ({ code }) => tell(`close ${code}`);
})"""
# What a page has heard since it was loaded. It survives the back-forward cache.
LISTEN = """() => {
  window.heard = [];
  addEventListener("pagehide", ({ persisted }) => heard.push(`hidden ${persisted}`));
  addEventListener("pageshow", ({ persisted }) => heard.push(`shown ${persisted}`));
  addEventListener("offline", () => heard.push("offline"));
  addEventListener("online", () => heard.push("online"));
}"""
PLAIN = """(url) => new Promise((open) => {
  window.socket = new WebSocket(url);
  socket.onopen = open;
  socket.onclose = ({ code }) => heard.push(`close ${code}`);
})"""
CLIENT = """async ([url, token]) => {
  const { Client } = await import("/dist/index.js");
  window.client = new Client(url, { getToken: () => token, maxDelay: 100 });
  client.on("state", ({ state }) => heard.push(state));
  const room = client.room("log.a");
  room.on("message", ({ payload }) => heard.push(payload));
  client.connect();
  await room.join();
}"""
RECONNECTING = """async ([url, protocols, options]) => {
  const { ReconnectingWebSocket } = await import("/dist/reconnecting.js");
  window.socket = new ReconnectingWebSocket(url, protocols, options);
  socket.onclose = ({ code }) => heard.push(`close ${code}`);
  socket.onerror = ({ message }) => message && heard.push(message);
  if (options.open) return;
  await new Promise((open) => { socket.onopen = open; });
  socket.onopen = () => heard.push("open");
}"""

WITHOUT = """async ([url, token]) => {
  delete window.WebSocket;
  const { Client } = await import("/dist/index.js");
  const { stream } = await import("/dist/stream.js");
  const { ReconnectingWebSocket } = await import("/dist/reconnecting.js");
  const thrown = (run) => {
    try {
      run();
    } catch ({ name, code, message }) {
      return [name, code, message];
    }
  };
  const getToken = () => token;
  const found = [thrown(() => new Client(url, { getToken }).connect()), thrown(() => new ReconnectingWebSocket(url))];
  const client = new Client(url, { getToken, transports: ["websocket", stream] });
  const room = client.room("log.a");
  client.connect();
  await room.join();
  const heard = new Promise((done) => room.on("message", ({ payload }) => done(payload)));
  await room.publish("hello");
  found.push(await heard);
  client.disconnect();
  return found;
}"""


@pytest_asyncio.fixture
async def site(project: Path) -> AsyncIterator[Site]:
    async with odd_site(project / "node_modules" / "forestay" / "dist") as running:
        yield running


@pytest_asyncio.fixture
async def profile(chromium: str) -> AsyncIterator[BrowserContext]:
    """A profile of a browser."""
    async with launched(chromium) as browser:
        yield await browser.new_context()


@pytest_asyncio.fixture
async def pod(site: Site, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway to which the pages of the site may connect."""
    rooms = tmp_path / "rooms.toml"
    rooms.write_text(ROOMS)
    async with gateway(allowed_origins=site.origin, rooms_file=str(rooms), ping_interval=1, pong_timeout=1) as running:
        yield running


async def opened(profile: BrowserContext, site: Site) -> Page:
    """A tab with a page of the site."""
    page = await profile.new_page()
    await page.goto(f"{site.origin}/page")
    await page.evaluate(LISTEN)
    return page


async def until(page: Page, *heard: object) -> list[Any]:
    """Wait until the page has heard these, in this order, among others. Returns all that it has heard."""
    wanted = """(wanted) => {
      let at = 0;
      for (const one of heard) if (one === wanted[at]) at++;
      return at === wanted.length;
    }"""
    for _ in range(int(PATIENCE * 20)):
        if await page.evaluate(wanted, list(heard)):
            break
        await asyncio.sleep(0.05)
    else:
        raise AssertionError(f"never heard {heard}: {await page.evaluate('() => heard')}")
    all_of_it: list[Any] = await page.evaluate("() => heard")
    return all_of_it


async def seen(site: Site, isso: Callable[[], bool]) -> None:
    """Wait until the site has seen something."""
    async with asyncio.timeout(PATIENCE), site.news:
        await site.news.wait_for(isso)


async def test_one_hanging_handshake_holds_up_the_others(profile: BrowserContext, site: Site) -> None:
    """Connects of all tabs to one address wait for a handshake that hangs; requests and other addresses do not."""
    first, second = await opened(profile, site), await opened(profile, site)
    await first.evaluate("(url) => { window.hanging = new WebSocket(url); }", site.socket("/hang"))
    await seen(site, lambda: site.asked["/hang"] == 1)
    waiting = asyncio.create_task(second.evaluate(OPEN, site.socket("/open").replace("127.0.0.1", "localhost")))
    async with odd_site(site.dist) as other:
        assert (await first.evaluate(OPEN, other.socket("/open")))[0] == "open"
    assert await first.evaluate("(url) => fetch(url).then(({ status }) => status)", f"{site.origin}/503") == 503
    assert site.asked["/open"] == 0
    await first.evaluate("() => hanging.close()")
    assert (await waiting)[0] == "open"


@pytest.mark.parametrize(
    "connect",
    [
        """async ([url, options]) => {
          const { Client } = await import("/dist/index.js");
          new Client(url, { getToken: () => "t", minDelay: 60_000, maxDelay: 60_000, ...options }).connect();
        }""",
        """async ([url, options]) => {
          const { ReconnectingWebSocket } = await import("/dist/reconnecting.js");
          new ReconnectingWebSocket(url, [], { baseDelay: 60_000, maxDelay: 60_000, ...options });
        }""",
    ],
    ids=["client", "reconnecting"],
)
async def test_our_time_out_lets_the_other_tabs_connect(profile: BrowserContext, site: Site, connect: str) -> None:
    """Both entries give up a handshake that hangs after `connectTimeout`, and with that the place in the queue."""
    first, second = await opened(profile, site), await opened(profile, site)
    await first.evaluate(connect, [site.socket("/hang"), {"connectTimeout": 500}])
    await seen(site, lambda: site.asked["/hang"] == 1)
    assert (await second.evaluate(OPEN, site.socket("/open")))[0] == "open"


async def test_after_refusals_it_delays_the_next_handshake(profile: BrowserContext, site: Site) -> None:
    """The first refusals come at once. From about the tenth in a row on, Chromium waits before it asks."""
    page = await opened(profile, site)
    tries = [await page.evaluate(OPEN, site.socket("/503")) for _ in range(17)]
    assert {what for what, _ in tries} == {"close 1006"}
    assert max(took for _, took in tries[12:]) > 500


async def test_an_event_source_gives_up_at_each_refusal(profile: BrowserContext, site: Site) -> None:
    """It comes back after an end only, in `retry`, and then to where a redirect has led it."""
    page = await opened(profile, site)
    refusals = ["/503", "/500", "/429", "/401", "/204", "/page"]
    redirects = ["/301", "/302", "/307", "/308"]
    open_it = "(path) => { (window.sources ??= {})[path] = new EventSource(path); }"
    for path in [*refusals, *redirects, "/once", "/stream"]:
        site.asked.clear()
        await page.evaluate(open_it, path)
        lasting = {"/stream": "/stream"} | {each: f"/stream{each}" for each in redirects}
        if path in lasting:
            await seen(site, partial(_thrice, site, lasting[path]))
            assert site.asked[path] == (site.asked["/stream"] or 1)
        else:
            await page.wait_for_function("(path) => sources[path].readyState === EventSource.CLOSED", arg=path)
            assert site.asked[path] == (2 if path == "/once" else 1)
        await page.evaluate("(path) => sources[path].close()", path)


def _thrice(site: Site, path: str) -> bool:
    return site.asked[path] >= 3


async def test_a_page_that_is_left_keeps_its_connection(profile: BrowserContext, site: Site) -> None:
    """In the back-forward cache Chromium answers pings for a page, and ends its connection when it is shown again."""
    page = await opened(profile, site)
    await page.evaluate(PLAIN, site.socket("/ping"))
    await page.goto(f"{site.origin}/other")
    pongs = site.asked["pong"]
    await seen(site, lambda: site.asked["pong"] >= pongs + 20)
    assert site.asked["/ping ended"] == 0
    await page.go_back(wait_until="commit")
    await until(page, "hidden true", "shown true", "close 1006")


async def test_our_client_leaves_with_its_page(profile: BrowserContext, site: Site, pod: Gateway) -> None:
    """It ends its connection when its page goes into that cache, and makes good what it missed when it is back."""
    page = await opened(profile, site)
    await page.evaluate(CLIENT, [pod.url, token("alice")])
    await page.goto(f"{site.origin}/other")
    while (await call(pod, "GET", "/v1/users/alice/connections"))[1]["connections"]:
        await asyncio.sleep(0.05)
    await call(pod, "POST", "/v1/rooms/log.a/messages", b'{"payload": 1}')
    await page.go_back(wait_until="commit")
    await until(page, "connected", "hidden true", "connecting", "shown true", "connected", 1)


async def test_the_reconnecting_websocket_leaves_with_its_page(profile: BrowserContext, site: Site) -> None:
    """The same of `forestay/reconnecting`."""
    page = await opened(profile, site)
    await page.evaluate(RECONNECTING, [site.socket("/ping"), [], {"baseDelay": 10}])
    await page.goto(f"{site.origin}/other")
    await seen(site, lambda: site.asked["/ping ended"] == 1)
    await page.go_back(wait_until="commit")
    await until(page, "hidden true", "close 1006", "shown true", "open")


async def test_a_page_whose_script_does_not_run_answers_pings(profile: BrowserContext, site: Site) -> None:
    """The browser answers them, not the page: a gateway does not notice that a page hangs."""
    page = await opened(profile, site)
    await page.evaluate(PLAIN, site.socket("/ping"))
    pongs = site.asked["pong"]
    hanging = asyncio.create_task(
        page.evaluate(
            "() => { const end = performance.now() + 3000; while (performance.now() < end); return socket.readyState; }"
        )
    )
    await seen(site, lambda: site.asked["pong"] >= pongs + 10)
    assert not hanging.done()
    assert await hanging == 1


async def test_offline_ends_no_connection(profile: BrowserContext, site: Site, pod: Gateway) -> None:
    """An open connection stays open and silent, so the client asks, gives it up, and is back with the network."""
    page = await opened(profile, site)
    await page.evaluate(PLAIN, site.socket("/ping"))
    await page.evaluate(CLIENT, [pod.url, token("alice")])
    await profile.set_offline(True)
    await until(page, "connected", "offline", "connecting")
    assert await page.evaluate("() => socket.readyState") == 1
    assert (await page.evaluate(OPEN, site.socket("/open")))[0] == "close 1006"
    await call(pod, "POST", "/v1/rooms/log.a/messages", b'{"payload": 1}')
    await profile.set_offline(False)
    heard = await until(page, "offline", "connecting", "online", "connected", 1)
    assert "close 1006" not in heard


async def test_without_a_websocket_class_clients_say_so_or_use_streams(
    profile: BrowserContext, site: Site, pod: Gateway
) -> None:
    """`Client` names the remedies, `ReconnectingWebSocket` throws as a WebSocket would, and streams carry all."""
    page = await opened(profile, site)
    refused, thrown, heard = await page.evaluate(WITHOUT, [pod.url, token("alice")])
    assert refused[:2] == ["RefusedError", "no_websocket"]
    assert "forestay/stream" in refused[2]
    assert thrown[0] == "ReferenceError"
    assert heard == "hello"
