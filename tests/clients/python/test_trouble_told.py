"""Where there is no connection, the client says why: by an error with a code, or by a state that can be shown."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from forestay_client import (
    AddressError,
    Client,
    ClientState,
    DisconnectedError,
    StateChange,
    UnauthorizedError,
    Waiting,
)
from tests.clients.python.refusing import answer, problem, refusing
from tests.clients.python.strict import strict
from tests.support.gateway import PATIENCE, gateway, token


async def outcome(url: str, get_token: Callable[[], Any] = lambda: token("alice"), **options: Any) -> DisconnectedError:
    """What `ready` and `join` raise, which is the same."""
    client = Client(url, get_token=get_token, **options)
    states: list[StateChange] = []
    client.on("state", states.append)
    client.connect()
    joining = asyncio.ensure_future(client.room("a").join())
    with pytest.raises(DisconnectedError) as ended:
        await asyncio.wait_for(client.ready(), PATIENCE)
    with pytest.raises(DisconnectedError) as refused:
        await joining
    assert client.state is ClientState.DISCONNECTED
    assert client.error is ended.value is refused.value is states[-1].error
    return ended.value


async def waiting(url: str, get_token: Callable[[], Any] = lambda: token("alice"), **options: Any) -> Waiting:
    """What the client says while it goes on trying."""
    client = Client(url, get_token=get_token, min_delay=0.2, max_delay=0.2, **options)
    told: asyncio.Future[Waiting] = asyncio.get_running_loop().create_future()
    client.on("waiting", lambda one: None if told.done() else told.set_result(one))
    client.connect()
    try:
        found = await asyncio.wait_for(told, PATIENCE)
        assert client.state is ClientState.CONNECTING
        assert client.error is found.error
        return found
    finally:
        await client.disconnect()


@pytest.mark.parametrize(
    "url", ["localhost:8080/ws", "//localhost/ws", "ws:///ws", "ws://[::1/ws", "ws://a:port/ws", ""]
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    """A URL without a scheme, a host or a port that can be read is refused when the client is made."""
    with pytest.raises(AddressError, match=r"an address such as wss://example\.com/ws") as refused:
        Client(url, get_token=token)
    assert (refused.value.code, isinstance(refused.value, ValueError)) == ("bad_url", True)


@pytest.mark.parametrize(("url", "instead"), [("http://a/ws", "ws:// in place"), ("https://a/ws", "wss:// in place")])
def test_an_address_of_a_web_page_is_refused_with_the_remedy(url: str, instead: str) -> None:
    """For http:// and https:// the error says what to write instead."""
    with pytest.raises(AddressError, match=instead):
        Client(url, get_token=token)


@pytest.mark.parametrize("url", [None, b"ws://a/ws", 7])
def test_a_url_of_another_type_is_refused(url: Any) -> None:
    """What is no text is no URL, and what cannot be called gives no token."""
    with pytest.raises(AddressError):
        Client(url, get_token=token)
    with pytest.raises(AddressError, match="a proxy such as"):
        Client("ws://a/ws", get_token=token, proxy="user:secret@[::1/")
    with pytest.raises(TypeError, match="get_token is a function"):
        Client("ws://a/ws", get_token="eyJ")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "NoneType"),
        (b"eyJ", "bytes"),
        ({"token": "eyJ"}, "dict"),
        (object(), "object"),
        ("", "empty"),
        (" \n", "empty"),
    ],
)
@pytest.mark.parametrize("awaited", [False, True])
async def test_what_is_no_token_ends_the_client(given: object, words: str, *, awaited: bool) -> None:
    """A `get_token` that returns no token ends the client with `bad_token`, and nothing is sent."""

    async def later() -> object:
        return given

    async with refusing(answer(500)) as server:
        ended = await outcome(server.url, later if awaited else lambda: given)
        assert (ended.code, ended.reason, server.requests) == ("bad_token", "bad_token", [])
    assert words in ended.detail


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("<!doctype html>\n<title>502</title>", "it may be a page"),
        ("eyJ.\na.b\n", "character 5 of 8"),
        ("Bearer eyJ", "white space"),
        ("tøken", "ASCII"),
        ("a\0b", "control character"),
    ],
)
async def test_a_text_that_is_no_token_is_told_of_and_asked_again(given: str, words: str) -> None:
    """A server that fails may answer with a page: the client asks for a token again, and says nothing of the page."""
    answers = iter([given, given])
    async with gateway() as pod:
        client = Client(pod.url, get_token=lambda: next(answers, token("alice")), max_delay=0.05)
        told = list[Waiting]()
        client.on("waiting", told.append)
        async with client:
            assert client.error is None
    assert [(one.error.code, one.error.reason) for one in told] == [(1006, "no token")] * 2
    assert words in told[0].error.detail
    assert given not in str(told)


async def test_a_get_token_that_raises_is_told_of_and_asked_again() -> None:
    """While `get_token` raises, the client tries again, and its error says what was raised and where."""
    answers = iter([RuntimeError("no database"), ValueError("still none")])

    def get_token() -> str:
        for error in answers:
            raise error
        return token("alice")

    async with gateway() as pod:
        client, told = Client(pod.url, get_token=get_token, max_delay=0.05), list[Waiting]()
        client.on("waiting", told.append)
        async with client:
            assert client.error is None
    assert [(one.error.code, one.error.reason) for one in told] == [(1006, "no token")] * 2
    assert "get_token raised RuntimeError in test_trouble_told.py, line" in told[0].error.detail


async def test_an_expired_token_is_called_expired() -> None:
    """With an expired token the client stops after a second try, and says that and since when it has expired."""
    calls: list[float] = []

    def get_token() -> str:
        calls.append(time.time())
        return token("alice", exp=time.time() - 3600)

    async with gateway() as pod:
        ended = await outcome(pod.url, get_token)
    assert (ended.code, ended.reason, len(calls)) == (401, "bad_token", 2)
    assert "the token expired 3,600 s ago" in ended.detail


async def test_a_token_that_is_expired_only_here_is_tried() -> None:
    """The gateway's clock decides: a client whose own clock is wrong connects."""
    expired = token("alice", exp=time.time() - 3600)
    async with strict() as there, Client(there.url, get_token=lambda: expired) as client:
        assert client.error is None


@pytest.mark.parametrize("status", [400, 403, 404, 405, 410, 426, 200, 301])
async def test_what_will_always_be_refused_ends_the_client(status: int) -> None:
    """A status that another try does not change ends the client, with what the answer says."""
    async with refusing(problem(status, "forbidden", "the origin may not connect")) as server:
        ended = await outcome(server.url)
        assert (ended.code, ended.reason, ended.detail) == (status, "forbidden", "the origin may not connect")
        assert len(server.requests) == 1
    assert str(ended) == f"disconnected {status} forbidden: the origin may not connect"


async def test_a_path_that_is_wrong_is_called_so() -> None:
    """Another path of a gateway, and another web server, both end the client, and it says that the path is wrong."""
    async with refusing(answer(404, "<html>")) as server:
        assert "its path is usually /ws" in (await outcome(server.url)).detail
    async with gateway() as pod:
        ended = await outcome(pod.url.replace("/ws", "/wss"))
    assert ended.code == 404
    assert "path" in ended.detail


async def test_a_token_that_is_refused_twice_ends_the_client() -> None:
    """After 401 another token is asked for once; then the client ends with the gateway's detail."""
    calls: list[int] = []

    def get_token() -> str:
        calls.append(1)
        return token("alice")

    async with refusing(problem(401, "bad_token", "the audience is another")) as server:
        ended = await outcome(server.url, get_token)
        assert (ended.code, ended.detail, len(calls)) == (401, "the audience is another", 2)


async def test_a_gateway_that_is_full_is_waited_for() -> None:
    """After 503 the client goes on, at the earliest when Retry-After says, and says so meanwhile."""
    async with refusing(problem(503, "unavailable", "the pod is full", Retry_After="1")) as server:
        told = await waiting(server.url)
    assert (told.error.code, told.error.reason, told.error.detail) == (503, "unavailable", "the pod is full")
    assert told.delay >= 1.0


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"-ERR unknown command 'GET'\r\n", "no HTTP"),
        (b"", "no HTTP"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "no WebSocket"),
        (answer(502, "<html>"), "Because"),
    ],
)
async def test_what_is_no_gateway_is_called_so(said: bytes, reason: str) -> None:
    """What answers, and is no gateway, is told by the error that the client shows while it tries again."""
    async with refusing(said) as server:
        assert (await waiting(server.url)).error.reason == reason


async def test_a_port_without_a_listener_is_called_so() -> None:
    """A refused connection and a name that is none are told apart."""
    async with refusing(b"") as server:
        url = server.url
    assert (await waiting(url)).error.reason == "connection refused"
    assert (await waiting("ws://no-such-host.invalid/ws", proxy=None)).error.reason == "host not found"
    proxy = url.replace("ws://", "http://").removesuffix("/ws")
    assert (await waiting("ws://a.invalid/ws", proxy=proxy)).error.reason == "connection refused"


async def test_a_server_without_tls_is_called_so() -> None:
    """With wss:// at a port that speaks no TLS the error says so."""
    async with refusing(answer(400)) as server:
        told = await waiting(server.url.replace("ws://", "wss://"), proxy=None)
    assert told.error.reason in ("no TLS", "no connection", "no HTTP")


async def test_an_address_that_was_right_before_stays_right() -> None:
    """A 404 after the address has led to a gateway comes from a proxy that changes: the client comes back."""
    async with strict() as there:
        client = Client(there.url, get_token=lambda: token("alice"), max_delay=0.05)
        told = list[Waiting]()
        client.on("waiting", told.append)
        async with client:
            there.statuses = [404, 404]
            there.connections[0].transport.abort()
            async with asyncio.timeout(PATIENCE):
                while len(there.connections) < 2:
                    await asyncio.sleep(0.01)
                await client.ready()
    assert [one.error.code for one in told] == [1006, 404, 404]


async def test_no_token_at_all_is_an_error_of_its_own() -> None:
    """UnauthorizedError in `get_token` is what `ready`, `join` and the state then have."""

    def get_token() -> str:
        raise UnauthorizedError

    client = Client("ws://127.0.0.1:9/ws", get_token=get_token)
    client.connect()
    with pytest.raises(UnauthorizedError):
        await asyncio.wait_for(client.ready(), PATIENCE)
    assert isinstance(client.error, UnauthorizedError)
