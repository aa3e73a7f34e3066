"""In development the pages of this machine may connect, on whatever port they are. Elsewhere they may not."""

import aiohttp
import pytest

from forestay.pod.development import Development
from tests.support.gateway import Client, Pod, gateway, token, upgrade

GOOD = token()
OF_THIS_MACHINE = (
    "http://localhost:5173",
    "https://localhost",
    "http://LOCALHOST:3000",
    "http://127.0.0.1:5173",
    "http://127.8.9.10:4173",
    "http://[::1]:5173",
    "http://app.localhost:3000",
    "https://a.b.localhost",
)
OF_OTHERS = (
    "https://evil.example",
    "http://localhost.evil.example:5173",
    "http://evillocalhost:5173",
    "http://127.0.0.1.evil.example",
    "http://127.0.0.1@evil.example",
    "http://192.168.0.7:5173",
    "http://[::2]:5173",
    "http://[::1].evil.example",
    "http://[::1]evil.example:5173",
    "http://evil[::1]",
    "http://[::1%evil.example]",
    "http://[fe80::1]:5173",
    "http://0.0.0.0:5173",
    "http://2130706433",
    "http://*.localhost",
    "http://.example",
    "capacitor://localhost",
    "ws://localhost:5173",
    "file://",
    "null",
)
# What the tests ask needs no file of rooms, and each way in has its own answer to a caller that may connect.
WAYS_IN = {"/stream?room=log.a": 200, "/rooms/log.a/history": 200, "/socket.io/?EIO=4&transport=polling": 200}


async def answers(pod: Pod, origin: str) -> dict[str, tuple[int, str | None]]:
    """What each way in answers to a page of `origin`: the status, and the origin that may read the answer."""
    client = await Client.request(pod.port, upgrade(GOOD, Origin=origin))
    await client.close()
    found: dict[str, tuple[int, str | None]] = {"/ws": (client.status, None)}
    headers = {"Origin": origin, "Authorization": f"Bearer {GOOD}"}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{pod.port}", headers=headers) as session:
        for path in WAYS_IN:
            async with session.get(path) as response:
                found[path] = response.status, response.headers.get("Access-Control-Allow-Origin")
    return found


async def test_in_development_pages_of_this_machine_come_in_by_every_way() -> None:
    """WebSocket, event stream, request and Socket.IO take them on any port, and they can read the answers."""
    async with gateway(Development(), socketio=True) as pod:
        for origin in OF_THIS_MACHINE:
            found = await answers(pod, origin)
            assert found.pop("/ws")[0] == 101, origin
            assert found == {path: (status, origin) for path, status in WAYS_IN.items()}, origin


async def test_in_development_no_other_page_comes_in() -> None:
    """Names and addresses that only look like the loopback are refused, as is every page that is not of the web."""
    async with gateway(Development(), socketio=True) as pod:
        for origin in OF_OTHERS:
            assert {status for status, _ in (await answers(pod, origin)).values()} == {403}, origin


@pytest.mark.parametrize("listed", ["", "https://app.example.com"])
async def test_outside_of_development_the_loopback_is_like_any_other_origin(listed: str) -> None:
    """Whatever the list is, a page of this machine on another port is refused."""
    async with gateway(allowed_origins=listed, socketio=True) as pod:
        for origin in OF_THIS_MACHINE:
            assert {status for status, _ in (await answers(pod, origin)).values()} == {403}, origin


async def test_in_development_a_list_holds_besides() -> None:
    """The pages of the list may connect, those of this machine too, and a refusal names both."""
    async with gateway(Development(), allowed_origins="https://app.example.com") as pod:
        for origin, status in {"https://app.example.com": 101, OF_THIS_MACHINE[0]: 101, OF_OTHERS[0]: 403}.items():
            client = await Client.request(pod.port, upgrade(GOOD, Origin=origin))
            assert client.status == status
            if status == 403:
                assert "https://app.example.com" in client.body.decode()
                assert "the pages of this machine, such as http://localhost:5173" in client.body.decode()
            await client.close()
