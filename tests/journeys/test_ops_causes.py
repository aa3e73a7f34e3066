"""Why one user hears nothing: the operators' page names the cause in words, on three real pods, in a real browser."""

import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.support.browser import launched
from tests.support.gateway import Client, Gateway, call, token, upgrade
from tests.support.hook_receiver import Question, application, http, say
from tests.support.local_redis import RedisServer, Road
from tests.support.operator import Operator, operator
from tests.support.pods import pods
from tests.support.webhook_receiver import SECRET

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

ROOMS = """
[[rooms]]
pattern = "asked.*"
hooks = ["join"]

[[rooms]]
pattern = "chat.*"
"""
PATIENCE = 30_000
"""Milliseconds. The machine may be busy."""


async def refuse(question: Question) -> bytes:
    """The application does not let `banned` connect, and nobody into `asked.closed`."""
    if question.type == "connect":
        banned = question.data["user"] == "banned"
        return say({"allow": False, "code": "banned", "message": "Banned until May."}) if banned else http(204)
    return say({"allow": False, "code": "closed", "message": "Come tomorrow."})


@dataclass
class Fleet:
    """Three pods, an operator at the first one, and the way of the third one to the bus."""

    one: Gateway
    two: Gateway
    three: Gateway
    road: Road
    someone: Operator

    async def finds(self, user: str, *words: str, room: str = "") -> None:
        """The view of the user has these words among the reasons why it may hear nothing."""
        page = self.someone.page
        # A view that is opened anew asks at once.
        await self.someone.go("pods")
        await self.someone.go(f"user={user}")
        await expect(page.locator("#view-title")).to_have_text(f"User {user}")
        await page.get_by_label("Room that it should hear").fill(room)
        for each in words:
            await expect(page.locator(".findings")).to_contain_text(each, timeout=PATIENCE)
        assert self.someone.complaints == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(chromium: str, redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    road = Road(redis.port)
    await road.open()
    async with application(refuse) as app, pods(redis, tmp_path_factory.mktemp("causes"), ROOMS) as make:
        asking = {"hooks_url": app.url, "hooks_secret": SECRET, "hooks_ask": "connect"}
        given = {"presence_lease": 3.0, "message_rate": 5.0, "message_burst": 5, "max_connections_per_user": 2} | asking
        prefix = f"prefix=t{secrets.token_hex(6)}"
        one, two = [await make(**given, bus_url=f"{redis.url}?{prefix}") for _ in range(2)]
        three = await make(**given, bus_url=f"{road.url}?{prefix}")
        async with launched(chromium) as browser, operator(browser, one) as someone:
            await someone.open()
            yield Fleet(one, two, three, road, someone)
    await road.close()


async def test_a_name_is_misspelt(fleet: Fleet) -> None:
    """The client is in a room whose name differs in one letter: that one is named."""
    await fleet.two.join("alice", "chat.loby")
    await fleet.finds(
        "alice", "No connection of alice is in chat.lobby.", "It is in chat.loby: is one", room="chat.lobby"
    )


async def test_its_token_has_no_right(fleet: Fleet) -> None:
    """It asked for the room, and its token does not let it."""
    bob = await fleet.two.connect("bob", rooms={"chat.*": "rw"})
    assert (await bob.ask({"type": "join", "room": "log.a"}))["type"] == "error"
    await fleet.finds(
        "bob", "A request about log.a was refused as forbidden, because its token has no right", room="log.a"
    )


async def test_somebody_took_it_out(fleet: Fleet) -> None:
    """A backend removed it from the room; a new token of another one has no right to it any more."""
    carol = await fleet.two.join("carol", "chat.a")
    assert (await call(fleet.one, "DELETE", "/v1/rooms/chat.a/members/carol"))[0] == 200
    await carol.hear("left")
    await fleet.finds("carol", "was taken out of chat.a", "a backend or an operator wanted it", room="chat.a")
    dora = await fleet.two.join("dora", "chat.a")
    await dora.say({"type": "auth", "payload": {"token": token("dora", rooms={"news.*": "r"})}})
    await dora.hear("left")
    await fleet.finds("dora", "was taken out of chat.a", "its new token has no right to the room")


async def test_its_token_has_expired(fleet: Fleet) -> None:
    """The connection ended with 4401; and one that comes back with the old token is refused, by name."""
    erin = await fleet.two.connect("erin", exp=time.time() + 3)
    assert (await erin.ended()).code == 4401
    await fleet.finds("erin", "erin has no connection.", "4401 (token expired)")
    refused = await Client.request(fleet.two.port, upgrade(token("erin", exp=time.time() - 5)))
    assert refused.status == 401
    await fleet.finds("erin", "requests to connect are refused with 401 (bad_token): token expired: its exp is")
    page = fleet.someone.page
    await fleet.someone.go("refused")
    row = page.get_by_role("table", name="Each of them").get_by_role("row").filter(has_text="token expired")
    await expect(row.get_by_role("link", name="erin")).to_be_visible(timeout=PATIENCE)


async def test_the_application_refused_it(fleet: Fleet) -> None:
    """A hook did not let it connect, by name; another one did not let somebody join."""
    assert (await Client.request(fleet.two.port, upgrade(token("banned")))).status == 403
    await fleet.finds("banned", "refused with 403 (refused_by_application): Banned until May.")
    frank = await fleet.two.connect("frank")
    assert (await frank.ask({"type": "join", "room": "asked.closed"}))["type"] == "error"
    await fleet.finds("frank", "was refused as refused_by_application, because a hook", room="asked.closed")


async def test_it_has_too_many_connections(fleet: Fleet) -> None:
    """One more than it may have was ended, while the others are well."""
    for pod in (fleet.one, fleet.two):
        await pod.connect("hugo")
    third = await Client.open(fleet.two.port, token("hugo"))
    assert (await third.ended()).code == 4409
    await fleet.finds("hugo", "hugo has as many connections as it may have. One more was ended with 4409")


async def test_it_sends_too_much(fleet: Fleet) -> None:
    """What it publishes is refused because of its rate."""
    gina = await fleet.two.join("gina", "chat.b")
    for number in range(20):
        await gina.say({"type": "broadcast", "room": "chat.b", "payload": number, "id": f"{number}"})
    await gina.hear("error")
    await fleet.finds("gina", "was refused as rate_limited, because it sends more than its rate allows", room="chat.b")


async def test_it_was_away(fleet: Fleet) -> None:
    """It came back, and the room keeps nothing: the view says from when to when it was away."""
    henry = await fleet.two.join("henry", "chat.c")
    await henry.close()
    await fleet.finds("henry", "henry has no connection.")
    await fleet.two.join("henry", "chat.c")
    await fleet.finds("henry", "It was away from", "A room without history does not keep", room="chat.c")


async def test_its_page_has_another_origin(fleet: Fleet) -> None:
    """A handshake of a page of another site proves no user. It is named beside a user without a connection."""
    refused = await Client.request(fleet.two.port, upgrade(token("iris"), Origin="https://staging.example.com"))
    assert refused.status == 403
    await fleet.finds(
        "iris", "iris has no connection", "perhaps of iris: refused with 403 (forbidden)", "https://staging.example.com"
    )


async def test_its_pod_has_lost_the_bus(fleet: Fleet) -> None:
    """From another pod it is said that not all pods answer; the pod itself says that it has lost the bus."""
    await fleet.three.join("jack", "chat.d")
    await fleet.finds("jack", "Nothing stands in the way")
    fleet.road.hold()
    fleet.road.cut()
    own = Operator(await fleet.someone.page.context.new_page(), fleet.three)
    await own.open("user=jack")
    await expect(own.page.locator(".findings")).to_contain_text("which has lost the bus", timeout=PATIENCE)
    await expect(fleet.someone.page.locator(".findings")).to_contain_text("lost the bus", timeout=PATIENCE)
    await own.page.close()
    fleet.road.let_go()
