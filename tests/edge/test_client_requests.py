"""Single HTTP requests of clients: publish, history and presence with a client's own token."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.edge.test_streams import ALL, BEARER, streaming
from tests.support.gateway import Client, call, token
from tests.support.streams import Stream, ask

PAGE = "https://app.example.com"


async def test_a_client_publishes_with_its_token(tmp_path: Path) -> None:
    """Members hear the message with its sender, and the answer has its position. A key makes a repeat safe."""
    async with streaming(tmp_path) as running:
        native = await running.join("bob", "log.a", rooms=ALL)
        for _ in range(2):
            client, answer = await ask(
                running, "POST", "/rooms/log.a/messages", BEARER, b'{"payload": {"a":  1}, "key": "k"}'
            )
            assert (client.status, answer["offset"]) == (200, 1)
        heard = await native.hear("broadcast")
        assert (heard["from"], heard["payload"], heard["offset"]) == ("alice", {"a": 1}, 1)
        _, answer = await ask(running, "POST", "/rooms/log.a/messages", BEARER, b'{"payload": ["x"], "event": "hi"}')
        assert answer["offset"] == 2
        assert (await native.hear("broadcast"))["event"] == "hi"
        client, answer = await ask(
            running,
            "POST",
            "/rooms/log.a/messages?type=7",
            BEARER,
            b"\xff",
            Content_Type="application/octet-stream",
        )
        assert (client.status, answer) == (200, {})
        assert await native.raw() == b"\0\0\0\7\xff"


async def test_a_client_does_not_hear_itself_where_it_says_so(tmp_path: Path) -> None:
    """It names its stream's connection. The connection of another user cannot be left out by that."""
    async with streaming(tmp_path) as running:
        own, other = await Stream.open(running, BEARER, "a"), await Stream.open(running, token("bob", rooms=ALL), "a")
        mine = (await own.hear("welcome"))["payload"]["connection"]
        others = (await other.hear("welcome"))["payload"]["connection"]
        await own.hear("joined")
        await other.hear("joined")
        for number, connection in enumerate((mine, others)):
            body = json.dumps({"payload": number, "echo": False, "connection": connection}).encode()
            assert (await ask(running, "POST", "/rooms/a/messages", BEARER, body))[0].status == 200
        assert (await own.hear("broadcast"))["payload"] == 1
        assert [(await other.hear("broadcast"))["payload"] for _ in range(2)] == [0, 1]


async def test_a_trace_goes_with_the_message(tmp_path: Path) -> None:
    """The context in the headers is that of the message. A malformed one is dropped, and refuses nothing."""
    async with streaming(tmp_path) as running:
        stream = await Stream.open(running, BEARER, "traced")
        await stream.until("joined")
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        for given in (trace, "nonsense"):
            path = "/rooms/traced/messages"
            assert (await ask(running, "POST", path, BEARER, b'{"payload": 1}', traceparent=given))[0].status == 200
        assert [(await stream.hear("broadcast")).get("traceparent") for _ in range(2)] == [trace, None]


async def test_a_client_reads_history_and_presence(tmp_path: Path) -> None:
    """Each page is what a connection would get, with the same rights."""
    async with streaming(tmp_path) as running:
        for number in range(3):
            await call(running, "POST", "/v1/rooms/log.a/messages", b'{"payload": %d}' % number)
        _, page = await ask(running, "GET", "/rooms/log.a/history?limit=2", BEARER)
        assert [one["payload"] for one in page["messages"]] == [1, 2]
        assert page["more"] is True
        _, page = await ask(running, "GET", f"/rooms/log.a/history?epoch={page['epoch']}&since=2", BEARER)
        assert [one["offset"] for one in page["messages"]] == [3]
        await (await Stream.open(running, BEARER, "who.a")).until("joined")
        _, page = await ask(running, "GET", "/rooms/who.a/presence", BEARER)
        assert page["members"] == [{"user": "alice", "connections": 1}]
        few = token("carol", rooms={"log.*": "r", "who.*": "r"})
        for path in ("/rooms/log.a/history", "/rooms/who.a/presence"):
            client, problem = await ask(running, "GET", path, few)
            assert (client.status, problem["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (("POST", "/rooms/a/messages", None, b"{}"), 401, "bad_token"),
        (("POST", "/rooms/a/messages", "rubbish", b"{}"), 401, "bad_token"),
        (("POST", "/rooms/a/messages", token(rooms={"a": "r"}), b'{"payload": 1}'), 403, "forbidden"),
        (("POST", "/rooms/@me/messages", BEARER, b'{"payload": 1}'), 403, "forbidden"),
        (("POST", "/rooms/%40me/messages", BEARER, b'{"payload": 1}'), 403, "forbidden"),
        (("POST", "/rooms/no%20room/messages", BEARER, b'{"payload": 1}'), 400, "invalid_room"),
        (("POST", "/rooms/a%2Fb/messages", BEARER, b'{"payload": 1}'), 400, "invalid_room"),
        (("POST", "/rooms//messages", BEARER, b'{"payload": 1}'), 400, "invalid_room"),
        (("POST", "/rooms/%zz/messages", BEARER, b'{"payload": 1}'), 400, "bad_message"),
        (("POST", "/rooms/a/messages", BEARER, b"{"), 400, "bad_json"),
        (("POST", "/rooms/a/messages", BEARER, b"\xff"), 400, "bad_json"),
        (("POST", "/rooms/a/messages", BEARER, b'{"payload": "\\ud800"}'), 400, "bad_json"),
        (("POST", "/rooms/a/messages", BEARER, b'{"payload": ' + b"[" * 600 + b"]" * 600 + b"}"), 400, "too_deep"),
        (("POST", "/rooms/a/messages", BEARER, b'{"text": 1}'), 400, "bad_message"),
        (("POST", "/rooms/a/messages", BEARER, b'{"payload": 1, "key": "k"}'), 409, "key_needs_history"),
        (("POST", "/rooms/a/messages", BEARER, b'{"payload": [1], "event": "connect"}'), 400, "bad_message"),
        (("POST", "/rooms/a/messages", BEARER, b'{"payload": [1], "event": "message"}'), 400, "bad_message"),
        (("POST", "/rooms/a/messages", BEARER, b'"' + b"x" * 70_000 + b'"'), 413, "too_large"),
        (("GET", "/rooms/a/messages", BEARER, None), 405, "not_found"),
        (("DELETE", "/rooms/log.a/history", BEARER, None), 405, "not_found"),
        (("GET", "/rooms/a/members", BEARER, None), 404, "not_found"),
        (("GET", "/rooms/a/b/history", BEARER, None), 404, "not_found"),
        (("GET", "/rooms/log.a/history?limit=0", BEARER, None), 400, "bad_message"),
        (("GET", "/rooms/log.a/history?since=1", BEARER, None), 400, "bad_message"),
        (("GET", "/rooms/a/history", BEARER, None), 403, "forbidden"),
    ],
)
async def test_a_refusal_says_what_is_wrong(
    tmp_path: Path, request_: tuple[str, str, str | None, bytes | None], status: int, code: str
) -> None:
    """The answer is a problem document, and a page of an allowed origin can read it."""
    async with streaming(tmp_path, allowed_origins=[PAGE]) as running:
        client, problem = await ask(running, *request_, Origin=PAGE)
        assert (client.status, problem["code"]) == (status, code)
        assert client.headers["content-type"] == "application/problem+json"
        assert client.headers["access-control-allow-origin"] == PAGE
        assert client.headers["cache-control"] == "no-store"


async def test_a_page_asks_first(tmp_path: Path) -> None:
    """The preflight allows JSON and a token. A page of another origin gets 403 before its token is looked at."""
    async with streaming(tmp_path, allowed_origins=[PAGE]) as running:
        client, _ = await ask(running, "OPTIONS", "/rooms/a/messages", Origin=PAGE)
        assert (client.status, client.headers["access-control-allow-methods"]) == (204, "POST")
        assert {"Authorization", "Content-Type"} <= set(client.headers["access-control-allow-headers"].split(", "))
        client, problem = await ask(
            running, "POST", "/rooms/a/messages", "rubbish", b"{}", Origin="https://evil.example"
        )
        assert (client.status, problem["code"]) == (403, "forbidden")


async def test_the_rate_of_a_user_holds_for_single_requests(tmp_path: Path) -> None:
    """One user has one rate on a pod. The refusal says when to come again, and another user is not held up."""
    async with streaming(tmp_path, message_rate=1, message_burst=3) as running:
        for _ in range(3):
            assert (await ask(running, "POST", "/rooms/a/messages", BEARER, b'{"payload": 1}'))[0].status == 200
        # A machine that stands still for a second gives a message back.
        while (answer := await ask(running, "POST", "/rooms/a/messages", BEARER, b'{"payload": 1}'))[0].status == 200:
            pass
        client, problem = answer
        assert (client.status, problem["code"]) == (429, "rate_limited")
        assert int(client.headers["retry-after"]) >= 1
        assert 1 <= problem["retry_after_ms"] <= 1000
        other = token("bob", rooms=ALL)
        assert (await ask(running, "POST", "/rooms/a/messages", other, b'{"payload": 1}'))[0].status == 200
        await asyncio.sleep(problem["retry_after_ms"] / 1000)
        assert (await ask(running, "POST", "/rooms/a/messages", BEARER, b'{"payload": 1}'))[0].status == 200


async def test_the_bytes_of_a_body_count_also_where_no_length_is_announced(tmp_path: Path) -> None:
    """A body in chunks has no length before it is there."""
    async with streaming(tmp_path, message_bytes_rate=1000, max_message_bytes=1000) as running:
        chunk = b'{"payload": "' + b"x" * 700 + b'"}'
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(chunk), chunk)
        statuses = []
        for _ in range(8):
            request = b"POST /rooms/a/messages HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
            request += b"Authorization: Bearer %b\r\n\r\n" % BEARER.encode()
            statuses.append((await Client.request(running.port, request + body)).status)
        assert statuses[0] == 200
        assert 429 in statuses
