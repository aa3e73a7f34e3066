"""Backends use the HTTP API, and are refused with a code."""

import asyncio
import json
import string
from urllib.parse import quote

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from yarl import URL

from tests.support.gateway import API_KEY, JSON, KEY, Client, call, gateway


async def test_a_backend_publishes_to_a_room_in_json_and_in_binary() -> None:
    """Members get the payload unchanged and without `from`; a binary message starts with its type."""
    async with gateway() as running:
        alice = await running.join("alice", "chat.a")
        assert await call(running, "POST", "/v1/rooms/chat.a/messages", b'{"payload": [1.0,  2]}') == (200, {})
        data = await alice.raw()
        assert b'"payload":[1.0,  2]' in data
        assert b'"from"' not in data
        headers = KEY | {"Content-Type": "application/octet-stream"}
        assert (await call(running, "POST", "/v1/rooms/chat.a/messages?type=258", b"hi", headers))[0] == 200
        assert await alice.raw() == b"\0\0\1\2hi"


async def test_a_backend_publishes_events() -> None:
    """Members get the name and the arguments; a name or a payload that makes no event is refused."""
    async with gateway() as running:
        alice, mine = await running.join("alice", "chat.a"), await running.join("bob", "@me")
        body = b'{"event": "chat message", "payload": ["hi",  1]}'
        for path, client in (("rooms/chat.a", alice), ("users/bob", mine)):
            assert await call(running, "POST", f"/v1/{path}/messages", body) == (200, {})
            assert b'"payload":["hi",  1]' in (data := await client.raw())
            assert json.loads(data)["event"] == "chat message"
        for event, payload in (("disconnect", "[]"), ("a", '"x"'), ("", "[]"), ("forestay:position", "[]")):
            bad = f'{{"event": "{event}", "payload": {payload}}}'.encode()
            for path in ("rooms/chat.a", "users/bob"):
                status, problem = await call(running, "POST", f"/v1/{path}/messages", bad)
                assert (status, problem["code"]) == (400, "bad_message")
        assert await alice.silent()


async def test_a_room_with_any_name_has_its_path() -> None:
    """The percent sign of an escape is escaped once more in a path; the name itself is refused with its right form."""
    async with gateway() as running:
        alice = await running.join("alice", "Z%C3%BCrich%201")
        path = "/v1/rooms/Z%25C3%25BCrich%25201/messages"
        assert await call(running, "POST", path, b'{"payload": 1}') == (200, {})
        assert (await alice.hear("broadcast"))["room"] == "Z%C3%BCrich%201"
        status, problem = await call(running, "POST", "/v1/rooms/Z%C3%BCrich%201/messages", b'{"payload": 1}')
        assert (status, problem["code"]) == (400, "invalid_room")
        assert "send Z%C3%BCrich%201" in str(problem["detail"])
        assert (await call(running, "GET", "/v1/rooms"))[1]["rooms"] == [{"room": "Z%C3%BCrich%201", "members": 1}]


@pytest.mark.parametrize("user", ["alice", "a/b", "100%", "ä ö", "x@example.com", "chat.a", "?&#"])
async def test_a_backend_publishes_to_a_user_with_any_name(user: str) -> None:
    """The name is percent-encoded in the path. Only that user gets the message, in the room `@me`."""
    async with gateway() as running:
        mine, other = await running.join(user, "@me"), await running.join("other", "@me")
        status, _ = await call(running, "POST", f"/v1/users/{quote(user, safe='')}/messages", b'{"payload": "you"}')
        assert status == 200
        assert (await mine.hear("broadcast"))["room"] == "@me"
        assert await other.silent()


async def test_a_users_connections_are_listed_and_ended() -> None:
    """The list shows their rooms. They end with 4403, and connections of other users stay."""
    async with gateway() as running:
        mine, other = await running.join("a/b", "chat.a"), await running.join("other", "chat.a")
        status, listed = await call(running, "GET", "/v1/users/a%2Fb/connections")
        assert status == 200
        assert [one["rooms"] for one in listed["connections"]] == [["chat.a"]]  # type: ignore[attr-defined]
        assert await call(running, "DELETE", "/v1/users/a%2Fb/connections") == (200, {"ended": 1, "complete": True})
        assert (await mine.ended()).code == 4403
        assert await other.silent()
        assert await call(running, "DELETE", "/v1/users/a%2Fb/connections") == (200, {"ended": 0, "complete": True})


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/rooms/@bob/messages", b'{"payload": 1}', 400, "invalid_room"),
        ("/v1/rooms/a%20b/messages", b'{"payload": 1}', 400, "invalid_room"),
        ("/v1/rooms/a/messages", b"", 400, "bad_json"),
        ("/v1/rooms/a/messages", b"{", 400, "bad_json"),
        ("/v1/rooms/a/messages", b'{"payload": "\xff"}', 400, "bad_json"),
        ("/v1/rooms/a/messages", b"[]", 400, "bad_message"),
        ("/v1/rooms/a/messages", b"{}", 400, "bad_message"),
        ("/v1/rooms/a/messages", b'{"payload": 1, "key": "k"}', 409, "key_needs_history"),
        ("/v1/rooms/a/messages", b'{"payload": ' + b"[" * 600 + b"]" * 600 + b"}", 400, "too_deep"),
        ("/v1/revocations", b'{"jti": "a", "x": ' + b"[" * 600 + b"]" * 600 + b"}", 400, "too_deep"),
        ("/v1/rooms/a/messages", b'{"payload": "' + b"x" * 70_000 + b'"}', 413, "too_large"),
        ("/v1/rooms/a", b"", 404, "not_found"),
        ("/v1/nothing", b"", 404, "not_found"),
    ],
)
async def test_a_bad_request_names_its_code(path: str, body: bytes, status: int, code: str) -> None:
    """The response is a problem document with an error code of the WebSocket protocol."""
    async with gateway() as running:
        answer = await call(running, "POST", path, body)
        assert (answer[0], answer[1]["code"]) == (status, code)
        assert answer[1]["detail"]


@pytest.mark.parametrize(
    "query",
    ["?type=", "?type=-1", "?type=4294967296", "?type=x", "?type=١", "?type=" + "9" * 5000, "?type=1&type=1"],
)
async def test_the_type_of_a_binary_message_is_a_number(query: str) -> None:
    """It has 32 bits, is given once, and is 0 where it is left out. A wrong one is refused with JSON too."""
    async with gateway() as running:
        alice = await running.join("alice", "a")
        headers = KEY | {"Content-Type": "application/octet-stream"}
        for answer in (
            await call(running, "POST", f"/v1/rooms/a/messages{query}", b"x", headers),
            await call(running, "POST", f"/v1/rooms/a/messages{query}", b'{"payload": 1}'),
        ):
            assert (answer[0], answer[1]["code"]) in ((400, "bad_binary"), (400, "bad_message"))
        assert (await call(running, "POST", "/v1/rooms/a/messages", b"x", headers))[0] == 200
        assert await alice.raw() == b"\0\0\0\0x"


@pytest.mark.parametrize("key", [None, "", "Bearer", "Bearer wrong", f"Basic {API_KEY}", f"Bearer {API_KEY}x"])
async def test_a_request_without_the_api_key_is_refused(key: str | None) -> None:
    """The response does not show whether the path exists."""
    headers = {} if key is None else {"Authorization": key}
    async with gateway() as running:
        for path in ("/v1/rooms/a/messages", "/v1/nothing"):
            answer = await call(running, "POST", path, b'{"payload": 1}', headers)
            assert (answer[0], answer[1]["code"]) == (401, "bad_token")


async def test_without_a_configured_key_every_request_is_refused() -> None:
    """An empty key matches no key of a request."""
    async with gateway(api_key="") as running:
        for headers in (KEY, {"Authorization": "Bearer "}, {}):
            assert (await call(running, "POST", "/v1/rooms/a/messages", b"{}", headers))[0] == 401


async def test_probes_answer_with_reasons() -> None:
    """A full pod is not ready but alive, and the probe says why."""
    async with gateway(max_connections=1) as running:
        for path in ("/livez", "/readyz", "/startupz"):
            status, body = await running.probe(path)
            assert (status, body["ok"], body["state"], body["failing"]) == (200, True, "ready", [])
        client = await running.connect()
        while (await running.probe("/readyz"))[0] == 200:
            await asyncio.sleep(0.02)
        status, body = await running.probe("/readyz")
        assert (status, body["state"], body["failing"]) == (503, "saturated", ["saturated"])
        assert body["checks"]["saturated"] == {"ok": False, "reason": "1 of 1 connections"}
        assert (await running.probe("/livez"))[0] == 200
        assert (await client.ask({"type": "ping"}))["type"] == "pong"
        async with aiohttp.request("GET", f"{running.internal}/metrics") as response:
            assert "\nforestay_connections 1.0\n" in await response.text()


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "TRACE"]),
            st.text(alphabet=string.printable + "é", max_size=40).map(lambda text: quote(text, safe="/?&=%")),
            st.binary(max_size=60),
            st.sampled_from(["application/json", "application/octet-stream", "text/x", ""]),
        ),
        min_size=5,
        max_size=10,
    )
)
def test_no_request_causes_an_internal_error(requests: list[tuple[str, str, bytes, str]]) -> None:
    """For any method, path, type and body the status is below 500."""

    async def run() -> None:
        async with gateway() as running, aiohttp.ClientSession() as session:
            for method, path, body, kind in requests:
                for prefix in ("/", "/v1/", "/v1/rooms/a/messages", "/v1/users/"):
                    url = f"{running.internal}{prefix}{path}"
                    try:
                        async with session.request(method, url, data=body, headers=KEY | {"Content-Type": kind}) as got:
                            assert got.status < 500
                    except (aiohttp.InvalidURL, aiohttp.ClientConnectionError, ValueError):
                        continue

    asyncio.run(run())


NAMES = ["{x}", "{", "a/b", "%2F", "%", "..", ".", "a b", "+", "ключ", "🗝", "a\\b", "a:b@c", "x" * 256, "?a=b#c", "*"]


@pytest.mark.parametrize("user", NAMES)
async def test_every_path_of_a_user_takes_every_name(user: str) -> None:
    """A name has any characters but control characters. Only its own user is meant, whatever the name looks like."""
    part = "".join(f"%{byte:02X}" for byte in user.encode())
    async with gateway() as running:
        mine, other = await running.join(user, "@me"), await running.join("other", "@me")
        for form in {part, quote(user, safe="")} - {".", ".."}:
            url = URL(f"{running.internal}/v1/users/{form}/messages", encoded=True)
            async with aiohttp.request("POST", url, data=b'{"payload": 1}', headers=JSON) as response:
                assert response.status == 200
            assert (await mine.hear("broadcast"))["room"] == "@me"
        url = URL(f"{running.internal}/v1/users/{part}/connections", encoded=True)
        async with aiohttp.request("GET", url, headers=KEY) as response:
            assert len((await response.json())["connections"]) == 1
        async with aiohttp.request("DELETE", url, headers=KEY) as response:
            assert (await response.json())["ended"] == 1
        assert (await mine.ended()).code == 4403
        assert await other.silent()


@pytest.mark.parametrize("part", ["%FF", "%C3", "%zz", "%", "%E2%82", "a%0Ab", "%00", "%C2%85", "x" * 257, "%ED%A0%80"])
@pytest.mark.parametrize(
    "path", ["users/{}/messages", "users/{}/connections", "rooms/{}/messages", "rooms/{}/presence"]
)
async def test_a_name_that_nothing_can_have_is_refused(part: str, path: str) -> None:
    """It is 400 on every path, and never taken for another name."""
    async with gateway() as running:
        target = f"/v1/{path.format(part)}"
        method, body = ("POST", '{"payload": 1}') if path.endswith("messages") else ("GET", "")
        head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n"
        answer = await Client.request(
            running.internal_port, f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        assert answer.status == 400
        assert json.loads(answer.body)["code"] in ("bad_message", "invalid_room")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/rooms/a/messages", "POST"),
        ("PUT", "/v1/users/a/messages", "POST"),
        ("OPTIONS", "/v1/rooms", "GET, HEAD"),
        ("POST", "/v1/users/%7Bx%7D/connections", "DELETE, GET, HEAD"),
        ("DELETE", "/v1/revocations", "POST"),
    ],
)
async def test_a_method_that_a_path_does_not_have_is_405(method: str, path: str, allowed: str) -> None:
    """The answer lists those that it has. Without a key it is 401, so that paths cannot be probed."""
    async with gateway() as running:
        url = URL(f"{running.internal}{path}", encoded=True)
        async with aiohttp.request(method, url, headers=KEY) as response:
            assert (response.status, response.headers["Allow"]) == (405, allowed)
            assert response.content_type == "application/problem+json"
            assert "Access-Control-Allow-Origin" not in response.headers
        async with aiohttp.request(method, url) as response:
            assert response.status == 401


async def test_a_body_that_announces_too_much_is_refused_before_it_comes() -> None:
    """The answer does not wait for a byte of it."""
    async with gateway(max_message_bytes=1000) as running:
        head = f"POST /v1/rooms/a/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", running.internal_port)
        writer.write(f"{head}Content-Length: 1001\r\n\r\n".encode())
        assert b" 413 " in await asyncio.wait_for(reader.readline(), 5)
        writer.close()


CANARY = "canary-in-the-mine"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/rooms/a/messages", f'{{"payload": "{CANARY}'),
        ("/v1/rooms/a/messages", f'{{"{CANARY}": "{CANARY}"}}'),
        ("/v1/rooms/a/messages", f'{{"payload": 1, "key": ["{CANARY}"]}}'),
        ("/v1/rooms/a/messages", f'{{"payload": 1, "key": "{CANARY * 20}"}}'),
        ("/v1/rooms/a/messages", f'{{"payload": "{CANARY}\udcff"}}'),
        ("/v1/rooms/a/messages", f'["{CANARY}"]'),
        (f"/v1/rooms/a/messages?type={CANARY}", f'{{"payload": {CANARY}}}'),
        ("/v1/revocations", f'{{"jti": {{"{CANARY}": 1}}}}'),
        ("/v1/revocations", f'{{"jti": "{CANARY}", "user": "{CANARY}"}}'),
        ("/v1/revocations", f'{{"user": "a", "before": "{CANARY}"}}'),
        ("/v1/revocations", f'{{"user": "{CANARY}\\n"}}'),
        ("/v1/nothing", CANARY),
        (f"/v1/rooms/%FF{CANARY}/messages", '{"payload": 1}'),
    ],
)
async def test_an_error_of_the_api_repeats_nothing_of_a_body(path: str, body: str) -> None:
    """Neither the answer nor the log has it: it can be a token, or data about a person."""
    async with gateway(log_level="DEBUG") as running:
        with capture_logs() as logged:
            status, problem = await call(running, "POST", path, body.encode(errors="surrogateescape"))
        assert 400 <= status < 500
        assert CANARY not in json.dumps(problem)
        assert CANARY not in repr(logged)
