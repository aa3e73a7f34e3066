"""The events of an application go through two pods and Redis, to clients of every kind, by the rules of one file."""

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from tests.support.gateway import Gateway, gateway, token
from tests.support.local_redis import RedisServer

RULES = """
[[events]]
event = "chat message"
room = "lobby"

[[events]]
event = "draw"
room = "board.{0.board}"
as = "drawn"

[[namespaces]]
path = "/admin"
join = ["lobby"]

[[rooms]]
pattern = "board.*"
[rooms.history]
size = 10
ttl = 60
"""


class Peer:
    """A Socket.IO client over WebSocket, in one namespace."""

    def __init__(self, ws: ClientWebSocketResponse, namespace: str) -> None:
        self.ws = ws
        self.where = "" if namespace == "/" else f"{namespace},"
        self.pid = ""
        self.position = ""

    async def packet(self) -> list[str | bytes]:
        """The next packet but pings and positions: its text without `4`, and its binary parts."""
        while True:
            message = await self.ws.receive()
            assert message.type is WSMsgType.TEXT, message
            text = message.data.removeprefix("4")
            if '"forestay:position"' in text:
                self.position = json.loads(text[text.index("[") :])[1]
            elif message.data != "2":
                count = int(text[1 : text.index("-")]) if text[:1] == "5" else 0
                return [text, *[(await self.ws.receive()).data for _ in range(count)]]

    async def ask(self, *arguments: object, parts: list[bytes] | None = None) -> dict[str, object]:
        """Emit an event, and return its ack. Nothing else may come before."""
        kind = f"45{len(parts)}-" if parts else "42"
        await self.ws.send_str(f"{kind}{self.where}7{json.dumps(arguments)}")
        for part in parts or []:
            await self.ws.send_bytes(part)
        [text] = await self.packet()
        assert isinstance(text, str)
        assert text.startswith(f"3{self.where}7")
        answer: dict[str, object] = json.loads(text[text.index("[") :])[0]
        return answer


@asynccontextmanager
async def peer(pod: Gateway, user: str, namespace: str = "/", **auth: str) -> AsyncIterator[Peer]:
    url = f"ws://127.0.0.1:{pod.port}/socket.io/?EIO=4&transport=websocket"
    async with ClientSession() as session, session.ws_connect(url) as ws:
        assert (await ws.receive_str())[0] == "0"
        made = Peer(ws, namespace)
        await ws.send_str(f"40{made.where}{json.dumps({'token': token(user), **auth})}")
        yield made


async def entered(made: Peer) -> dict[str, str]:
    [text] = await made.packet()
    assert isinstance(text, str)
    assert text.startswith(f"0{made.where}")
    fields: dict[str, str] = json.loads(text[text.index("{") :])
    made.pid = fields["pid"]
    return fields


async def test_events_reach_clients_of_every_kind_on_both_pods(redis: RedisServer, tmp_path: Path) -> None:
    """Binary parts are parts again for Socket.IO clients, also after a loss, and base64 for native ones."""
    rooms = tmp_path / "rooms.toml"
    rooms.write_text(RULES)
    shared = {"bus_url": f"{redis.url}?prefix=t{secrets.token_hex(6)}", "rooms_file": str(rooms), "socketio": True}
    async with gateway(**shared) as one, gateway(**shared) as two, peer(one, "ann") as ann:
        await entered(ann)
        native = await two.join("nat", "board.Z%C3%BCrich")
        async with peer(two, "bob") as bob:
            await entered(bob)
            assert (await bob.ask("join-room", "board.Zürich"))["ok"]
            place = [{"board": "Zürich", "parts": [{"_placeholder": True, "num": 0}]}, {"_placeholder": True, "num": 1}]
            assert (await ann.ask("draw", *place, parts=[b"abc", b""]))["ok"]
            drawn = await bob.packet()
            assert json.loads(str(drawn[0]).removeprefix("52-")) == ["drawn", *place]
            assert drawn[1:] == [b"abc", b""]
            assert (await ann.ask("draw", {"board": None}))["code"] == "bad_message"
            assert (await ann.ask("erase", 1))["code"] == "unknown_type"
            # The position comes behind the event, and before this answer.
            assert (await bob.ask("message", {"room": "lobby", "payload": 1}))["ok"]
        assert (await ann.ask("draw", *place, parts=[b"x", b"y"]))["ok"]
        for parts in (["YWJj", ""], ["eA==", "eQ=="]):
            heard = await native.hear("broadcast")
            assert (heard["event"], heard["from"]) == ("drawn", "ann")
            assert heard["payload"] == [{"board": "Zürich", "parts": parts[:1]}, parts[1]]
        async with peer(one, "bob", pid=bob.pid, offset=bob.position) as again:
            missed = await again.packet()
            assert (str(missed[0])[:8], missed[1:]) == ('52-["dra', [b"x", b"y"])
            assert (await entered(again))["pid"] == bob.pid


async def test_a_namespace_has_rooms_of_its_own(tmp_path: Path) -> None:
    """Its clients get into the rooms that the file names, and a rule leads to the room with the prefix."""
    rooms = tmp_path / "rooms.toml"
    rooms.write_text(RULES)
    async with gateway(rooms_file=str(rooms), socketio=True) as pod, peer(pod, "ann", "/admin") as ann:
        await entered(ann)
        native, outside = await pod.join("nat", "admin.lobby"), await pod.join("out", "lobby")
        await ann.ws.send_str('42/admin,["chat message","hi"]')
        assert await ann.packet() == ['2/admin,["chat message","hi"]']
        assert (await native.hear("broadcast"))["payload"] == ["hi"]
        assert await outside.silent()
        async with peer(pod, "ann", "/other") as refused:
            assert await refused.packet() == ['4/other,{"message":"Invalid namespace"}']
