"""The chat of `examples/chat` in a real browser, with several people."""

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.support.example import Running, Start, sign_in, visitor

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(90)]
EXAMPLES_HERE = ["chat"]


@pytest_asyncio.fixture(loop_scope="session")
async def chat(start: Start) -> Running:
    return await start("chat")


async def say(page: Page, text: str) -> None:
    await page.get_by_label("Message", exact=True).fill(text)
    await page.keyboard.press("Enter")


async def sees(page: Page, text: str, times: int = 1) -> None:
    await expect(page.locator("[role=log]:visible p", has_text=text)).to_have_count(times)


async def test_two_people_talk_and_see_each_other(chat: Running, browser: Browser) -> None:
    """Each sees the other among the people, what the other says under the right name, and who is typing."""
    async with visitor(browser, chat.page) as ada:
        await sign_in(ada.page, "Ada")
        people = ada.page.get_by_role("complementary").get_by_role("listitem")
        await expect(people).to_have_text(["Ada"])
        async with visitor(browser, chat.page) as bob:
            await sign_in(bob.page, "Bob")
            await expect(people).to_have_text(["Ada", "Bob"])
            await say(ada.page, "hello <b>Bob</b>")
            await sees(bob.page, "hello <b>Bob</b>")
            await expect(bob.page.locator("[role=log]:visible p").last).to_contain_text("Ada")
            await bob.page.get_by_label("Message", exact=True).press_sequentially("hi Ada")
            await expect(ada.page.locator("#typing")).to_have_text("Bob is typing…")
            await expect(bob.page.locator("#typing")).to_have_text("")
            await bob.page.keyboard.press("Enter")
            await sees(ada.page, "hi Ada")
            await expect(ada.page.locator("#typing")).to_have_text("")
            await bob.page.get_by_role("button", name="Sign out").click()
            await expect(bob.page.get_by_label("Your name")).to_be_visible()
        await expect(people).to_have_text(["Ada"])


async def test_rooms_are_apart(chat: Running, browser: Browser) -> None:
    """What is said in another room is counted at its button, and read when one goes there."""
    async with visitor(browser, chat.page) as ada, visitor(browser, chat.page) as bob:
        await sign_in(ada.page, "Ada")
        await sign_in(bob.page, "Bob")
        await bob.page.get_by_role("button", name="random").click()
        await say(bob.page, "over here")
        await expect(ada.page.get_by_role("button", name="random (1 new)")).to_be_visible()
        await sees(ada.page, "over here", 0)
        await ada.page.get_by_role("button", name="random").click()
        await sees(ada.page, "over here")
        await expect(ada.page.get_by_role("button", name="random", exact=True)).to_have_attribute(
            "aria-current", "true"
        )


async def test_a_newcomer_reads_what_was_said_before(chat: Running, browser: Browser) -> None:
    """The last messages are there, once each and in their order."""
    async with visitor(browser, chat.page) as ada:
        await sign_in(ada.page, "Ada")
        await ada.page.get_by_role("button", name="help").click()
        for number in range(5):
            await say(ada.page, f"before {number}")
        await sees(ada.page, "before", 5)
    async with visitor(browser, chat.page) as bob:
        await sign_in(bob.page, "Bob")
        await bob.page.get_by_role("button", name="help").click()
        await sees(bob.page, "before", 5)
        texts = await bob.page.locator("[role=log]:visible p span").all_inner_texts()
        assert texts == [f"before {number}" for number in range(5)]


async def test_a_cut_connection_misses_nothing(chat: Running, browser: Browser) -> None:
    """What is said while a page is away comes when it is back, once and in order, and what it says then arrives."""
    async with visitor(browser, chat.page) as ada, visitor(browser, chat.page) as bob:
        await sign_in(ada.page, "Ada")
        await sign_in(bob.page, "Bob")
        await say(bob.page, "meanwhile: still here")
        await sees(ada.page, "meanwhile")
        await ada.cut(away=True)
        await expect(ada.page.locator("#state")).to_contain_text("Connecting.")
        for number in range(3):
            await say(bob.page, f"meanwhile: {number}")
        await sees(bob.page, "meanwhile", 4)
        await say(ada.page, "meanwhile: from away")
        ada.back()
        await expect(ada.page.locator("#state")).to_have_text("You are Ada.")
        for page in (ada.page, bob.page):
            await sees(page, "meanwhile", 5)
            texts = await page.locator("[role=log]:visible p", has_text="meanwhile").locator("span").all_inner_texts()
            assert texts == [f"meanwhile: {each}" for each in ("still here", 0, 1, 2, "from away")]
        # Nobody heard that Ada was away.
        await expect(bob.page.get_by_role("complementary").get_by_role("listitem")).to_have_text(["Ada", "Bob"])


async def test_messages_that_are_loaded_again_are_there_once(chat: Running, browser: Browser) -> None:
    """After a gap the page loads the last messages, of which it has most, and puts what it lacks at its place."""
    async with visitor(browser, chat.page) as ada, visitor(browser, chat.page) as bob:
        await sign_in(ada.page, "Ada")
        await sign_in(bob.page, "Bob")
        for number in range(3):
            await say(bob.page, f"again {number}")
        await sees(ada.page, "again", 3)
        await ada.page.locator("[role=log]:visible p", has_text="again 1").evaluate("line => line.remove()")
        ada.tell({"type": "resync", "room": "chat.general", "payload": {"reason": "bus_lost"}})
        await sees(ada.page, "again", 3)
        texts = await ada.page.locator("[role=log]:visible p", has_text="again").locator("span").all_inner_texts()
        assert texts == ["again 0", "again 1", "again 2"]


async def test_a_page_without_a_session_gets_no_token(chat: Running, browser: Browser) -> None:
    """The backend gives tokens to those who are signed in. A page that is signed in stays so when it is reloaded."""
    async with visitor(browser, chat.page) as ada:
        answer = await ada.page.request.post(f"{chat.page}token")
        assert answer.status == 401
        await ada.page.get_by_label("Your name").fill("<script>")
        await ada.page.keyboard.press("Enter")
        await expect(ada.page.locator("#entrance-error")).to_contain_text("letters, digits")
        ada.complaints.clear()
        await sign_in(ada.page, "Ada")
        await ada.page.reload()
        await expect(ada.page.locator("#state")).to_have_text("You are Ada.")
