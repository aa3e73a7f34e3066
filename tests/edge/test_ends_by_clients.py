"""A client that ends its connection still gets what the gateway has for it, as one that the gateway ends does."""

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import aiohttp
import pytest

from forestay.edge.engineio.polling import Polling
from forestay.protocol.names import RoomName
from tests.support.gateway import Client, Closed, Gateway, frame, gateway, token, upgrade
from tests.support.streams import Stream

TEXT, CLOSE = 1, 8

ROOMS = """
[[rooms]]
pattern = "kept"
history = { size = 10, ttl = 60 }
"""
BROADCAST = {"type": "broadcast", "room": "chat.a", "payload": 1, "id": "b", "echo": False}
PING = {"type": "ping", "id": "p"}
NORMAL = frame(CLOSE, b"\x03\xe8")

# One packet of a Socket.IO client enters its namespace, two are events with an ack, which the second list has.
CONNECT = f'40{{"token":"{token("alice")}"}}'
EVENTS = ['421["join-room","chat.a"]', '422["message",{"room":"chat.b","payload":1}]']
ACKS = ['431[{"ok":true,"room":"chat.a"}]', '432[{"ok":true}]']


def requests(*sentences: object) -> bytes:
    """The frames of some requests."""
    return b"".join([frame(TEXT, json.dumps(sentence).encode()) for sentence in sentences])


async def rest(client: Client) -> tuple[list[tuple[str, str | None]], Closed]:
    """The type and the id of each message that still comes, and the end."""
    found: list[tuple[str, str | None]] = []
    while True:
        try:
            heard = await client.hear()
        except Closed as closed:
            return found, closed
        found.append((heard["type"], heard.get("id")))


def packets(*texts: str) -> bytes:
    """The frames of some packets."""
    return b"".join([frame(TEXT, text.encode()) for text in texts])


async def namespace(running: Gateway) -> Client:
    """A client of Socket.IO that is in its namespace."""
    path = "/socket.io/?EIO=4&transport=websocket"
    alice = await Client.request(running.port, upgrade(None, path, Sec_WebSocket_Protocol=None))
    await alice.send(packets(CONNECT))
    assert (await alice.raw())[:1] == b"0"
    assert (await alice.raw())[:2] == b"40"
    return alice


async def words(client: Client) -> tuple[list[str], Closed]:
    """Each packet that still comes, and the end."""
    found: list[str] = []
    while True:
        try:
            found.append((await client.raw()).decode())
        except Closed as closed:
            return found, closed


def kept(tmp_path: Path) -> AbstractAsyncContextManager[Gateway]:
    """A pod where the room `kept` has a history."""
    rooms = tmp_path / "rooms.toml"
    rooms.write_text(ROOMS)
    return gateway(rooms_file=str(rooms))


async def test_the_answers_come_before_the_close() -> None:
    """A client sends requests and its close frame in one piece. It gets each answer, and then the close."""
    async with gateway() as running:
        alice = await running.connect()
        await alice.send(requests(BROADCAST, PING, {"type": "join", "room": "chat.b", "id": "j"}) + NORMAL)
        heard, closed = await rest(alice)
        assert heard == [("ack", "b"), ("pong", "p"), ("joined", "j")]
        assert (closed.code, closed.reason) == (1000, "bye")
        assert await alice.eof() == b""


async def test_the_answers_of_several_rooms_come_before_the_close() -> None:
    """Each room of a list is answered, in its order."""
    async with gateway() as running:
        alice = await running.connect()
        rooms = [{"room": f"chat.{number}"} for number in range(5)]
        await alice.send(requests({"type": "join", "rooms": rooms, "id": "j"}) + NORMAL)
        heard, closed = await rest(alice)
        assert heard == [("joined", "j")] * 5
        assert closed.code == 1000


async def test_a_request_that_has_to_wait_is_answered_before_the_close(tmp_path: Path) -> None:
    """The close frame is read when its answer is made."""
    async with kept(tmp_path) as running:
        alice = await running.join("alice", "kept", rooms={"**": "rwph"})
        ask = [{"type": "history", "room": "kept", "id": str(number)} for number in range(3)]
        await alice.send(requests(*ask, PING) + NORMAL)
        heard, closed = await rest(alice)
        assert heard == [("history", "0"), ("history", "1"), ("history", "2"), ("pong", "p")]
        assert closed.code == 1000


async def test_the_messages_of_a_room_come_before_the_close() -> None:
    """A room has messages for the client that no pass has written yet. They are written before the close frame."""
    async with gateway() as running:
        alice = await running.join("alice", "chat.a")
        told = [BROADCAST | {"echo": True, "id": str(number)} for number in range(3)]
        await alice.send(requests(*told) + NORMAL)
        heard, closed = await rest(alice)
        assert heard == [*[("ack", str(number)) for number in range(3)], *[("broadcast", None)] * 3]
        assert closed.code == 1000


@pytest.mark.parametrize("waits", [False, True])
async def test_the_answers_come_before_the_end_of_a_connection(tmp_path: Path, *, waits: bool) -> None:
    """A client sends requests and closes its side, without a close frame. It gets each answer, and no close frame."""
    async with kept(tmp_path) as running:
        alice, bob = await running.connect(rooms={"**": "rwph"}), await running.join("bob", "chat.a")
        history = [{"type": "history", "room": "kept", "id": "h"}] if waits else []
        alice.writer.write(requests(PING, *history, BROADCAST))
        alice.writer.write_eof()
        heard, closed = await rest(alice)
        assert heard == [("pong", "p"), *[("history", "h")] * waits, ("ack", "b")]
        assert (closed.code, await alice.eof()) == (1006, b"")
        assert (await bob.hear("broadcast"))["from"] == "alice"


async def test_a_close_frame_of_a_socketio_client_comes_after_its_answers() -> None:
    """The acks of a client of Socket.IO come before the close frame that answers its own."""
    async with gateway(socketio=True) as running:
        alice = await namespace(running)
        await alice.send(packets(*EVENTS) + NORMAL)
        heard, closed = await words(alice)
        assert (heard, closed.code) == (ACKS, 1000)


async def test_a_socketio_client_that_leaves_gets_its_answers() -> None:
    """Also one that leaves its namespace, or the session, in the packet after its events."""
    async with gateway(socketio=True) as running:
        for leave in ("41", "1"):
            alice = await namespace(running)
            await alice.send(packets(*EVENTS, leave) + NORMAL)
            heard, closed = await words(alice)
            assert (heard, closed.code) == (ACKS, 1000), leave


async def test_a_socketio_client_that_closes_its_side_gets_its_answers() -> None:
    """Without a close frame it gets none."""
    async with gateway(socketio=True) as running:
        alice = await namespace(running)
        alice.writer.write(packets(*EVENTS))
        alice.writer.write_eof()
        heard, closed = await words(alice)
        assert (heard, closed.code) == (ACKS, 1006)


async def test_a_poll_brings_the_answers_of_a_session_that_its_client_ends() -> None:
    """Events and the end of the session come in one POST. The pending poll is answered with the acks."""
    async with gateway(socketio=True) as running, aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{running.port}/socket.io/?EIO=4&transport=polling"
        async with http.get(url) as opened:
            sid = json.loads((await opened.text())[1:])["sid"]
        url = f"{url}&sid={sid}"
        await http.post(url, data=CONNECT)
        async with http.get(url) as polled:
            assert (await polled.text()).startswith("40{")
        socketio = running.running._socketio
        assert socketio is not None
        session = socketio.sessions.find(sid)
        assert session is not None
        assert isinstance(session.carrier, Polling)
        poll = asyncio.create_task(http.get(url))
        while session.carrier._poll is None:
            await asyncio.sleep(0.01)
        await http.post(url, data="\x1e".join([*EVENTS, "1"]))
        async with await poll as polled:
            assert polled.status == 200
            assert (await polled.text()).split("\x1e") == ACKS


async def test_a_stream_whose_client_closes_its_side_gets_what_is_there() -> None:
    """No `close` event follows: the client knows that it has ended the stream."""
    async with gateway() as running:
        stream = await Stream.open(running, token("alice"), "chat.a")
        await stream.until("joined")
        bob = await running.connect("bob")
        room = running.running._pod.rooms.get(RoomName("chat.a"))
        assert room is not None
        room.resting = True
        await bob.say(BROADCAST)
        await bob.hear("ack")
        stream.client.writer.write_eof()
        [last] = await stream.rest()
        assert (last["type"], last["payload"]) == ("broadcast", 1)
