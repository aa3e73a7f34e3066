"""Tickets: a client that must not put its token into a URL gets something for the URL that opens one connection."""

import asyncio
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.edge.test_streams import ALL, BEARER, streaming
from tests.support.gateway import Client, Gateway, call, token, upgrade
from tests.support.streams import Stream, ask, get


async def issue(running: Gateway, bearer: str = BEARER) -> str:
    client, answer = await ask(running, "POST", "/tickets", bearer, b"")
    assert (client.status, answer["expires_in"]) == (201, 30), answer
    assert len(answer["ticket"]) >= 22
    return str(answer["ticket"])


async def test_a_ticket_opens_one_socket(tmp_path: Path) -> None:
    """With the user and the rights of the token. The question whether it would open one does not use it."""
    async with streaming(tmp_path) as running:
        ticket = await issue(running, token("alice", rooms={"a": "r"}, info={"name": "Alice"}))
        plain = get(f"/ws?ticket={ticket}")
        assert (await Client.request(running.port, plain)).status == 426
        client = await Client.request(running.port, upgrade(None, f"/ws?ticket={ticket}"))
        assert (await client.hear("welcome"))["payload"]["user"] == "alice"
        await client.say({"type": "join", "room": "a"}, {"type": "join", "room": "b"})
        assert [(await client.hear())["type"] for _ in range(2)] == ["joined", "error"]
        for request in (plain, upgrade(None, f"/ws?ticket={ticket}"), get(f"/stream?room=a&ticket={ticket}")):
            again = await Client.request(running.port, request)
            assert (again.status, b"bad_token" in again.body) == (401, True)


async def test_a_stream_comes_back_with_its_ticket(tmp_path: Path) -> None:
    """That takes the id of one of its events, as EventSource sends it. The ticket alone opens nothing more."""
    async with streaming(tmp_path) as running:
        ticket = await issue(running)
        stream = await Stream.open(running, None, "log.a", query=f"ticket={ticket}")
        await stream.until("joined")
        other = await issue(running)
        elsewhere = await Stream.open(running, None, "log.a", query=f"ticket={other}")
        await elsewhere.until("joined")
        await stream.client.close()
        await call(running, "POST", "/v1/rooms/log.a/messages", b'{"payload": 1}')
        for headers in ({}, {"Last_Event_ID": elsewhere.last_id}, {"Last_Event_ID": "nonsense"}):
            refused = await Client.request(running.port, get(f"/stream?room=log.a&ticket={ticket}", **headers))
            assert refused.status == 401
        refused = await Client.request(
            running.port, upgrade(None, f"/ws?ticket={ticket}", Last_Event_ID=stream.last_id)
        )
        assert refused.status == 401
        for _ in range(2):
            again = await Stream.open(running, None, "log.a", query=f"ticket={ticket}", last_id=stream.last_id)
            events = await again.until("broadcast")
            assert [one["type"] for one in events] == ["welcome", "joined", "broadcast"]
            assert events[1]["payload"]["recovered"] is True
            await again.client.close()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (get("/ws?ticket=" + "x" * 24), 401),
        (get("/ws?ticket="), 401),
        (get("/ws?ticket=" + "x" * 2000), 401),
        (get("/ws?ticket=%FF%00"), 401),
        (get("/ws?ticket=x", BEARER), 400),
        (get("/stream?room=a&ticket=x", BEARER), 400),
        (get("/tickets?ticket=x", None, "POST", Content_Length="0"), 401),
        (get("/tickets", None, "POST", Content_Length="0"), 401),
        (get("/tickets", BEARER), 405),
        (get("/rooms/log.a/history?ticket=x"), 401),
    ],
)
async def test_what_is_no_ticket_opens_nothing(tmp_path: Path, request_bytes: bytes, status: int) -> None:
    """A ticket is no token, and a token is no ticket."""
    async with streaming(tmp_path) as running:
        assert (await Client.request(running.port, request_bytes)).status == status


async def test_a_revocation_holds_for_tickets(tmp_path: Path) -> None:
    """Also for the ticket of an open stream, and where the token expires first."""
    async with streaming(tmp_path) as running:
        bearer = token("alice", rooms=ALL, iat=time.time() - 5)
        unused, used = await issue(running, bearer), await issue(running, bearer)
        stream = await Stream.open(running, None, "log.a", query=f"ticket={used}")
        await stream.until("joined")
        last_id = stream.last_id
        soon = await ask(running, "POST", "/tickets", token("bob", exp=time.time() + 1.5), b"")
        assert soon[1]["expires_in"] in (1, 2)
        await call(running, "POST", "/v1/revocations", b'{"user": "alice"}')
        assert (await stream.rest())[-1]["payload"]["code"] == 4403
        assert (await Client.request(running.port, get(f"/ws?ticket={unused}"))).status == 401
        for path, headers in ((unused, {}), (used, {"Last_Event_ID": last_id})):
            refused = await Client.request(running.port, get(f"/stream?room=log.a&ticket={path}", **headers))
            assert refused.status == 401
        await asyncio.sleep(1.5)
        assert (await Client.request(running.port, get(f"/ws?ticket={soon[1]['ticket']}"))).status == 401


async def test_tickets_are_limited_and_never_logged(tmp_path: Path) -> None:
    """One counts as twenty messages of its user. No log line has one, also not at debug level."""
    async with streaming(tmp_path, message_rate=1, message_burst=21, log_level="debug") as running:
        with capture_logs() as lines:
            ticket = await issue(running)
            await Stream.open(running, None, "log.a", query=f"ticket={ticket}")
            await Client.request(running.port, get(f"/stream?room=log.a&ticket={ticket}"))
            await issue(running)
            client, problem = await ask(running, "POST", "/tickets", BEARER, b"")
        assert (client.status, problem["code"]) == (429, "rate_limited")
        assert lines
        assert ticket not in str(lines)
