"""Wrong calls of the HTTP API: each answer has a status, a code, and one sentence with what is wrong and what to do."""

from typing import Any

import aiohttp
from yarl import URL

from tests.support.gateway import JSON, KEY, gateway

SAY = "/v1/rooms/chat.a/messages"
# Method, path, headers, body; status, code, what the detail has.
WRONG: dict[str, tuple[str, str, dict[str, str], str, int, str, list[str]]] = {
    "no key": ("POST", SAY, {}, '{"payload":1}', 401, "bad_token", ["missing", "Authorization: Bearer"]),
    "another key": ("POST", SAY, {"Authorization": "Bearer x"}, "{}", 401, "bad_token", ["unknown", "Authorization:"]),
    "half a body": ("POST", SAY, JSON, '{"payload":', 400, "bad_json", ["not valid JSON", '{"payload": …}']),
    "a form": ("POST", SAY, KEY, "payload=1", 400, "bad_json", ["not valid JSON", '{"payload": …}']),
    "no payload": ("POST", SAY, JSON, "{}", 400, "bad_message", ["missing", "`payload`", '{"payload": …}']),
    "a list": ("POST", SAY, JSON, "[]", 400, "bad_message", ["got `array`", '{"payload": …}']),
    "no body": ("POST", SAY, JSON, "", 400, "bad_json", ["has no body", '{"payload": …}']),
    "a large one": ("POST", SAY, JSON, f'"{"x" * 70_000}"', 413, "too_large", ["65536 bytes", "smaller"]),
    "a space": ("POST", "/v1/rooms/a%20b/messages", JSON, '{"payload":1}', 400, "invalid_room", ["send a%20b"]),
    "one letter": ("POST", "/v1/rooms/chat.a/message", JSON, "{}", 404, "not_found", ["no such path", "http-api.md"]),
    "two slashes": ("POST", f"/{SAY}", JSON, '{"payload":1}', 404, "not_found", ["two slashes", "base URL"]),
    "three slashes": ("GET", "///v1/info", KEY, "", 404, "not_found", ["two slashes", "base URL"]),
    "two in the middle": ("GET", "/v1//info", KEY, "", 404, "not_found", ["two slashes"]),
    "two slashes, no key": ("GET", "//v1/info", {}, "", 401, "bad_token", ["missing"]),
    "no path": ("GET", "/v1", KEY, "", 404, "not_found", ["no such path", "http-api.md"]),
    "reading": ("GET", SAY, KEY, "", 405, "not_found", ["no such method", "POST"]),
    "deleting": ("DELETE", "/v1/rooms/chat.a", KEY, "", 404, "not_found", ["no such path", "http-api.md"]),
    "a key": ("POST", SAY, JSON, '{"payload":1,"key":"a"}', 409, "key_needs_history", ["has none", "leave it out"]),
    "no history": ("GET", "/v1/rooms/chat.a/history", KEY, "", 403, "forbidden", ["history", "FORESTAY_ROOMS_FILE"]),
    "no presence": ("GET", "/v1/rooms/chat.a/presence", KEY, "", 403, "forbidden", ["presence", "FORESTAY_ROOMS_FILE"]),
    "limit 0": ("GET", "/v1/rooms/chat.a/history?limit=0", KEY, "", 400, "bad_message", ["'limit'", "from 1 to 1000"]),
    "limit all": ("GET", "/v1/rooms/a/history?limit=all", KEY, "", 400, "bad_message", ["'limit'", "from 1 to 1000"]),
    "nothing": ("POST", "/v1/publish", JSON, '{"messages":[]}', 400, "bad_message", ["length >= 1", '"messages": [{']),
    "half of both": ("POST", "/v1/publish", JSON, '{"room":"a"}', 400, "bad_message", ["are missing", '"rooms": […]']),
    "no pod": ("POST", "/v1/pods/nope/drain", KEY, "", 404, "not_found", ["no such pod", "GET /v1/info lists"]),
    "no connection": ("DELETE", "/v1/connections/nope", KEY, "", 404, "not_found", ["no such connection"]),
    "no token": ("POST", "/v1/revocations", JSON, "{}", 400, "bad_message", ["give either 'jti'", "'user'"]),
    "the past": ("POST", "/v1/revocations", JSON, '{"user":"a","until":86400}', 400, "bad_message", ["Unix seconds"]),
    "@me": ("POST", "/v1/rooms/@me/messages", JSON, '{"payload":1}', 400, "invalid_room", ["/v1/users/{user}"]),
    "no /v1": ("POST", "/rooms/chat.a/messages", JSON, '{"payload":1}', 404, "not_found", ["below /v1", "http-api.md"]),
    "a user": ("GET", "/v1/users/a%00b/connections", KEY, "", 400, "bad_message", ["1 to 256 characters"]),
}


async def test_a_wrong_call_gets_one_sentence() -> None:
    """Each answer is a problem document with its status, its code, and what to do."""
    async with gateway() as pod, aiohttp.ClientSession() as session:
        for name, (method, path, headers, body, status, code, words) in WRONG.items():
            url = URL(f"http://127.0.0.1:{pod.internal_port}{path}", encoded=True)
            async with session.request(method, url, headers=headers, data=body or None) as answer:
                assert answer.content_type == "application/problem+json", name
                problem: dict[str, Any] = await answer.json(content_type=None)
            assert (answer.status, problem["status"], problem["code"]) == (status, status, code), name
            assert [word for word in words if word not in problem["detail"]] == [], (name, problem["detail"])
            assert "\n" not in problem["detail"], name


async def test_what_is_switched_off_says_so() -> None:
    """At the paths of Socket.IO and of event streams the 404 names the setting that serves them."""
    asked = {
        "/socket.io/?EIO=4&transport=polling": "FORESTAY_SOCKETIO=on",
        "/socket.io": "FORESTAY_SOCKETIO=on",
        "/stream?room=a": "FORESTAY_STREAM=on",
        "/socket.iox": "clients connect to /ws",
    }
    async with gateway(stream=False) as pod:
        for path, words in asked.items():
            status, detail = await _public(pod.port, path)
            assert (status, words in detail) == (404, True), (path, detail)
    async with gateway(socketio=True) as pod:
        status, detail = await _public(pod.port, "/socket.io/socket.io.js")
        assert (status, "FORESTAY_SOCKETIO_CLIENT" in detail) == (404, True), detail


async def test_an_empty_token_is_no_token() -> None:
    """A page whose backend gave it nothing reads that there is no token, and nothing about issuers."""
    async with gateway() as pod:
        for path in ("/ws?token=", "/stream?room=a&access_token="):
            status, detail = await _public(pod.port, path)
            assert (status, "the request has no token" in detail) == (401, True), detail


async def _public(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.request("GET", f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, (await answer.json(content_type=None))["detail"]
