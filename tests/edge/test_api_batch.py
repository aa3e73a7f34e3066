"""A backend publishes many messages in one request, and gets a result for each of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import JSON, Pod, call, gateway

HISTORY = '[[rooms]]\npattern = "log.*"\n[rooms.history]\nsize = 2000\nttl = 60\n'


@pytest.fixture
def rooms(tmp_path: Path) -> str:
    """The path of a file of policies: `log.*` has history."""
    file = tmp_path / "rooms.toml"
    file.write_text(HISTORY)
    return str(file)


async def batch(pod: Pod, body: object, **headers: str) -> tuple[int, dict[str, Any]]:
    """The answer to one batch. Underscores in the names of headers are hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await call(pod, "POST", "/v1/publish", json.dumps(body).encode(), JSON | named)


async def test_messages_go_to_their_rooms_and_users_in_order(rooms: str) -> None:
    """Each has a result in the place of its message; the order of a room is that of the list."""
    async with gateway(rooms_file=rooms) as running:
        alice, bob = await running.join("alice", "log.a"), await running.join("bob", "@me")
        messages: list[dict[str, object]] = [{"room": "log.a", "payload": number} for number in range(120)]
        messages.insert(60, {"user": "bob", "payload": ["hi"], "event": "greet"})
        status, answer = await batch(running, {"messages": messages})
        assert (status, answer["failed"]) == (200, 0)
        assert answer["results"][60] == {"user": "bob"}
        assert [one["offset"] for one in answer["results"] if "offset" in one] == list(range(1, 121))
        assert [(await alice.hear("broadcast"))["payload"] for _ in range(120)] == list(range(120))
        heard = await bob.hear("broadcast")
        assert (heard["room"], heard["event"], heard["payload"]) == ("@me", "greet", ["hi"])
        assert "from" not in heard


async def test_one_message_goes_to_many_rooms_and_users(rooms: str) -> None:
    """The payload arrives as it was written; with a key a repeat of the whole request publishes nothing more."""
    async with gateway(rooms_file=rooms) as running:
        clients = [await running.join("alice", "log.a"), await running.join("alice", "log.b")]
        bob = await running.join("bob", "@me")
        text = b'{"rooms": ["log.a", "log.b"], "users": ["bob"], "payload": {"n":  1.50}}'
        status, answer = await call(running, "POST", "/v1/publish", text)
        assert (status, answer["failed"]) == (200, 0)
        assert [next(iter(one)) for one in answer["results"]] == ["room", "room", "user"]  # type: ignore[attr-defined]
        for client in (*clients, bob):
            assert b'"payload":{"n":  1.50}' in await client.raw()
        body = {"rooms": ["log.a", "log.b"], "payload": 1}
        first = await batch(running, body, Idempotency_Key="k")
        assert await batch(running, body | {"key": "k"}) == first
        assert [one["offset"] for one in first[1]["results"]] == [2, 2]


async def test_a_message_that_is_refused_refuses_no_other(rooms: str) -> None:
    """Its result has the code and the reason; the others are published."""
    async with gateway(rooms_file=rooms) as running:
        status, answer = await batch(
            running,
            {
                "messages": [
                    {"room": "log.a", "payload": 1, "key": "k"},
                    {"room": "no room", "payload": 1},
                    {"user": "", "payload": 1},
                    {"room": "plain", "payload": 1, "key": "k"},
                    {"room": "log.a", "payload": 2, "key": "k"},
                    {"room": "log.a", "payload": 1, "event": "disconnect"},
                    {"room": "log.a", "payload": "x" * 70_000},
                    {"room": "log.a", "payload": 3},
                ]
            },
        )
        assert (status, answer["failed"]) == (200, 6)
        codes = [one.get("code") for one in answer["results"]]
        assert codes[1:7] == [
            "invalid_room",
            "bad_message",
            "key_needs_history",
            "key_reused",
            "bad_message",
            "too_large",
        ]
        assert [answer["results"][place]["offset"] for place in (0, 7)] == [1, 2]
        assert all(one["detail"] for one in answer["results"] if "code" in one)


LONG = ["a"] * 1001


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([], "Expected `object`"),
        ({}, "'messages' and 'payload' are missing"),
        ({"rooms": ["a"]}, "'messages' and 'payload' are missing"),
        ({"payload": 1}, "name nobody"),
        ({"rooms": [], "users": [], "payload": 1}, "name nobody"),
        ({"rooms": LONG, "payload": 1}, "$.rooms"),
        ({"rooms": ["a", 1], "payload": 1}, "$.rooms[1]"),
        ({"users": "a", "payload": 1}, "$.users"),
        ({"rooms": ["a"], "payload": 1, "key": ""}, "$.key"),
        ({"messages": []}, "$.messages"),
        ({"messages": [{"room": "a", "payload": 1}] * 1001}, "$.messages"),
        ({"messages": [{"room": "a", "payload": 1}, {"room": "a"}]}, "$.messages[1]"),
        ({"messages": [{"room": "a", "payload": 1}, {"payload": 1}]}, "$.messages[1]"),
        ({"messages": [{"room": "a", "user": "b", "payload": 1}]}, "$.messages[0]"),
        ({"messages": [{"room": "a", "payload": 1}], "rooms": ["a"]}, "both forms"),
        ({"messages": [{"room": "a", "payload": 1}], "payload": 1}, "both forms"),
        ({"messages": [{"room": "a", "payload": 1}], "event": ""}, "both forms"),
    ],
)
async def test_a_body_of_another_form_publishes_nothing(rooms: str, body: object, says: str) -> None:
    """The answer names the field."""
    async with gateway(rooms_file=rooms) as running:
        listener = await running.join("alice", "a")
        status, problem = await batch(running, body)
        assert (status, problem["code"]) == (400, "bad_message")
        assert says in problem["detail"]
        assert await listener.silent()


async def test_a_list_of_messages_is_published_once_with_a_key_in_the_header(rooms: str) -> None:
    """Each message without a key gets one with its place; the repeat of the request has the same answer."""
    async with gateway(rooms_file=rooms) as running:
        listed = [{"room": "log.a", "payload": 1}, {"room": "log.a", "payload": 1}, {"room": "log.a", "payload": 2}]
        listed[2]["key"] = "own"
        for header in ("k", "k", "x" * 128, "x" * 128):
            status, answer = await batch(running, {"messages": listed}, Idempotency_Key=header)
            offsets = [one["offset"] for one in answer["results"]]
            assert (status, offsets) == (200, [1, 2, 3] if header == "k" else [4, 5, 3])


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_a_batch_may_be_as_large_as_a_page_and_nest_as_deep_as_a_message() -> None:
    """A body of 1 MiB is taken, more is 413; each message may have the depth of a single one."""

    def deep(levels: int) -> object:
        payload: object = 1
        for _ in range(levels):
            payload = [payload]
        return payload

    async with gateway(json_depth=8) as running:
        large = {"messages": [{"room": "a", "payload": "x" * 60_000}] * 17}
        assert (await batch(running, large))[0] == 200
        large = {"messages": [{"room": "a", "payload": "x" * 60_000}] * 18}
        assert (await batch(running, large))[1]["code"] == "too_large"
        for levels, status in ((7, 200), (8, 400)):
            single = await call(running, "POST", "/v1/rooms/a/messages", json.dumps({"payload": deep(levels)}).encode())
            listed = await batch(running, {"messages": [{"room": "a", "payload": deep(levels)}]})
            spread = await batch(running, {"rooms": ["a"], "payload": deep(levels)})
            assert [single[0], listed[0], spread[0]] == [status] * 3
