"""`serve --dev` and `token --dev` as a newcomer uses them: what is printed can be copied, and works."""

import re
import shlex
from pathlib import Path

import aiohttp

from forestay.web import pages
from tests.support.gateway import Client, gateway
from tests.support.process import banner, forestay
from tests.support.repository import ROOT


def value(name: str, printed: str) -> str:
    [found] = re.findall(rf"^  {name} +(.+)$", printed, re.MULTILINE)
    return str(found)


async def test_a_token_for_a_running_gateway_is_one_command_that_is_printed() -> None:
    """The command for carol gives her all rights, and the one for a reader gives none to publish, on any port."""
    async with banner() as printed:
        port = int(value("socket", printed).rpartition(":")[2].removesuffix("/ws"))
        for name, user in {"as carol": "carol", "a reader": "reader"}.items():
            program, *arguments = shlex.split(value(name, printed).replace("python -m forestay", "forestay"))
            assert (program, arguments[:2]) == ("forestay", ["token", "--dev"])
            status, bearer, error = await forestay(*arguments)
            assert (status, error) == (0, "")
            client = await Client.open(port, bearer.strip())
            assert (await client.hear("welcome"))["payload"]["user"] == user
            await client.say({"type": "broadcast", "room": "chat.lobby", "payload": "hello", "id": "1"})
            answer = await client.hear("ack" if user == "carol" else "error")
            assert answer.get("payload", {}).get("code") == (None if user == "carol" else "forbidden")
            await client.close()
    # An open page and a script with the API key outlive a restart.
    async with banner() as again:
        assert all(value(name, again) == value(name, printed) for name in ("a reader", "api key"))
        assert value("page", again).partition("#")[2] == value("page", printed).partition("#")[2]


async def test_keys_that_cannot_be_kept_are_no_obstacle() -> None:
    """The gateway serves with keys of its own and says why; `token --dev` says the same, and fails."""
    nowhere = {"XDG_STATE_HOME": "/dev/null"}
    async with banner(**nowhere) as printed:
        assert "key=" in value("page", printed)
        assert "/dev/null/forestay/dev/jwt-secret: Not a directory" in value("more", printed)
    status, bearer, error = await forestay("token", "--dev", "--user", "carol", **nowhere)
    assert (status, bearer) == (2, "")
    assert "the keys of --dev cannot be had: /dev/null/forestay/dev/jwt-secret" in error


async def test_the_token_of_a_tab_needs_the_key_of_the_link() -> None:
    """Without the key there is none, a page of another origin cannot read one, and outside of --dev nobody mints.

    Nor is there one for a name that no user can have.
    """
    async with banner() as printed, aiohttp.ClientSession() as session:
        page, _, key = value("page", printed).split(" ")[0].partition("#key=")
        for shown, status in {key: 200, key[:-1]: 403, "": 403, "x" * 10_000: 403}.items():
            async with session.post(
                f"{page}demo/token", data=shown, headers={"Origin": "http://localhost:1"}
            ) as answer:
                assert answer.status == status
                assert "Access-Control-Allow-Origin" not in answer.headers
        for user in ("%00", "a%0Ab"):
            async with session.post(f"{page}demo/token?user={user}", data=key) as answer:
                assert answer.status == 400
                assert "control character" in await answer.text()
        async with session.get(f"{page}demo/token") as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "POST")


async def test_the_page_links_to_the_documentation_of_its_tree() -> None:
    """In development `/docs/` leads to each page of the tree. Elsewhere there is no link and no documentation.

    An installed package has no tree around it.
    """
    has_tree = Path(pages.__file__).is_relative_to(ROOT / "app")
    in_development = ("", 200) if has_tree else (" hidden", 404)
    async with banner() as printed, gateway(demo=True) as other, aiohttp.ClientSession() as session:
        page = value("page", printed).partition("#")[0]
        strict = f"http://127.0.0.1:{other.port}/"
        for address, (hidden, status) in ((page, in_development), (strict, (" hidden", 404))):
            async with session.get(address) as answer:
                assert f'id="docs" href="docs/"{hidden}>' in await answer.text()
            async with session.get(f"{address}docs/") as answer:
                assert answer.status == status
        if not has_tree:
            return
        async with session.get(value("docs", printed)) as answer:
            assert "The JavaScript client" in await answer.text()
        if (ROOT / "dist" / "site").exists():
            return
        async with session.get(f"{page}docs/sdk-javascript.md") as answer:
            assert answer.content_type == "text/plain"
            assert (await answer.text()).startswith("# The JavaScript client")
