"""No error, log line or repr of the client has a secret in it: each failure is driven with a canary for a secret."""

import asyncio
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from forestay_client import Client, ForestayError, Options, UnauthorizedError
from tests.clients.python.refusing import answer, problem, refusing
from tests.clients.python.strict import strict
from tests.support.gateway import PATIENCE, gateway, token

CANARY = "CANARY-7f3c9e51d2"


class Words:
    """Everything that somebody could read."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def of(self, said: object) -> None:
        self.seen += [str(said), repr(said)]
        if isinstance(said, BaseException):
            self.seen += traceback.format_exception(said)
        for part in ("error", "detail", "reason", "message"):
            if (found := getattr(said, part, None)) is not None and found is not said:
                self.of(found)


@pytest.fixture
def words(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[Words]:
    """Collects the words of a test, with those of all loggers at DEBUG, and looks through them at the end."""
    caplog.set_level(logging.DEBUG)
    found = Words()
    yield found
    out, error = capfd.readouterr()
    # The servers of these tests run in this process too, and log what they were sent.
    records = [record for record in caplog.get_records("call") if record.name != "websockets.server"]
    logged = [caplog.handler.format(record) for record in records]
    for text in (*found.seen, *logged, out, error):
        assert CANARY not in text


async def tried(words: Words, url: str, get_token: Callable[[], Any], **options: Any) -> None:
    """Connect, join and publish until the client has ended, or has told twice that it tries again."""
    told = asyncio.Event()
    retries = 0

    def waits(waiting: object) -> None:
        nonlocal retries
        words.of(waiting)
        retries += 1
        if retries == 2:
            told.set()

    try:
        client = Client(url, get_token=get_token, timeout=0.2, max_delay=0.01, connect_timeout=1.0, **options)
    except (ForestayError, TypeError) as error:
        words.of(error)
        return
    client.on("waiting", waits)
    client.on("state", words.of)
    client.on("error", words.of)
    client.connect()
    room = client.room("a")
    work = [asyncio.ensure_future(one) for one in (client.ready(), room.join(), room.publish(1))]
    ending = asyncio.ensure_future(told.wait())
    await asyncio.wait({*work, ending}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait({ending}, timeout=0.3)
    ending.cancel()
    words.of(client)
    words.of(client.error)
    words.of(room)
    await client.disconnect()
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        words.of(outcome)


def tokens() -> list[Callable[[], Any]]:
    """What an application may do wrong in `get_token`."""

    def raises(error: Exception) -> Callable[[], str]:
        def get_token() -> str:
            raise error

        return get_token

    async def awaited() -> str:
        raise OSError(f"https://user:{CANARY}@auth.example.com/?access_token={CANARY}")

    class Token:
        def __repr__(self) -> str:
            return CANARY

    return [
        lambda: f"{CANARY}\n",
        lambda: f"{CANARY}\n{CANARY}",
        lambda: f"{CANARY}\r\nX-Evil: 1",
        lambda: f" {CANARY}",
        lambda: f"{CANARY}é",
        CANARY.encode,
        lambda: {"token": CANARY},
        Token,
        raises(RuntimeError(CANARY)),
        raises(UnauthorizedError(CANARY)),
        awaited,
        # What can be sent, and means nothing to a gateway.
        lambda: CANARY,
        lambda: token(CANARY, exp=time.time() - 60) + CANARY,
    ]


@pytest.mark.parametrize("number", range(len(tokens())))
async def test_a_token_is_in_no_words(words: Words, number: int) -> None:
    """A token with a newline, an object for a token, a `get_token` that raises with the token in its words."""
    async with gateway() as pod:
        await tried(words, pod.url, tokens()[number])


ANSWERS = {
    "400": problem(400, "bad_message", f"what is {CANARY}?"),
    "401": problem(401, "bad_token", f"{CANARY} is no token"),
    "403": problem(403, "forbidden", f"not with {CANARY}"),
    "404": answer(404, CANARY),
    "503": problem(503, "unavailable", f"{CANARY}, later", Retry_After="0"),
    "title": answer(502, f'{{"title": "{CANARY}"}}'),
    "status line": f"HTTP/1.1 500 {CANARY}\r\nContent-Length: 0\r\n\r\n".encode(),
    "no http": f"-ERR {CANARY}\r\n".encode(),
    "bad header": f"HTTP/1.1 101 Yes\r\n{CANARY}\r\n\r\n".encode(),
    "bad upgrade": f"HTTP/1.1 101 Yes\r\nUpgrade: {CANARY}\r\nConnection: {CANARY}\r\n\r\n".encode(),
    "redirect": answer(302, "", {"Location": f"http://user:{CANARY}@127.0.0.1:9/?token={CANARY}"}),
    "redirect to nowhere": answer(302, "", {"Location": f"ws://user:{CANARY}@127.0.0.1:9/?token={CANARY}"}),
    "bad length": answer(500, "", {"Content_Length": CANARY}),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_what_a_server_quotes_is_in_no_words(words: Words, name: str) -> None:
    """A server or a proxy that quotes the token in its answer has it in no error of the client."""
    async with refusing(ANSWERS[name]) as server:
        await tried(words, f"{server.url}?access_token={CANARY}", lambda: CANARY)


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{CANARY}@a.invalid/ws?access_token={CANARY}",
        f"user:{CANARY}@a.invalid/ws?access_token={CANARY}",
        f"ws://user:{CANARY}@/ws",
        f"ws://a.invalid:{CANARY}/ws",
        f"ws://a.invalid/ws#{CANARY}",
        f"ws://[{CANARY}/ws",
        f"ws://user:{CANARY}@a.invalid/ws?access_token={CANARY}",
        f"wss://user:{CANARY}@127.0.0.1:9/ws?access_token={CANARY}",
        f"ws://{CANARY * 10}.invalid/ws",
        CANARY,
    ],
)
async def test_an_address_is_in_no_words(words: Words, url: str) -> None:
    """A URL with a password or a token is in no error, whether it can be read or not."""
    await tried(words, url, lambda: "token", proxy=None)


@pytest.mark.parametrize("proxy", [f"http://user:{CANARY}@127.0.0.1:9", f"socks5://user:{CANARY}@127.0.0.1:9", CANARY])
async def test_a_proxy_is_in_no_words(words: Words, proxy: str) -> None:
    """A proxy's password is in no error, and not in the repr of the options."""
    words.of(Options(proxy=proxy))
    await tried(words, "ws://127.0.0.1:9/ws", lambda: "token", proxy=proxy)


async def test_a_proxy_that_quotes_is_in_no_words(words: Words) -> None:
    """What a proxy answers is not repeated either."""
    async with refusing(answer(407, CANARY), path="") as server:
        proxy = server.url.replace("ws://", f"http://user:{CANARY}@")
        await tried(words, "ws://127.0.0.1:9/ws", lambda: CANARY, proxy=proxy)


@pytest.mark.parametrize(
    "speak",
    [
        lambda room: room.publish({CANARY: float("nan")}),
        lambda room: room.publish([CANARY, object()]),
        lambda room: room.publish({(CANARY,): 1}),
        lambda room: room.publish(f"{CANARY}\ud800"),
        lambda room: room.publish(CANARY * 1000),
        lambda room: room.publish(1, key=CANARY * 20),
        lambda room: room.send(7, CANARY),
        lambda room: room.send(7, [CANARY]),
        lambda room: room.send(CANARY, b""),
    ],
)
async def test_a_payload_is_in_no_words(words: Words, speak: Callable[[Any], Awaitable[object]]) -> None:
    """What cannot be sent is not repeated by the error that refuses it."""
    async with strict(message_bytes=1024) as there, Client(there.url, get_token=lambda: CANARY) as client:
        try:
            await speak(client.room("a"))
        except (ForestayError, TypeError) as error:
            words.of(error)
        else:
            raise AssertionError("it was sent")


async def test_a_living_connection_says_no_secret(words: Words) -> None:
    """Messages that are not understood, a handshake that works and a renewal that fails leave no secret in the log."""
    given = iter([token(CANARY, exp=time.time() + 1.2) + CANARY, f"{CANARY}\n", CANARY.encode()])

    def get_token() -> Any:
        for one in given:
            return one
        raise RuntimeError(CANARY)

    async with strict() as there:
        client = Client(there.url, get_token=get_token, refresh_margin=1.1, max_delay=0.01)
        client.on("waiting", words.of)
        async with client:
            for odd in (f'{{"type": "{CANARY}"', f'{{"type": "broadcast", "room": ["{CANARY}"]}}', f'"{CANARY}"'):
                await there.connections[0].send(odd)
            await there.connections[0].send(f'{{"type": "reconnect", "payload": {{"after_ms": "{CANARY}"}}}}')
            await client.room("a").publish(1)
            await asyncio.sleep(0.5)
            words.of(client)
