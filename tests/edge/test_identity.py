"""Who a connection belongs to, and what one connection's trouble is to the others."""

import base64
import json

import pytest

from forestay.core.fanout.connection import Connection
from forestay.core.sessions.dispatcher import Dispatcher
from tests.support.gateway import Client, frame, gateway, token, upgrade


@pytest.mark.parametrize("name", ["token", "access_token", "forestay", "Authorization", "session"])
async def test_a_cookie_is_no_identity(name: str) -> None:
    """A browser sends cookies for every page, so a good token in one is no token."""
    async with gateway(allowed_origins="*") as pod:
        client = await Client.request(
            pod.port, upgrade(None, Origin="https://evil.example", Cookie=f"{name}={token()}")
        )
        assert (client.status, json.loads(client.body)["code"]) == (401, "bad_token")


async def test_the_sender_is_the_user_of_the_token() -> None:
    """What a client writes into `from`, `timestamp` or `user` changes nothing in what others receive."""
    async with gateway() as pod:
        alice, bob = await pod.join("alice", "chat.a"), await pod.join("bob", "chat.a")
        forged = {"from": "root", "user": "root", "sender": "root", "timestamp": "1999-01-01T00:00:00Z", "id": "root"}
        await alice.say({"type": "broadcast", "room": "chat.a", "payload": 1} | forged)
        heard = await bob.hear("broadcast")
        assert heard["from"] == "alice"
        assert not heard["timestamp"].startswith("1999")
        assert "root" not in json.dumps(heard)


async def test_no_header_makes_an_identity() -> None:
    """Headers that proxies set for other servers, and the password of a proxy, name no user."""
    basic = base64.b64encode(b"root:root").decode()
    headers = {
        "X_Forwarded_User": "root",
        "X_User_Id": "root",
        "Remote_User": "root",
        "Authorization": f"Basic {basic}",
    }
    async with gateway() as pod:
        client = await Client.request(pod.port, upgrade(None, **headers))
        assert client.status == 401
        member = await Client.request(pod.port, upgrade(token("alice"), X_Forwarded_User="root"))
        await member.hear("welcome")
        assert [one.identity.user for one in pod.running._pod.hub.everybody()] == ["alice"]


async def test_a_bug_ends_one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client of a message that raises gets 1011 without a word about why. The others stay."""

    def broken(self: Dispatcher, connection: Connection, data: bytes) -> None:
        raise ZeroDivisionError("a secret of the inside")

    monkeypatch.setattr(Dispatcher, "ping", broken)
    async with gateway(close_timeout=0.2) as pod:
        unlucky, lucky = await pod.join("unlucky", "chat.a"), await pod.join("lucky", "chat.a")
        await unlucky.send(frame(9, b"x"))
        ended = await unlucky.ended()
        assert ended.code == 1011
        assert "secret" not in ended.reason
        await unlucky.close()
        assert (await lucky.ask({"type": "broadcast", "room": "chat.a", "payload": 1}))["payload"] == 1
