"""The demo page in a real browser, with a real gateway."""

import json
import re
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, ViewportSize, WebSocketRoute, expect

from forestay.protocol.codes import ABNORMAL_CLOSURE, SERVICE_RESTART, CloseCode, Verdict, verdict
from tests.support.accessibility import axe_script, faults
from tests.support.browser import CHANGED, DevGateway, dev_gateway, launched, load, token
from tests.support.gateway import gateway as strict_gateway
from tests.support.gateway import token as strict_token
from tests.support.local_redis import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOBBY = "chat.lobby"
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
SIZES: dict[str, ViewportSize] = {
    "desktop": DESKTOP,
    "narrow": {"width": 900, "height": 700},
    "phone": {"width": 390, "height": 844},
    "sideways": {"width": 844, "height": 390},
    "small": {"width": 320, "height": 640},
}
WORDS = {Verdict.RECONNECT: "return", Verdict.RENEW_TOKEN: "once", Verdict.STOP: "stop"}
# In milliseconds. A page waits up to two seconds before it reconnects, and the machine may be busy.
expect.set_options(timeout=15_000)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with launched(chromium) as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(chromium: str) -> AsyncIterator[DevGateway]:
    async with dev_gateway() as gateway:
        yield gateway


@dataclass
class Visitors:
    """Opens the page for users with separate browser contexts, and records errors of their browsers."""

    browser: Browser
    complaints: list[str] = field(default_factory=list)

    async def open(self, link: str, size: ViewportSize = DESKTOP, *, dark: bool = False) -> Page:
        context = await self.browser.new_context(viewport=size, color_scheme="dark" if dark else "light")
        page = await context.new_page()
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self._note("error", str(error)))
        await load(page, link)
        return page

    async def enter(self, link: str, size: ViewportSize = DESKTOP, *, dark: bool = False) -> Page:
        page = await self.open(link, size, dark=dark)
        await expect(page.locator("body")).to_have_attribute("data-state", "connected")
        await expect(page.locator("#send")).to_be_enabled()
        return page

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and CHANGED not in text:
            self.complaints.append(text)


@pytest_asyncio.fixture(loop_scope="module")
async def visitors(browser: Browser) -> AsyncIterator[Visitors]:
    visitors = Visitors(browser)
    yield visitors
    for context in browser.contexts:
        await context.close()


async def say(page: Page, text: str) -> None:
    await page.get_by_label("Message", exact=True).fill(text)
    await page.keyboard.press("Enter")


async def join(page: Page, room: str) -> None:
    await page.get_by_label("Room to join").fill(room)
    await page.get_by_role("button", name="Join", exact=True).click()


async def test_a_message_appears_on_the_other_page_and_is_marked_on_ones_own(
    visitors: Visitors, gateway: DevGateway
) -> None:
    """A message appears on the other page with its sender; the sender's own copy is marked as delivered."""
    alice = await visitors.enter(gateway.link("alice"))
    bob = await visitors.enter(gateway.link("bob"))
    await say(alice, "Ready about!")
    theirs = bob.locator(".entry", has_text="Ready about!")
    await expect(theirs).to_contain_text("alice")
    await expect(theirs).not_to_have_attribute("data-own", "")
    own = alice.locator(".entry", has_text="Ready about!")
    await expect(own).to_have_count(1)
    await expect(own).to_have_attribute("data-own", "")
    await expect(own).to_have_attribute("data-state", "heard")
    await say(bob, "Ready.")
    await expect(alice.locator(".entry", has_text="Ready.")).to_contain_text("bob")
    assert visitors.complaints == []


async def test_joins_and_leaves_are_shown(visitors: Visitors, gateway: DevGateway) -> None:
    """A page shows when a user joins or leaves the room, and lists the people seen in it."""
    alice = await visitors.enter(gateway.link("alice"))
    bob = await visitors.enter(gateway.link("bob"))
    people = alice.locator(".person", has_text="bob")
    await expect(alice.locator(".note", has_text="bob")).to_contain_text("came in")
    await expect(people).to_have_attribute("data-seen", "here")
    await bob.get_by_role("button", name="Leave").click()
    await expect(bob.locator("#talk-title")).to_have_text("No room")
    await expect(alice.locator(".note", has_text="bob").last).to_contain_text("left")
    await expect(people).to_have_attribute("data-seen", "gone")
    await join(bob, LOBBY)
    await expect(people).to_have_attribute("data-seen", "here")
    await bob.context.close()
    await expect(people).to_have_attribute("data-seen", "gone")
    assert visitors.complaints == []


async def test_binary_messages_arrive_as_bytes(visitors: Visitors, gateway: DevGateway) -> None:
    """Text and files are sent under a type bound to the room, and shown by type, size and first bytes."""
    alice = await visitors.enter(gateway.link("alice"))
    bob = await visitors.enter(gateway.link("bob"))
    await alice.get_by_label("Binary").check()
    await alice.get_by_label("Type", exact=True).fill("4294967295")
    await alice.get_by_role("button", name="Bind to this room").click()
    await expect(alice.get_by_role("button", name="Bound to this room")).to_be_visible()
    await alice.get_by_label("Text to send as bytes").fill("Ahoy")
    await alice.get_by_role("button", name="Send").click()
    arrived = bob.locator(".entry[data-kind=binary]")
    await expect(arrived).to_contain_text("type 4294967295")
    await expect(arrived).to_contain_text("4 bytes")
    await expect(arrived).to_contain_text("41 68 6f 79")
    own = alice.locator(".entry[data-kind=binary]")
    await expect(own).to_have_count(1)
    await expect(own).to_have_attribute("data-state", "heard")
    # The second message needs no click on bind: the page binds the type itself.
    await alice.get_by_label("Type", exact=True).fill("7")
    await alice.locator("#file").set_input_files({"name": "chart", "mimeType": "", "buffer": bytes(range(200))})
    await alice.get_by_role("button", name="Send").click()
    await expect(arrived.last).to_contain_text("type 7")
    await expect(arrived.last).to_contain_text("200 bytes")
    await expect(arrived.last).to_contain_text("00 01 02 03")
    assert visitors.complaints == []


async def test_a_message_too_large_is_not_sent(visitors: Visitors, gateway: DevGateway) -> None:
    """The page refuses a message that would make the gateway end the connection, and says why."""
    alice = await visitors.enter(gateway.link("alice"))
    await say(alice, "x" * 70_000)
    await expect(alice.locator("#say-error")).to_contain_text("at most 64 KiB")
    await alice.get_by_label("Binary").check()
    await alice.locator("#file").set_input_files({"name": "chart", "mimeType": "", "buffer": bytes(70_000)})
    await alice.get_by_role("button", name="Send").click()
    await expect(alice.locator("#say-error")).to_contain_text("at most 64 KiB")
    await expect(alice.locator("body")).to_have_attribute("data-state", "connected")


async def test_a_cut_connection_returns_and_is_back_in_its_rooms(visitors: Visitors, gateway: DevGateway) -> None:
    """After a cut the page counts down, and reconnects. It gets what was said meanwhile where its room remembers."""
    alice = await visitors.enter(gateway.link("alice"))
    bob = await visitors.enter(gateway.link("bob"))
    await join(alice, "chat.deck")
    await expect(alice.locator("#send")).to_be_enabled()
    before = await alice.locator("#stay-gateway").text_content()
    await alice.get_by_role("button", name="Cut the connection").click()
    await expect(alice.locator("body")).to_have_attribute("data-state", "waiting")
    await say(bob, "Are you away?")
    await expect(alice.locator("#state-name")).to_contain_text(re.compile(r"Waiting \d+\.\d s"))
    await expect(alice.locator("#state-detail")).to_contain_text("1006")
    await expect(alice.locator(".frame[data-kind=life]", has_text="close 1006")).to_have_count(1)
    await expect(alice.locator("body")).to_have_attribute("data-state", "connected")
    await expect(alice.locator("#stay-gateway")).not_to_have_text(before or "")
    await expect(alice.locator("#send")).to_be_enabled()
    await expect(alice.locator(".note[data-tone=warning]")).to_contain_text("missing")
    await alice.locator(f'[data-room="{LOBBY}"]').click()
    await expect(alice.locator(".note", has_text="Back. What was said in between follows.")).to_have_count(1)
    await expect(alice.locator(".entry", has_text="Are you away?")).to_have_count(1)
    await expect(alice.locator(".note[data-tone=warning]")).to_have_count(0)
    await say(alice, "I was.")
    await expect(bob.locator(".entry", has_text="I was.")).to_have_count(1)
    assert visitors.complaints == []


@pytest.mark.timeout(150)
async def test_the_page_outlives_a_gateway_that_dies(visitors: Visitors) -> None:
    """The page notices that the gateway was killed, waits, and reconnects after its restart."""
    # A port outside of those that the system gives to others meanwhile.
    async with dev_gateway(free_port()) as gateway:
        alice = await visitors.enter(gateway.link("alice"))
        await gateway.stop(signal.SIGKILL)
        await expect(alice.locator("body")).to_have_attribute("data-state", "waiting")
        await expect(alice.locator("#facts")).to_contain_text("1006")
    async with dev_gateway(gateway.port):
        await expect(alice.locator("#send")).to_be_enabled(timeout=45_000)
        await say(alice, "Still here.")
        await expect(alice.locator(".entry", has_text="Still here.")).to_have_attribute("data-state", "heard")


@pytest.mark.parametrize(("size", "dark"), [("desktop", False), ("phone", True)])
async def test_everybody_can_use_the_page(size: str, *, dark: bool, browser: Browser, gateway: DevGateway) -> None:
    """Axe finds no violation, and nothing sticks out of the window."""
    # The page's policy lets no script in but its own.
    scheme: Literal["dark", "light"] = "dark" if dark else "light"
    context = await browser.new_context(viewport=SIZES[size], color_scheme=scheme, bypass_csp=True)
    page = await context.new_page()
    await load(page, gateway.link("alice"))
    await expect(page.locator("#send")).to_be_enabled()
    await say(page, "Is this easy to read?")
    await expect(page.locator(".entry", has_text="easy to read")).to_have_attribute("data-state", "heard")
    assert await faults(page, await axe_script()) == []
    await context.close()


async def test_hostile_text_stays_text(visitors: Visitors, gateway: DevGateway) -> None:
    """Markup in a message, a name or bytes is shown as text and has no effect."""
    hostile = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
    alice = await visitors.enter(gateway.link("alice"))
    mallory = await visitors.enter(gateway.link("<b>mallory</b>"))
    await say(mallory, hostile)
    await mallory.get_by_label("Binary").check()
    await mallory.get_by_label("Text to send as bytes").fill("<i>raw</i>")
    await mallory.get_by_role("button", name="Send").click()
    for page in (alice, mallory):
        await expect(page.locator(".entry .bubble p", has_text="<img")).to_have_text(hostile)
        await expect(page.locator(".entry[data-kind=binary]")).to_contain_text("<i>raw</")
        await page.locator(".frame-line", has_text="broadcast").first.click()
        await expect(page.locator(".frame-body")).to_contain_text("<img")
        assert await page.locator("#entries img, #entries script, #people b, main i, .frame-body img").count() == 0
        assert await page.title() == "Forestay demo"
    await expect(alice.locator(".person", has_text="<b>mallory</b>")).to_be_visible()
    assert visitors.complaints == []


async def test_the_token_leaves_the_address_and_survives_a_reload(visitors: Visitors, gateway: DevGateway) -> None:
    """The token leaves the address bar at once, is in no requested URL, and survives a reload."""
    page = await visitors.open("about:blank")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    await load(page, gateway.link("alice"))
    await expect(page.locator("body")).to_have_attribute("data-state", "connected")
    assert page.url == gateway.page
    await page.reload()
    await expect(page.locator("body")).to_have_attribute("data-state", "connected")
    here = gateway.page.removeprefix("http://")
    assert [url for url in asked if not url.removeprefix("http://").removeprefix("ws://").startswith(here)] == []
    assert [url for url in asked if token("alice")[:30] in url and "#" not in url] == []
    assert visitors.complaints == []


async def test_without_a_token_the_page_asks_for_one(visitors: Visitors, gateway: DevGateway) -> None:
    """The dialog takes a pasted token, shows its user, and connects with it."""
    page = await visitors.open(gateway.page)
    dialog = page.get_by_role("dialog", name="Token")
    await expect(dialog).to_be_visible()
    await dialog.get_by_label("JSON Web Token").fill(token("carol"))
    await expect(dialog).to_contain_text("carol")
    await dialog.get_by_role("button", name="Use it").click()
    await expect(page.locator("#stay-user")).to_have_text("carol")
    await expect(page.locator("body")).to_have_attribute("data-state", "connected")
    assert visitors.complaints == []


async def test_each_tab_is_another_person(visitors: Visitors, gateway: DevGateway) -> None:
    """Tabs of the printed link are alice, bob and carol, and stay so. The key is in no address and is no token."""
    alice = await visitors.enter(gateway.printed)
    async with alice.context.expect_page() as opened:
        await alice.get_by_role("button", name="Open a second tab").click()
    bob = await opened.value
    carol = await alice.context.new_page()
    await load(carol, gateway.printed)
    for page, name in ((alice, "alice"), (bob, "bob"), (carol, "carol")):
        await expect(page.locator("#stay-user")).to_have_text(name)
        assert page.url == gateway.page
    await bob.reload()
    await expect(bob.locator("#stay-user")).to_have_text("bob")
    # A token that is of no use any more is replaced by another one for the same person.
    await bob.evaluate("sessionStorage.setItem('forestay.token', 'e30.eyJzdWIiOiJib2IifQ.bm8')")
    await bob.reload()
    await expect(bob.locator("body")).to_have_attribute("data-state", "connected")
    await expect(bob.locator("#stay-user")).to_have_text("bob")
    assert [text for text in visitors.complaints if "401" not in text] == []


async def test_a_link_of_another_gateway_is_explained(visitors: Visitors, gateway: DevGateway) -> None:
    """The page says that the key is not of this gateway, and takes a token by hand."""
    page = await visitors.open(f"{gateway.page}#key=0123")
    await expect(page.locator("#banner")).to_contain_text("this link is of another gateway")
    await page.locator("#banner-action").click()
    await expect(page.get_by_role("dialog", name="Token")).to_be_visible()


async def test_a_refused_handshake_is_explained(visitors: Visitors, gateway: DevGateway) -> None:
    """After a refused handshake the page shows the gateway's reason and asks for another token."""
    page = await visitors.open(f"{gateway.page}#token=not-a-token")
    await expect(page.locator("#banner")).to_contain_text("refused the token")
    await expect(page.locator("#banner")).to_contain_text("not a signed JWT")
    await expect(page.get_by_role("dialog", name="Token")).to_be_visible()


async def test_a_page_of_the_same_host_learns_that_it_is_not_listed(visitors: Visitors) -> None:
    """The list of origins leaves the gateway's own page out: the page says so, although its GET has no Origin."""
    async with strict_gateway(demo=True, allowed_origins="https://app.example.com") as strict:
        origin = f"http://127.0.0.1:{strict.port}"
        page = await visitors.open(f"{origin}/#token={strict_token()}")
        await expect(page.locator("#banner")).to_contain_text(f'has Origin "{origin}"')


async def test_a_refusal_is_shown_where_it_belongs(visitors: Visitors, gateway: DevGateway) -> None:
    """A refused join is shown beside its field, and a refused message beside the message."""
    page = await visitors.enter(gateway.link("dave", {"chat.*": "r"}))
    await say(page, "May I?")
    refused = page.locator(".entry", has_text="May I?")
    await expect(refused).to_have_attribute("data-state", "refused")
    await expect(refused).to_contain_text("forbidden")
    await join(page, "secret")
    await expect(page.locator("#join-error")).to_contain_text("secret")
    await join(page, "no spaces, please")
    await expect(page.locator("#join-error")).to_contain_text("no spaces")
    await expect(page.locator("#room-list li")).to_have_count(1)


async def test_every_frame_is_in_the_log(visitors: Visitors, gateway: DevGateway) -> None:
    """Frames are listed with direction and type, open on a click, and can be filtered, paused and cleared."""
    page = await visitors.enter(gateway.link("alice"))
    frames = page.locator(".frame")
    await expect(frames.filter(has_text="welcome")).to_have_attribute("data-direction", "in")
    await expect(frames.filter(has_text=re.compile(r"\djoin(?!ed)"))).to_have_attribute("data-direction", "out")
    welcome = frames.filter(has_text="welcome").get_by_role("button")
    await welcome.click()
    await expect(welcome).to_have_attribute("aria-expanded", "true")
    await expect(page.locator(".frame-body pre")).to_contain_text('"user": "alice"')
    # The client pings the gateway when the network may be down.
    await page.evaluate("dispatchEvent(new Event('offline'))")
    pong = page.locator(".frame[data-ping]").last
    await expect(pong).to_be_hidden()
    await page.get_by_label("Hide pings").uncheck()
    await expect(pong).to_be_visible()
    await page.get_by_role("button", name="Pause").click()
    before = await frames.count()
    await say(page, "unseen for now")
    await expect(page.get_by_role("button", name=re.compile(r"Resume \(\d+\)"))).to_be_visible()
    assert await frames.count() == before
    await page.get_by_role("button", name="Resume").click()
    await expect(frames.filter(has_text="ack")).to_have_count(1)
    await page.get_by_role("button", name="Clear").click()
    await expect(frames).to_have_count(0)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
async def test_the_page_fits_its_window(
    visitors: Visitors, gateway: DevGateway, size: ViewportSize, *, dark: bool
) -> None:
    """At each window size no part of the page overflows, for any text, and the browser logs no error."""
    page = await visitors.enter(gateway.link("a-user-with-quite-a-long-name@example.org"), size, dark=dark)
    await say(page, "word " * 60)
    await say(page, "unbroken" * 40)
    await expect(page.locator(".entry[data-state=heard]")).to_have_count(2)
    await page.get_by_label("Binary").check()
    for part in ("Rooms", "Talk", "Frames"):
        if size["width"] < 896:
            await page.get_by_role("button", name=part, exact=True).click()
        assert await page.evaluate(STICKING_OUT) == []
    assert visitors.complaints == []


STICKING_OUT = """() => {
    const root = document.documentElement;
    const scrolls = root.scrollWidth > innerWidth || root.scrollHeight > innerHeight ? ["the page scrolls"] : [];
    // What scrolls inside itself, is clipped, or is meant for the ear only may be wider than what is seen of it.
    const exempt = "pre, pre *, .spark, .unseen, .skip, svg *, dialog, dialog *, .modes input";
    const sticksOut = ({ left, right }) => left < -0.5 || right > innerWidth + 0.5;
    return scrolls.concat([...document.querySelectorAll("body *")]
        .filter((each) => !each.matches(exempt) && each.getClientRects().length > 0)
        .filter((each) => sticksOut(each.getBoundingClientRect()))
        .map((each) => each.outerHTML.slice(0, 120)));
}"""


async def test_everything_that_can_be_used_has_a_name(visitors: Visitors, gateway: DevGateway) -> None:
    """Each control has an accessible name and can be reached with the keyboard."""
    page = await visitors.enter(gateway.link("alice"))
    await page.get_by_label("Binary").check()
    await page.locator("#file").set_input_files({"name": "chart", "mimeType": "", "buffer": b"x"})
    assert await page.evaluate(NAMELESS) == []
    await page.reload()
    await expect(page.locator("#send")).to_be_enabled()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Message", exact=True)).to_be_focused()


NAMELESS = """() => [...document.querySelectorAll("button, input, textarea")]
    .filter((each) => each.getClientRects().length > 0 && !each.textContent.trim() && !each.ariaLabel)
    .filter((each) => ![...each.labels ?? []].some((label) => label.textContent.trim()))
    .map((each) => each.outerHTML)"""


async def test_the_page_and_the_gateway_agree_on_every_close_code(visitors: Visitors, gateway: DevGateway) -> None:
    """The page reconnects, asks for a token or stops for exactly the codes that the gateway's table says."""
    page = await visitors.open(gateway.page)
    codes = [*CloseCode, ABNORMAL_CLOSURE, SERVICE_RESTART, 1003, 1010, 1015, 3000, 4001, 4499]
    script = (
        "async (codes) => { const m = await import('/demo/closes.js'); return codes.map((c) => m.judge(c).verdict) }"
    )
    verdicts = dict(zip(codes, await page.evaluate(script, [int(code) for code in codes]), strict=True))
    assert verdicts == {code: WORDS[verdict(code)] for code in codes}


# The tests below use a scripted gateway, which can send what a healthy one cannot be made to send.


@dataclass
class Played:
    """A scripted gateway: it welcomes each client, accepts each join, and else does what the test says."""

    sockets: list[WebSocketRoute] = field(default_factory=list)
    heard: list[list[dict[str, object]]] = field(default_factory=list)
    joined: dict[str, object] = field(default_factory=dict)

    def accept(self, socket: WebSocketRoute) -> None:
        number = len(self.sockets)
        self.sockets.append(socket)
        self.heard.append([])
        socket.on_message(lambda message: self._answer(number, message))
        self.say(number, "welcome", WELCOME | {"connection": f"played-{number}"})

    def say(self, number: int, type: str, payload: object, **more: object) -> None:
        self.sockets[number].send(json.dumps({"type": type, "payload": payload, **more, "timestamp": TIME}))

    def _answer(self, number: int, message: str | bytes) -> None:
        sentence = json.loads(message)
        self.heard[number].append(sentence)
        if sentence["type"] == "join":
            self.say(number, "joined", self.joined, room=sentence["room"], id=sentence["id"])
        elif sentence["type"] == "ping":
            self.say(number, "pong", None)


TIME = "2026-11-22T12:00:00.000Z"
WELCOME = {
    "user": "alice",
    "reconnect_spread_ms": 1000,
    "ping_interval_ms": 25_000,
    "pong_timeout_ms": 10_000,
    "limits": {},
}


async def _play(visitors: Visitors, gateway: DevGateway, **joined: object) -> tuple[Page, Played]:
    page = await visitors.open("about:blank")
    played = Played(joined=joined)
    await page.route_web_socket("**/ws", played.accept)
    await load(page, gateway.link("alice"))
    await expect(page.locator("#send")).to_be_enabled()
    return page, played


@pytest.mark.parametrize("code", [1001, 1006, 4429])
async def test_it_comes_back_after_some_closes(visitors: Visitors, gateway: DevGateway, code: int) -> None:
    """After these close codes the page waits, explains the code, and reconnects."""
    page, played = await _play(visitors, gateway)
    await played.sockets[0].close(code=code, reason="because")
    await expect(page.locator("#facts")).to_contain_text(f"{code}")
    await expect(page.locator("#facts")).to_contain_text("because")
    await expect(page.locator("#stay-gateway")).to_contain_text("played")
    await expect(page.locator("body")).to_have_attribute("data-state", "connected")
    assert len(played.sockets) == 2


@pytest.mark.parametrize("code", [1009, 4401, 4409])
async def test_it_stops_after_others(visitors: Visitors, gateway: DevGateway, code: int) -> None:
    """After these close codes the page stops and says why; only an expired token makes it ask for another."""
    page, played = await _play(visitors, gateway)
    await played.sockets[0].close(code=code, reason="because")
    await expect(page.locator("body")).to_have_attribute("data-state", "stopped")
    await expect(page.locator("#banner")).to_contain_text(f"{code} “because”")
    await expect(page.get_by_role("dialog", name="Token")).to_be_visible(visible=code == CloseCode.TOKEN_EXPIRED)
    assert len(played.sockets) == 1


async def test_an_announced_close_is_answered_by_moving(visitors: Visitors, gateway: DevGateway) -> None:
    """After `reconnect` the next connection opens before the old one closes, and each message shows once."""
    page, played = await _play(visitors, gateway)
    await say(page, "hold fast")
    await expect(page.locator(".entry", has_text="hold fast")).to_have_attribute("data-state", "sending")
    played.say(0, "reconnect", {"reason": "draining", "after_ms": 300, "within_ms": 5000})
    await expect(page.locator("#banner")).to_contain_text("draining")
    await expect(page.locator("#facts")).to_contain_text("played-1")
    for number in (0, 1, 1):
        played.say(number, "broadcast", {"text": "once, and once more"}, room=LOBBY, **{"from": "bob"})
    await expect(page.locator(".entry", has_text="once, and once more")).to_have_count(2)
    # The old connection still waits for a reply, so it is open.
    await expect(page.locator(".frame", has_text="close")).to_have_count(0)
    [held] = [frame for frame in played.heard[0] if frame["type"] == "broadcast"]
    played.say(0, "ack", {}, id=held["id"])
    await expect(page.locator(".entry", has_text="hold fast")).to_have_attribute("data-state", "accepted")
    await expect(page.locator("#banner")).to_contain_text("Moved")
    await expect(page.locator(".frame", has_text="close 1000")).to_have_count(1)
    assert [frame["room"] for frame in played.heard[1] if frame["type"] == "join"] == [LOBBY]
    await expect(page.locator(".note[data-tone=warning]")).to_have_count(0)
    await expect(page.locator("body")).to_have_attribute("data-state", "connected")


async def test_the_newest_message_is_in_view_unless_one_reads_back(visitors: Visitors, gateway: DevGateway) -> None:
    """The newest message stays in view through floods and banners, unless the user has scrolled back."""
    page, played = await _play(visitors, gateway)
    for number in range(600):
        played.say(0, "broadcast", {"text": f"message {number}"}, room=LOBBY, **{"from": "bob"})
    await expect(page.get_by_text("message 599", exact=True)).to_be_in_viewport()
    await expect(page.locator("#entries > li")).to_have_count(500)
    await expect(page.locator(".frame")).to_have_count(500)
    played.say(0, "reconnect", {"reason": "draining", "after_ms": 60_000, "within_ms": 60_000})
    await expect(page.locator("#banner")).to_be_visible()
    await expect(page.get_by_text("message 599", exact=True)).to_be_in_viewport(ratio=1)
    await page.get_by_text("message 300", exact=True).scroll_into_view_if_needed()
    played.say(0, "broadcast", {"text": "one more"}, room=LOBBY, **{"from": "bob"})
    await expect(page.get_by_text("one more", exact=True)).to_have_count(1)
    await expect(page.get_by_text("message 300", exact=True)).to_be_in_viewport()
    await expect(page.get_by_text("one more", exact=True)).not_to_be_in_viewport()


async def test_lost_continuity_is_told_in_the_room(visitors: Visitors, gateway: DevGateway) -> None:
    """`resync` becomes a line in the room, at the place where messages may be missing."""
    page, played = await _play(visitors, gateway)
    played.say(0, "resync", {"reason": "bus_lost"}, room=LOBBY)
    await expect(page.locator(".note[data-tone=warning]")).to_contain_text("may have missed messages")


async def test_members_are_shown_where_the_gateway_names_them(visitors: Visitors, gateway: DevGateway) -> None:
    """`members` in `joined` fills the list of people."""
    members = [{"user": "alice", "connections": 1}, {"user": "erin", "connections": 2}]
    page, _ = await _play(visitors, gateway, members={"count": 3, "users": 2, "members": members})
    await expect(page.locator(".person", has_text="erin")).to_have_attribute("data-seen", "here")
    await expect(page.locator("#people-title")).to_contain_text("2 here")


async def test_a_room_with_history_is_joined_where_it_was_left(visitors: Visitors, gateway: DevGateway) -> None:
    """The page rejoins with its position, shows nothing twice, and retries unanswered messages with their key."""
    page, played = await _play(visitors, gateway, epoch="e", offset=4)
    played.say(0, "broadcast", {"text": "the fifth"}, room=LOBBY, epoch="e", offset=5, **{"from": "bob"})
    await expect(page.locator(".entry", has_text="the fifth")).to_have_count(1)
    await say(page, "is this heard?")
    await expect(page.locator(".entry", has_text="is this heard?")).to_have_attribute("data-state", "sending")
    played.joined = {"epoch": "e", "offset": 6, "recovered": True}
    await page.get_by_role("button", name="Cut the connection").click()
    await expect(page.locator(".entry", has_text="is this heard?")).to_have_attribute("data-state", "unknown")
    await expect(page.locator("#send")).to_be_enabled()
    [rejoin] = [frame for frame in played.heard[1] if frame["type"] == "join"]
    assert rejoin["since"] == {"epoch": "e", "offset": 5}
    for offset, text in ((5, "the fifth"), (6, "the sixth")):
        played.say(1, "broadcast", {"text": text}, room=LOBBY, epoch="e", offset=offset, **{"from": "bob"})
    await expect(page.locator(".entry", has_text="the sixth")).to_have_count(1)
    await expect(page.locator(".entry", has_text="the fifth")).to_have_count(1)
    [first], [again] = ([frame for frame in each if frame["type"] == "broadcast"] for each in played.heard)
    assert first["key"] == again["key"]
    assert first["payload"] == again["payload"]


async def test_silence_is_noticed(visitors: Visitors, gateway: DevGateway) -> None:
    """When the gateway stops answering pings, the page opens another connection."""
    page = await visitors.open("about:blank")
    await page.clock.install()
    played = Played()
    await page.route_web_socket("**/ws", played.accept)
    await load(page, gateway.link("alice"))
    await expect(page.locator("#state-detail")).to_contain_text("round trip")
    played.sockets[0].on_message(lambda _: None)
    await page.clock.run_for(25_100)
    await page.clock.run_for(10_100)
    await expect(page.locator("#state-detail")).to_contain_text("1006")
    await expect(page.locator("#facts")).to_contain_text("no pong")
    await page.clock.run_for(5_000)
    await expect(page.locator("body")).to_have_attribute("data-state", "connected")
