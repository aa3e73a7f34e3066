"""The operators' page in a real browser, on two real pods."""

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, ViewportSize, expect

from tests.support.accessibility import axe_script, faults
from tests.support.browser import launched, load
from tests.support.gateway import API_KEY, Client, Gateway, call, token
from tests.support.local_redis import RedisServer
from tests.support.operator import DESKTOP, PHONE, Operator, operator
from tests.support.pods import pods

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

NamedPod = Callable[[str], Awaitable[Gateway]]

ROOMS = """
[[rooms]]
pattern = "chat.*"
presence = true

[[rooms]]
pattern = "flood.*"
slow = "drop_oldest"
"""
READER = "the-key-of-somebody-who-reads-log-of-more-than-32-bytes"
LOOKER = "the-key-of-somebody-who-may-look-of-more-than-32-bytes"
KEYS = f"""
[[keys]]
name = "reader"
sha256 = "{hashlib.sha256(READER.encode()).hexdigest()}"
scopes = {{ read = ["log.*"] }}

[[keys]]
name = "looker"
sha256 = "{hashlib.sha256(LOOKER.encode()).hexdigest()}"
scopes = {{ read = ["**", "@me"] }}
"""
# With what is there in each of them, when the tests before have run.
VIEWS = (
    *("pods", "rooms", "room=chat.acts", "user=alice", "connection=gone"),
    *("slow", "closes", "gaps", "refused", "drains", "webhooks"),
)
# Those that differ on a phone, where tables become cards.
ON_A_PHONE = ("pods", "user=alice", "closes")
# A slow client is found after little, and a drain takes long enough to be seen.
SETTINGS = {"send_buffer_bytes": 65536, "message_rate": 0, "message_bytes_rate": 0, "drain_window": 2.0}
# In milliseconds. The machine may be busy.
expect.set_options(timeout=15_000)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with launched(chromium) as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def new_pod(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NamedPod]:
    """Yields a function that makes a pod with a name, one of the gateway that all tests share."""
    folder = tmp_path_factory.mktemp("fleet")
    keys = folder / "keys.toml"
    keys.write_text(KEYS)
    async with pods(redis, folder, ROOMS) as make:

        async def named(name: str) -> Gateway:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("POD_NAME", name)
                return await make(**SETTINGS, api_keys_file=str(keys))

        yield named


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(new_pod: NamedPod) -> list[Gateway]:
    """Two pods."""
    return [await new_pod("pod-one"), await new_pod("pod-two")]


@pytest_asyncio.fixture(loop_scope="module")
async def someone(browser: Browser, fleet: list[Gateway]) -> AsyncIterator[Operator]:
    """An operator at the first pod."""
    async with operator(browser, fleet[0]) as someone:
        yield someone


async def test_the_page_is_open_and_holds_no_data(fleet: list[Gateway]) -> None:
    """It is served without a key, with a policy that lets it ask its own origin only; other methods are refused."""
    async with aiohttp.ClientSession(fleet[0].internal) as session:
        async with session.get("/ops") as answer:
            page, headers = await answer.text(), answer.headers
        assert answer.status == 200
        policy = dict(each.strip().split(" ", 1) for each in headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert {policy[each] for each in ("script-src", "style-src", "connect-src", "img-src")} == {"'self'"}
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "http:" not in page
        assert "https:" not in page
        async with session.post("/ops") as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
        async with session.get("/ops/", allow_redirects=True) as answer:
            assert (answer.status, answer.url.path) == (200, "/ops")
        for name in ("pages.py", "%2e%2e/pages.py", "index.htm"):
            async with session.get(f"/ops/{name}") as answer:
                assert answer.status == 404, name


async def test_the_page_asks_for_all_modules_at_once(someone: Operator) -> None:
    """It names in its head what its scripts import, nothing else, and asks for each once: the network may be slow."""
    await someone.open()
    await expect(someone.page.locator("#fresh")).to_be_visible()
    asked = [request.url.removeprefix(someone.pod.internal) for request in someone.requests if ".js" in request.url]
    named = await someone.page.locator("link[rel=modulepreload]").evaluate_all("all => all.map(each => each.href)")
    assert sorted(asked) == sorted(url.removeprefix(someone.pod.internal) for url in named)
    assert len(set(asked)) == len(asked)


async def test_the_fleet_is_seen_from_any_pod(someone: Operator, fleet: list[Gateway]) -> None:
    """With the key both pods are there, with their connections, and then the rooms with their members."""
    await fleet[1].join("alice", "chat.lobby")
    await someone.open()
    table = someone.page.get_by_role("table", name="Pods")
    await expect(table.get_by_role("row")).to_have_count(3)
    row = table.get_by_role("row", name="pod-two")
    await expect(row.get_by_role("cell").nth(2)).to_contain_text("1")
    await expect(someone.page.locator("#fresh")).to_contain_text("Data:")
    await someone.page.get_by_role("link", name="Rooms").click()
    await expect(someone.page.get_by_role("row", name="chat.lobby")).to_contain_text("1")
    assert someone.complaints == []


async def test_the_key_is_in_the_memory_of_the_page_only(someone: Operator, caplog: pytest.LogCaptureFixture) -> None:
    """It goes in a header, and is in no address, storage, cookie, field or log line; a reload forgets it."""
    await someone.open("rooms")
    await expect(someone.page.locator("#fresh")).to_be_visible()
    assert await someone.page.evaluate("[...Object.values(localStorage), ...Object.values(sessionStorage)]") == []
    assert await someone.page.context.cookies() == []
    assert await someone.page.evaluate("indexedDB.databases()") == []
    fields = await someone.page.evaluate("[...document.querySelectorAll('input')].map((each) => each.value).join()")
    assert API_KEY not in fields + await someone.page.content() + someone.page.url
    asked = [request for request in someone.requests if "/v1/" in request.url]
    assert asked
    assert all(request.headers["authorization"] == f"Bearer {API_KEY}" for request in asked)
    assert [request.url for request in someone.requests if API_KEY[:12] in request.url] == []
    assert [request.url for request in someone.requests if not request.url.startswith(someone.pod.internal)] == []
    await someone.page.reload()
    await expect(someone.page.get_by_label("The API key of this gateway")).to_be_focused()
    assert API_KEY not in caplog.text
    await someone.unlock()
    await expect(someone.page.locator("#view-title")).to_have_text("Rooms")
    await someone.page.get_by_role("button", name="Forget the key").click()
    await expect(someone.page.locator("#view")).to_be_hidden()
    await expect(someone.page.locator("#view-body")).to_be_empty()


async def test_a_wrong_key_is_explained(someone: Operator) -> None:
    """An unknown key, and a text that can be none, are said at the field; one that lacks a scope names the scope."""
    await someone.open(key="wrong-but-long-enough-to-be-an-api-key")
    error = someone.page.locator("#gate-error")
    await expect(error).to_contain_text("the API key is unknown")
    await someone.unlock("a key with a\ttab in it, and more than 32 bytes")
    await expect(error).to_contain_text("This is no API key")
    await someone.unlock(READER)
    await expect(someone.page.locator("#stale")).to_contain_text("'reader' lacks the scope read for **")


async def test_old_data_stays_and_is_marked(someone: Operator, fleet: list[Gateway]) -> None:
    """Without a network the page keeps what it shows and says from when it is; with it, it goes on."""
    await someone.open()
    rows = someone.page.get_by_role("table", name="Pods").get_by_role("row")
    await expect(rows).to_have_count(3)
    await someone.page.context.set_offline(True)
    await expect(someone.page.locator("#stale")).to_contain_text("The gateway cannot be asked")
    await expect(someone.page.locator("#stale")).to_contain_text("What you see is from")
    await expect(someone.page.locator("#fresh")).to_contain_text("Old data:")
    await expect(rows).to_have_count(3)
    await someone.page.context.set_offline(False)
    await expect(someone.page.locator("#stale")).to_be_hidden()
    await expect(someone.page.locator("#fresh")).to_contain_text("Data:")


async def test_an_operator_finds_that_a_user_was_refused(someone: Operator, fleet: list[Gateway]) -> None:
    """A user whose token lacks the room: the view says that it is not in the room, and that it was refused, and why."""
    alice = await fleet[1].join("alice", "chat.lobby", rooms={"chat.*": "rw"})
    for _ in range(3):
        assert (await alice.ask({"type": "join", "room": "log.a"}))["type"] == "error"
    await someone.open("user=alice")
    found = someone.page.locator(".findings")
    await expect(found).to_contain_text("A request about log.a was refused as forbidden")
    await expect(found).to_contain_text("3 times")
    await someone.page.get_by_label("Room that it should hear").fill("log.a")
    await expect(found).to_contain_text("No connection of alice is in log.a.")
    await someone.page.get_by_label("Room that it should hear").fill("chat.lobby")
    await expect(found).to_contain_text("Nothing stands in the way")
    assert someone.complaints == []


async def test_an_operator_finds_that_a_user_never_joined(someone: Operator, fleet: list[Gateway]) -> None:
    """A user in no room: the view says so, and that nothing was refused."""
    await fleet[0].connect("bob/with#odd?name")
    await someone.open(f"user={quote('bob/with#odd?name', safe='')}")
    found = someone.page.locator(".findings")
    await expect(found).to_contain_text("is in no room")
    await someone.page.get_by_label("Room that it should hear").fill("chat.lobby")
    await expect(found).to_contain_text("it may not have asked to join")


async def test_an_operator_finds_that_a_user_was_revoked(someone: Operator, fleet: list[Gateway]) -> None:
    """A user whose tokens were revoked has no connection, and the view says how the last one ended."""
    carol = await fleet[1].connect("carol", iat=1)
    await call(fleet[0], "POST", "/v1/revocations", b'{"user": "carol"}')
    assert (await carol.ended()).code == 4403
    await someone.open("user=carol")
    await expect(someone.page.locator(".findings")).to_contain_text("carol has no connection.")
    await expect(someone.page.locator(".findings")).to_contain_text("4403 (access revoked)")


async def test_an_operator_finds_that_a_user_reads_too_slowly(someone: Operator, fleet: list[Gateway]) -> None:
    """A client that does not read is among the slow readers, and its user's view says which room it misses."""
    dave = await fleet[1].join("dave", "flood.a")
    dave.reader._transport.pause_reading()  # type: ignore[attr-defined]
    body = json.dumps({"payload": "x" * 40_000}).encode()
    await someone.open("slow")
    row = someone.page.get_by_role("table", name="Slow readers").get_by_role("row").filter(has_text="dave")
    for number in range(400):
        await call(fleet[0], "POST", "/v1/rooms/flood.a/messages", body)
        if number % 20 == 0 and (await call(fleet[0], "GET", "/v1/slow"))[1]["connections"]:
            break
    await expect(row).to_contain_text("misses 1 room")
    await row.get_by_role("link", name="dave").click()
    await expect(someone.page.locator(".findings")).to_contain_text("reads too slowly, and misses messages of flood.a")
    await dave.close()


async def test_who_was_turned_away_is_seen_with_the_cause(someone: Operator, fleet: list[Gateway]) -> None:
    """A request to connect with an expired token is in the view Refused, with the reason of the gateway."""
    assert (await Client.open_or_refused(fleet[1].port, token("erin", exp=1))).status == 401
    await someone.open("refused")
    causes = someone.page.get_by_role("table", name="By cause")
    await expect(causes).to_contain_text("turned away: 401 bad_token")
    await expect(causes).to_contain_text("expired")


async def test_frames_are_seen_as_they_go(someone: Operator, fleet: list[Gateway]) -> None:
    """Of a connection what it sends and gets, without payloads where no setting shows them; it stops on request."""
    frank = await fleet[1].join("frank", "chat.watched")
    listed: Any = (await call(fleet[0], "GET", "/v1/users/frank/connections"))[1]["connections"]
    await someone.open(f"connection={listed[0]['id']}")
    await expect(someone.page.get_by_role("row", name="chat.watched")).to_be_visible()
    await someone.page.get_by_role("button", name="Watch its frames").click()
    await expect(someone.page.get_by_text("Watching on 1 pod.")).to_be_visible()
    await call(fleet[0], "POST", "/v1/rooms/chat.watched/messages", b'{"payload": "a secret of two"}')
    await frank.say({"type": "join", "room": "chat.other"})
    frames = someone.page.get_by_role("list", name="Frames, newest first").get_by_role("listitem")
    await expect(frames.filter(has_text="message")).to_contain_text("chat.watched")
    await expect(frames.filter(has=someone.page.get_by_text("join", exact=True))).to_contain_text("chat.other")
    assert "a secret of two" not in await someone.page.content()
    await someone.page.get_by_role("button", name="Stop watching").click()
    await expect(someone.page.get_by_text("Stopped.")).to_be_visible()
    assert someone.complaints == []
    await frank.close()
    await expect(someone.page.get_by_text("No pod has this connection any more")).to_be_visible()


async def test_actions_say_what_will_happen_and_do_it(someone: Operator, fleet: list[Gateway]) -> None:
    """Publish, remove, disconnect and revoke ask first, with how many they are about; Cancel does nothing."""
    one, two = await fleet[0].join("gina", "chat.acts"), await fleet[1].join("gina", "chat.acts")
    page, dialog = someone.page, someone.page.get_by_role("dialog")
    await someone.open("room=chat.acts")
    await expect(page.get_by_role("row", name="gina")).to_contain_text("2")
    await page.get_by_role("button", name="Publish…").click()
    await expect(dialog).to_contain_text("2 members of chat.acts will get this message")
    await dialog.get_by_label("Payload, as JSON").fill("{broken")
    await dialog.get_by_role("button", name="Publish").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("This is no JSON")
    await dialog.get_by_label("Payload, as JSON").fill('{"text": "hello"}')
    await someone.agree("Publish")
    for client in (one, two):
        assert (await client.hear("broadcast"))["payload"] == {"text": "hello"}
    await page.get_by_role("button", name="Remove gina from chat.acts").click()
    await dialog.get_by_role("button", name="Cancel").click()
    assert await one.silent()
    await page.get_by_role("button", name="Remove gina from chat.acts").click()
    await someone.agree("Remove")
    await expect(page.locator("#said")).to_have_text("Removed 2 connections of gina from chat.acts.")
    assert (await one.hear("left"))["payload"] == {"reason": "removed"}
    await someone.go("user=gina")
    await expect(page.get_by_role("row", name="in no room")).to_have_count(2)
    await page.get_by_role("button", name="Disconnect…").first.click()
    await expect(dialog).to_contain_text("2 connections of gina will end with 4403")
    await someone.agree("Disconnect")
    assert [(await client.ended()).code for client in (one, two)] == [4403, 4403]
    await expect(page.locator(".findings")).to_contain_text("gina has no connection.")
    await page.get_by_role("button", name="Revoke its tokens…").click()
    await expect(dialog).to_contain_text("0 connections will end with 4403")
    await someone.agree("Revoke")
    assert (await Client.open_or_refused(fleet[0].port, token("gina", iat=1))).status == 401
    assert someone.complaints == []


async def test_a_key_that_only_reads_changes_nothing(someone: Operator, fleet: list[Gateway]) -> None:
    """It sees each view; an action is refused in its dialog, which names the missing scope and stays open."""
    await someone.open("pods", LOOKER)
    await someone.page.get_by_role("button", name="Drain pod-two").click()
    dialog = someone.page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Drain", exact=True).click()
    await expect(dialog.get_by_role("alert")).to_contain_text("'looker' lacks the scope manage for **")
    await someone.page.keyboard.press("Escape")
    await expect(someone.page.get_by_role("button", name="Drain pod-two")).to_be_focused()
    assert (await fleet[1].probe("/readyz"))[0] == 200


async def test_the_keyboard_reaches_everything(someone: Operator) -> None:
    """The first stop is the way past the head; from there Tab reaches the first action, and Enter opens its dialog."""
    await someone.open("pods")
    await expect(someone.page.get_by_role("button", name="Drain pod-one")).to_be_visible()
    await someone.page.locator("#skip").focus()
    await someone.page.keyboard.press("Enter")
    await expect(someone.page.locator("#main")).to_be_focused()
    await someone.page.keyboard.press("Tab")
    await expect(someone.page.get_by_role("button", name="Drain pod-one")).to_be_focused()
    await someone.page.keyboard.press("Enter")
    await expect(someone.page.get_by_role("dialog", name="Drain pod-one")).to_be_visible()
    assert "#pods" in someone.page.url


async def test_an_incomplete_answer_is_said(someone: Operator) -> None:
    """Where a pod did not answer, the view says so, and shows what there is."""

    async def incomplete(route: Route) -> None:
        answer = await route.fetch()
        await route.fulfill(response=answer, json=await answer.json() | {"complete": False})

    await someone.page.route("**/v1/info", incomplete)
    await someone.open("pods")
    await expect(someone.page.get_by_text("Not every pod answered.")).to_be_visible()
    await expect(someone.page.get_by_role("row", name="pod-one")).to_be_visible()


async def test_a_hidden_page_asks_for_nothing(someone: Operator) -> None:
    """While the tab is hidden no request goes out; when it is seen again, one goes at once."""
    await someone.page.clock.install()
    await someone.open("pods")
    await expect(someone.page.locator("#fresh")).to_be_visible()
    await hide(someone.page, hidden=True)
    before = len(someone.requests)
    await someone.page.clock.run_for(60_000)
    assert len(someone.requests) == before
    async with someone.page.expect_request("**/v1/info"):
        await hide(someone.page, hidden=False)


async def hide(page: Page, *, hidden: bool) -> None:
    """Does what a browser does when its user goes to another tab, and comes back."""
    script = """(hidden) => {
        Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    await page.evaluate(script, hidden)


async def test_hostile_names_stay_text(someone: Operator, fleet: list[Gateway]) -> None:
    """Markup in the name of a user is shown as text, in every view that names it."""
    hostile = "<img src=x onerror=\"document.title='taken'\">"
    mallory = await fleet[0].join(hostile, "chat.odd", rooms={"chat.*": "rw"})
    await mallory.ask({"type": "join", "room": "log.a"})
    await someone.open(f"user={quote(hostile)}")
    for view in ("room=chat.odd", "refused", f"user={quote(hostile)}"):
        await someone.go(view)
        await expect(someone.page.get_by_role("link", name=hostile).first).to_be_visible()
        assert await someone.page.locator("main img").count() == 0
    assert await someone.page.title() != "taken"
    assert someone.complaints == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def axe() -> Path:
    return await axe_script()


@pytest.mark.parametrize(("size", "dark"), [(DESKTOP, False), (PHONE, True)], ids=["desktop-light", "phone-dark"])
async def test_everybody_can_use_each_view(
    browser: Browser, fleet: list[Gateway], axe: Path, size: ViewportSize, *, dark: bool
) -> None:
    """Axe finds no violation, and nothing sticks out, while the page is locked and in each view."""
    async with operator(browser, fleet[0], size, dark=dark, bypass_csp=True) as someone:
        await load(someone.page, f"{fleet[0].internal}/ops")
        assert await faults(someone.page, axe) == []
        await someone.unlock()
        for view in VIEWS if size is DESKTOP else ON_A_PHONE:
            await someone.go(view)
            await expect(someone.page.locator("#fresh")).to_be_visible()
            assert await faults(someone.page, axe) == [], view
        await someone.go("pods")
        await someone.page.get_by_role("button", name="Shed connections of pod-one").click()
        assert await faults(someone.page, axe) == []


async def test_a_drain_is_seen_as_it_runs(browser: Browser, new_pod: NamedPod, fleet: list[Gateway]) -> None:
    """The dialog says how many will move; the view shows what is left, and then that the pod has no clients."""
    third = await new_pod("pod-three")
    for name in ("hugo", "ida", "jan"):
        await third.connect(name)
    async with operator(browser, fleet[0]) as someone:
        await someone.open("pods")
        await someone.page.get_by_role("button", name="Shed connections of pod-three").click()
        await expect(someone.page.get_by_role("dialog")).to_contain_text("its 3 connections")
        await someone.page.get_by_role("button", name="Cancel").click()
        await someone.page.get_by_role("button", name="Drain pod-three").click()
        await expect(someone.page.get_by_role("dialog")).to_contain_text("3 connections will be asked to move")
        await someone.agree("Drain")
        await someone.page.get_by_role("navigation").get_by_role("link", name="Drains").click()
        row = someone.page.get_by_role("row", name="pod-three")
        await expect(row).to_contain_text("draining")
        await expect(row).to_contain_text("draining, without clients")
        assert someone.complaints == []
