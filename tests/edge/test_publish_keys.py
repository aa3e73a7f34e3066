"""A key makes a retry of a publish safe, in the body or in the header `Idempotency-Key`, and belongs to one message."""

from pathlib import Path

import pytest

from tests.support.gateway import JSON, KEY, call, gateway, token
from tests.support.streams import ask

HISTORY = '[[rooms]]\npattern = "log.*"\n[rooms.history]\nsize = 10\nttl = 60\n'
PATH = "/v1/rooms/log.a/messages"


@pytest.fixture
def rooms(tmp_path: Path) -> str:
    """The path of a file of policies: `log.*` has history."""
    file = tmp_path / "rooms.toml"
    file.write_text(HISTORY)
    return str(file)


async def test_a_key_of_another_message_is_refused(rooms: str) -> None:
    """The same message again gets the first answer; another payload or another event gets 409 and is not published."""
    async with gateway(rooms_file=rooms) as running:
        first = await call(running, "POST", PATH, b'{"payload": [1], "key": "k"}')
        for body in (b'{"payload": [2], "key": "k"}', b'{"payload": [1], "event": "e", "key": "k"}'):
            status, problem = await call(running, "POST", PATH, body)
            assert (status, problem["code"], problem["title"]) == (409, "key_reused", "Conflict")
        assert await call(running, "POST", PATH, b'{"payload": [1], "key": "k"}') == first
        history = (await call(running, "GET", "/v1/rooms/log.a/history"))[1]["messages"]
        assert [one["payload"] for one in history] == [[1]]  # type: ignore[attr-defined]


async def test_a_key_of_another_message_is_refused_on_a_socket(rooms: str) -> None:
    """The client gets an `error` with the id of its message, and stays connected."""
    async with gateway(rooms_file=rooms) as running:
        alice = await running.connect("alice", rooms={"**": "rwh"})
        said = {"type": "broadcast", "room": "log.a", "key": "k"}
        assert (await alice.ask({**said, "payload": 1, "id": "1"}))["type"] == "ack"
        error = await alice.ask({**said, "payload": 2, "id": "2"})
        assert (error["id"], error["room"], error["payload"]["code"]) == ("2", "log.a", "key_reused")
        assert (await alice.ask({**said, "payload": 1, "id": "3"}))["payload"]["offset"] == 1


@pytest.mark.parametrize("header", ["k", '"k"', '"\\"k\\\\"', "8e03978e-40d5-43dd-bc93-6894a57f9324"])
async def test_the_header_is_the_key(rooms: str, header: str) -> None:
    """With quotes or without, for backends and for clients, a repeat is published once."""
    async with gateway(rooms_file=rooms) as running:
        answers = [
            await call(running, "POST", PATH, b'{"payload": 1}', JSON | {"Idempotency-Key": header}) for _ in "12"
        ]
        assert answers[0][1]["offset"] == answers[1][1]["offset"] == 1
        mine = token("alice", rooms={"**": "rw"})
        for _ in "12":
            client, answer = await ask(
                running, "POST", "/rooms/log.a/messages", mine, b'{"payload": 1}', Idempotency_Key=header
            )
            assert (client.status, answer["offset"]) == (200, 2)


async def test_a_key_in_the_body_wins(rooms: str) -> None:
    """The header is for messages without a key of their own."""
    async with gateway(rooms_file=rooms) as running:
        for header in ("k", "l"):
            headers = JSON | {"Idempotency-Key": header}
            status, answer = await call(running, "POST", PATH, b'{"payload": 1, "key": "k"}', headers)
            assert (status, answer["offset"]) == (200, 1)


@pytest.mark.parametrize("header", ["", '""', "x" * 129, "k\xe9", '"k\tl"', "k l", '"k', 'k"', '"k\\l"', '"k"l"'])
async def test_a_header_that_is_no_key_is_refused(rooms: str, header: str) -> None:
    """The answer says what a key is, and nothing is published."""
    async with gateway(rooms_file=rooms) as running:
        status, problem = await call(running, "POST", PATH, b'{"payload": 1}', JSON | {"Idempotency-Key": header})
        assert (status, problem["code"]) == (400, "bad_message")
        assert "1 to 128 printable characters" in str(problem["detail"])
        assert (await call(running, "GET", "/v1/rooms/log.a/history"))[1]["messages"] == []


async def test_the_header_needs_a_room_with_history(rooms: str) -> None:
    """As `key` does: otherwise a retry would look safe and publish twice. Binary messages are never kept."""
    async with gateway(rooms_file=rooms) as running:
        keyed = {"Idempotency-Key": "k"}
        status, problem = await call(running, "POST", "/v1/rooms/a/messages", b'{"payload": 1}', JSON | keyed)
        assert (status, problem["code"]) == (409, "key_needs_history")
        binary = {"Content-Type": "application/octet-stream"} | keyed
        status, problem = await call(running, "POST", f"{PATH}?type=1", b"x", KEY | binary)
        assert (status, problem["code"]) == (409, "key_needs_history")
        client, answer = await ask(
            running,
            "POST",
            "/rooms/log.a/messages?type=1",
            token("alice", rooms={"**": "rw"}),
            b"x",
            Content_Type="application/octet-stream",
            Idempotency_Key="k",
        )
        assert (client.status, answer["code"]) == (409, "key_needs_history")
