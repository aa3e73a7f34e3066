"""Messages reach the members of a room in order, whatever other clients do."""

import asyncio
import json
import socket
import struct
from pathlib import Path

import pytest

from forestay.pod.server import Server
from tests.support.gateway import Client, Closed, frame, gateway


def members(running: Server) -> tuple[int, int]:
    """Connections and rooms of the pod."""
    return len(running._pod.hub), len(running._pod.rooms)


async def test_all_members_receive_one_order() -> None:
    """Messages of three senders arrive in the same order at each member, and each sender's order is kept."""
    async with gateway(message_rate=0) as running:
        clients = [await running.join(f"user-{n}", "chat.a") for n in range(3)]

        async def speak(who: int) -> None:
            for number in range(30):
                if number % 3:
                    payload = {"type": "broadcast", "room": "chat.a", "payload": [who, number]}
                    await clients[who].say(payload)
                else:
                    await clients[who].send(frame(2, struct.pack("!III", 1, who, number)))
                await asyncio.sleep(0)

        await asyncio.gather(*(speak(who) for who in range(3)))

        async def listen(client: Client) -> list[tuple[int, int]]:
            heard = []
            for _ in range(90):
                data = await client.raw()
                body = json.loads(data)["payload"] if data[:1] == b"{" else struct.unpack("!III", data)[1:]
                heard.append((body[0], body[1]))
            return heard

        first, *others = await asyncio.gather(*map(listen, clients))
        assert all(other == first for other in others)
        for who in range(3):
            assert [number for sender, number in first if sender == who] == list(range(30))


async def test_members_receive_messages_between_joined_and_left() -> None:
    """During a burst nothing arrives before `joined` or after `left`, and nothing is missing between."""
    async with gateway(message_rate=0) as running:
        alice, bob = await running.join("alice", "chat.a"), await running.connect("bob")
        for number in range(200):
            await alice.say({"type": "broadcast", "room": "chat.a", "payload": number, "echo": False})
            if number == 50:
                await bob.say({"type": "join", "room": "chat.a"})
            if number == 120:
                await bob.say({"type": "leave", "room": "chat.a"})
            await asyncio.sleep(0)
        await bob.hear("joined")
        heard = []
        while (sentence := await bob.hear())["type"] == "broadcast":
            heard.append(sentence["payload"])
        assert sentence["type"] == "left"
        assert heard == list(range(heard[0], heard[0] + len(heard)))
        assert await bob.silent()


async def test_without_echo_all_but_the_sender_receive_it() -> None:
    """The sender's other connection receives it too."""
    async with gateway() as running:
        sender, twin, other = [await running.join(user, "chat.a") for user in ("alice", "alice", "bob")]
        await sender.say({"type": "broadcast", "room": "chat.a", "payload": 1, "echo": False, "id": "1"})
        assert (await sender.hear("ack"))["id"] == "1"
        assert (await twin.hear("broadcast"))["payload"] == (await other.hear("broadcast"))["payload"] == 1
        assert await sender.silent()


async def test_joins_and_leaves_are_announced_once_per_user_and_not_to_the_user(tmp_path: Path) -> None:
    """A second connection of the same user is not announced."""
    rooms = tmp_path / "rooms.toml"
    rooms.write_text('[[rooms]]\npattern = "**"\njoin_leave = true\n')
    async with gateway(rooms_file=str(rooms)) as running:
        alice = await running.join("alice", "chat.a")
        first, second = await running.join("bob", "chat.a"), await running.join("bob", "chat.a")
        assert (await alice.hear("user-joined"))["payload"] == {"user": "bob"}
        await first.close()
        assert await second.silent()
        assert await alice.silent()
        await second.close()
        assert (await alice.hear("user-left"))["payload"] == {"user": "bob"}


@pytest.mark.parametrize("policy", ["disconnect", "drop_oldest"])
async def test_a_slow_client_does_not_affect_the_others(tmp_path: Path, policy: str) -> None:
    """It is ended with 4413, or receives `resync` and continues. The others receive all messages."""
    rooms = tmp_path / "rooms.toml"
    rooms.write_text(f'[[rooms]]\npattern = "**"\nslow = "{policy}"\n')
    async with gateway(rooms_file=str(rooms), send_buffer_bytes=65536, message_rate=0, message_bytes_rate=0) as running:
        slow = await running.join("slow", "chat.a")
        slow.reader._transport.pause_reading()  # type: ignore[attr-defined]
        good = await running.join("good", "chat.a")
        speaker = await running.join("speaker", "chat.b")
        body = "x" * 40_000
        for number in range(400):
            await speaker.say({"type": "broadcast", "room": "chat.a", "payload": [number, body]})
            assert (await good.hear("broadcast"))["payload"][0] == number
        slow.reader._transport.resume_reading()  # type: ignore[attr-defined]
        if policy == "disconnect":
            assert (await slow.ended()).code in (4413, 1006)
            assert members(running.running)[0] == 2
            return
        numbers = []
        while (heard := await slow.hear())["type"] == "broadcast":
            numbers.append(heard["payload"][0])
        assert (heard["type"], heard["payload"]["reason"]) == ("resync", "slow")
        assert numbers == list(range(len(numbers)))
        await speaker.say({"type": "broadcast", "room": "chat.a", "payload": ["again", ""]})
        assert (await slow.hear("broadcast"))["payload"][0] == "again"


async def test_a_client_that_does_not_receive_is_not_read() -> None:
    """What waits for it is bounded, and the keepalive ends it."""
    async with gateway(
        send_buffer_bytes=65536, message_rate=0, message_bytes_rate=0, ping_interval=0.5, pong_timeout=0.5
    ) as running:
        greedy = await running.connect("greedy")
        greedy.reader._transport.pause_reading()  # type: ignore[attr-defined]
        ask = frame(1, b'{"type":"ping","id":"' + b"x" * 60 + b'"}') * 1000

        async def flood() -> None:
            while True:
                await greedy.send(ask)

        flooding = asyncio.ensure_future(flood())
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(flooding, 20)
        assert members(running.running) == (0, 0)


async def test_pending_messages_are_sent_before_the_close_frame() -> None:
    """A connection that the gateway ends loses nothing that was accepted before."""
    async with gateway() as running:
        alice, bob = await running.join("alice", "chat.a"), await running.join("bob", "chat.a")
        await alice.say(*[{"type": "broadcast", "room": "chat.a", "payload": n} for n in range(50)])
        while not running.running._metrics._counts.traffic.deliveries:
            await asyncio.sleep(0)
        await running.running._pod.backend.disconnect("bob")
        heard: list[int] = []

        async def listen() -> None:
            while True:
                heard.append((await bob.hear("broadcast"))["payload"])

        with pytest.raises(Closed) as closed:
            await listen()
        assert closed.value.code == 4403
        assert heard == list(range(len(heard)))
        assert heard
        assert await bob.eof() == b""


async def test_hundreds_of_vanished_clients_leave_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    """Hundreds of reset connections leave no error, connection, room or task."""
    async with gateway(message_rate=0) as running:
        before = len(asyncio.all_tasks())
        witness = await running.join("witness", "chat.w")
        clients = [await running.join(f"user-{n}", f"chat.{n % 10}") for n in range(200)]
        for number, client in enumerate(clients):
            await client.say({"type": "broadcast", "room": f"chat.{number % 10}", "payload": "x" * 500})
        for client in clients:
            raw = client.writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.writer.transport.abort()
        while members(running.running) != (1, 1):
            await asyncio.sleep(0.01)
        assert await witness.silent()
        await witness.close()
        while members(running.running) != (0, 0) or len(asyncio.all_tasks()) > before:
            await asyncio.sleep(0.01)
        assert not [record for record in caplog.records if record.levelname in ("ERROR", "WARNING")]
