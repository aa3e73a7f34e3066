"""Each member of a large room gets what it is owed: in order, without a gap, and nothing after a close frame.

Where `forestay.speedups` is there, the writes to these rooms leave the loop.
"""

import asyncio
import json
import socket
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import JSON, Client, Closed, Gateway, call, frame, gateway, token, upgrade

pytestmark = pytest.mark.both_loops

MEMBERS = 80
MANY = 300
"""Members that a pass takes two steps for."""
OFFER = "permessage-deflate; client_max_window_bits"


@dataclass
class Heard:
    """What one member got."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    closed: Closed | None = None
    after: bytes = b""
    """What came after the close frame."""

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    @property
    def payloads(self) -> list[Any]:
        return [message["payload"] for message in self.of("broadcast")]

    @property
    def offsets(self) -> list[int]:
        return [message["offset"] for message in self.of("broadcast")]


async def listen(client: Client, *last: str) -> Heard:
    """Read until the messages with the payloads `last` have come, or until the connection ends."""
    heard, awaited = Heard(), set(last)
    try:
        while not last or awaited:
            heard.messages.append(await read(client))
            if heard.messages[-1]["type"] == "broadcast" and isinstance(heard.messages[-1]["payload"], str):
                awaited.discard(heard.messages[-1]["payload"])
    except Closed as closed:
        heard.closed = closed
        if closed.code != 1006:
            # The client answers, as it has to.
            await client.send(frame(8, closed.code.to_bytes(2)))
        try:
            heard.after = await client.eof()
        except ConnectionError:
            pass  # The gateway has hung up before it got our answer.
    return heard


async def read(client: Client) -> dict[str, Any]:
    """The next message, which may be compressed."""
    try:
        first, second = await client.reader.readexactly(2)
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(await client.reader.readexactly(2 if size == 126 else 8))
        payload = await client.reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        raise Closed(1006, "") from None
    if first & 0x0F == 8:
        raise Closed(int.from_bytes(payload[:2]), payload[2:].decode())
    if first & 0x40:
        payload = zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff")
    message: dict[str, Any] = json.loads(payload)
    return message


async def crowd(pod: Gateway, room: str, members: int = MEMBERS, **headers: str) -> list[Client]:
    """Clients that are in `room`."""
    found = []
    for one in range(members):
        client = await Client.request(pod.port, upgrade(token(f"user-{one}"), **headers))
        await client.say({"type": "join", "room": room})
        while (await read(client))["type"] != "joined":
            pass
        found.append(client)
    return found


def stop_reading(pod: Gateway, clients: Sequence[Client]) -> None:
    """Let what is written to the clients wait, but for a little that the kernel takes."""
    for client in clients:
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
    ports = {client.writer.get_extra_info("sockname")[1] for client in clients}
    for connection in pod.running._pod.hub.everybody():
        transport = connection.transport.transport  # type: ignore[attr-defined]
        if transport.get_extra_info("peername")[1] in ports:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)


def read_again(client: Client) -> None:
    """Let it take what waits."""
    client.reader._transport.resume_reading()  # type: ignore[attr-defined]


async def speak(speaker: Client, room: str, payloads: Sequence[object]) -> None:
    """Publish them in `room`, as fast as the gateway takes them. The speaker is no member."""
    for payload in payloads:
        await speaker.say({"type": "broadcast", "room": room, "payload": payload})
        await asyncio.sleep(0)


def rooms(tmp_path: Path, *lines: str) -> dict[str, object]:
    """Settings with a policy for all rooms, without pings and limits of rates."""
    file = tmp_path / "rooms.toml"
    file.write_text("\n".join(['[[rooms]]\npattern = "**"', *lines]))
    return {"rooms_file": str(file), "message_rate": 0, "message_bytes_rate": 0, "ping_interval": 3600}


HISTORY = "[rooms.history]\nsize = 1000\nttl = 300"


async def test_members_that_come_back_get_what_they_missed_and_then_the_live_messages(tmp_path: Path) -> None:
    """While others leave or break off, in the middle of a stream of messages: by offset, nobody has a gap."""
    async with gateway(**rooms(tmp_path, HISTORY)) as pod:
        members = await crowd(pod, "news", MANY)
        speaker = await pod.connect("speaker")
        publishing = asyncio.create_task(speak(speaker, "news", range(120)))
        position = await read(members[0])
        since = {"epoch": position["epoch"], "offset": position["offset"]}
        # Of both steps.
        late, leaving, breaking = [], members[::30], members[1::30]
        for number in range(10):
            client = await pod.connect(f"late-{number}")
            await client.say({"type": "join", "room": "news", "since": since})
            late.append(client)
            await leaving[number].say({"type": "leave", "room": "news"})
            await breaking[number].close()
        await publishing
        await speaker.say({"type": "broadcast", "room": "news", "payload": "last"})
        stayed = await asyncio.gather(*(listen(client, "last") for client in set(members) - {*leaving, *breaking}))
        for heard in stayed:
            assert heard.payloads == [*range(120), "last"]
            assert all(after == before + 1 for before, after in pairwise(heard.offsets))
        for heard in await asyncio.gather(*(listen(client, "last") for client in late)):
            assert heard.of("joined")[0]["payload"]["recovered"]
            assert heard.offsets == list(range(since["offset"] + 1, stayed[0].offsets[-1] + 1))
        for client in leaving:
            numbers = []
            while (message := await read(client))["type"] == "broadcast":
                numbers.append(message["payload"])
            assert message["type"] == "left"
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            assert await client.silent()


@pytest.mark.parametrize("policy", ["disconnect", "drop_oldest"])
async def test_slow_members_hold_nobody_up_and_miss_nothing_unsaid(tmp_path: Path, policy: str) -> None:
    """They get a prefix, then `resync` and what follows, or 4413. The others get all."""
    async with gateway(send_buffer_bytes=65536, **rooms(tmp_path, f'slow = "{policy}"', HISTORY)) as pod:
        members = await crowd(pod, "news")
        slow, quick = members[:5], members[5:]
        stop_reading(pod, slow)
        speaker = await pod.connect("speaker")
        body = "x" * 20_000
        listening = [asyncio.create_task(listen(client, "last")) for client in quick]
        for number in range(200):
            await speaker.say({"type": "broadcast", "room": "news", "payload": [number, body], "id": str(number)})
            await speaker.hear("ack")
        for client in slow:
            read_again(client)
        await asyncio.sleep(0.3)
        await speak(speaker, "news", ["last"])
        for heard in await asyncio.gather(*listening):
            assert [payload[0] for payload in heard.payloads[:-1]] == list(range(200))
        for heard in await asyncio.gather(*(listen(client, "last") for client in slow)):
            numbers = [payload[0] for payload in heard.payloads if payload != "last"]
            assert len(numbers) < 200
            if policy == "disconnect":
                assert heard.closed is not None
                assert heard.closed.code in (4413, 1006)
                assert (numbers, heard.after) == (list(range(len(numbers))), b"")
            else:
                last, lost = 0, False
                for message in heard.messages:
                    if message["type"] == "resync":
                        assert message["payload"]["reason"] == "slow"
                        lost = True
                    else:
                        assert message["offset"] > last + 1 if lost else message["offset"] == last + 1
                        last, lost = message["offset"], False
                assert heard.of("resync")


async def test_what_the_kernel_takes_in_part_arrives_whole(tmp_path: Path) -> None:
    """Members with small buffers that read late get large messages, answers and small ones in order."""
    async with gateway(send_buffer_bytes=16_000_000, **rooms(tmp_path)) as pod:
        members = await crowd(pod, "news")
        stop_reading(pod, members)
        speaker = await pod.connect("speaker")
        for number in range(100):
            await speaker.say({"type": "broadcast", "room": "news", "payload": [number, "x" * (60_000 * (number % 2))]})
            for client in members[:10]:
                await client.say({"type": "ping", "id": str(number)})
            await asyncio.sleep(0)
        await speak(speaker, "news", ["last"])
        for client in members:
            read_again(client)
        for at, heard in enumerate(await asyncio.gather(*(listen(client, "last") for client in members))):
            assert [payload[0] for payload in heard.payloads[:-1]] == list(range(100))
            assert [len(payload[1]) for payload in heard.payloads[:-1]] == [0, 60_000] * 50
            assert [pong["id"] for pong in heard.of("pong")] == [str(number) for number in range(100 * (at < 10))]


async def test_compressed_and_plain_members_get_the_same(tmp_path: Path) -> None:
    """Two audiences of one large room, and what one client missed, which is plain."""
    async with gateway(compression=True, **rooms(tmp_path, HISTORY)) as pod:
        compressed = await crowd(pod, "news", Sec_WebSocket_Extensions=OFFER)
        plain = await crowd(pod, "news")
        speaker = await pod.connect("speaker")
        payloads = [[number, "the price of everything " * (number % 100)] for number in range(200)]
        publishing = asyncio.create_task(speak(speaker, "news", payloads))
        first = await read(compressed[0])
        late = await Client.request(pod.port, upgrade(token("late"), Sec_WebSocket_Extensions=OFFER))
        since = {"epoch": first["epoch"], "offset": first["offset"]}
        await late.say({"type": "join", "room": "news", "since": since})
        await publishing
        await speak(speaker, "news", ["last"])
        for heard in await asyncio.gather(*(listen(client, "last") for client in [*compressed[1:], *plain])):
            assert heard.payloads == [*payloads, "last"]
        assert (await listen(late, "last")).payloads == [*payloads[1:], "last"]


async def test_members_of_two_large_rooms_get_both_in_order(tmp_path: Path) -> None:
    """Messages of one room come while those of the other are on their way."""
    async with gateway(**rooms(tmp_path)) as pod:
        members = await crowd(pod, "one")
        for client in members:
            await client.say({"type": "join", "room": "two"})
            while (await read(client))["type"] != "joined":
                pass
        speakers = [await pod.connect(f"speaker-{room}") for room in ("one", "two")]
        payloads = ["x" * 1000 * (number % 20) + str(number) for number in range(300)]
        # They read from the beginning: more than a client may leave waiting is published.
        listening = [asyncio.create_task(listen(client, "end of one", "end of two")) for client in members]
        await asyncio.gather(speak(speakers[0], "one", payloads), speak(speakers[1], "two", payloads))
        await speak(speakers[0], "one", ["end of one"])
        await speak(speakers[1], "two", ["end of two"])
        for heard in await asyncio.gather(*listening):
            for room in ("one", "two"):
                mine = [message["payload"] for message in heard.of("broadcast") if message["room"] == room]
                assert mine == [*payloads, f"end of {room}"]


async def test_nothing_comes_after_a_close_frame(tmp_path: Path) -> None:
    """Members are ended in the middle of a stream of messages: each got a prefix, one close frame, and then nothing."""
    async with gateway(**rooms(tmp_path)) as pod:
        members = await crowd(pod, "news")
        speaker = await pod.connect("speaker")
        publishing = asyncio.create_task(speak(speaker, "news", range(1000)))
        listening = [asyncio.create_task(listen(client)) for client in members]
        for number in range(MEMBERS):
            status, _ = await call(pod, "DELETE", f"/v1/users/user-{number}/connections", headers=JSON)
            assert status == 200
        await publishing
        for heard in await asyncio.gather(*listening):
            assert heard.closed is not None
            assert heard.closed.code != 1006
            assert heard.after == b""
            assert heard.payloads == list(range(len(heard.payloads)))


async def test_a_pod_that_stops_says_so_to_each_member(tmp_path: Path) -> None:
    """In the middle of a stream of messages: a prefix, the close frame, and then nothing."""
    async with gateway(drain_window=0.2, drain_lead=0, **rooms(tmp_path)) as pod:
        members = await crowd(pod, "news", MANY)
        speaker = await pod.connect("speaker")
        listening = [asyncio.create_task(listen(client)) for client in members]
        publishing = asyncio.create_task(speak(speaker, "news", range(100_000)))
        stopping = asyncio.create_task(pod.running.stop(asyncio.Event()))
        for heard in await asyncio.gather(*listening):
            assert heard.closed is not None
            assert heard.closed.code == 1001
            assert heard.after == b""
            assert heard.payloads == list(range(len(heard.payloads)))
        publishing.cancel()
        await speaker.close()
        await stopping
