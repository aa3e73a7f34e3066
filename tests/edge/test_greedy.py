"""What clients ask for and do not read, and what they begin and do not finish: real sockets, and all is bounded."""

import asyncio
import json
from pathlib import Path

from forestay.core.ports.bus import Query
from forestay.core.rules.policies import Retention
from forestay.protocol.names import RoomName
from tests.support.gateway import Client, Gateway, frame, gateway

LARGEST = 65536
FREE = {"message_rate": 0, "message_bytes_rate": 0}


async def filled(running: Gateway, room: str, number: int, size: int) -> None:
    """Publish `number` messages of `size` bytes in `room`."""
    speaker = await running.connect("speaker")
    for at in range(number):
        sentence = {"type": "broadcast", "room": room, "payload": [at, "x" * size], "id": str(at)}
        assert (await speaker.ask(sentence))["type"] == "ack"
    await speaker.close()


def policies(folder: Path, text: str = "") -> str:
    """The path of a file in which each room has a long history, and what `text` adds."""
    path = folder / "rooms.toml"
    path.write_text(f'[[rooms]]\npattern = "**"\nhistory = {{ size = 1000, ttl = 60 }}\n{text}')
    return str(path)


async def test_pages_of_history_fit_and_lead_through_all_of_it(tmp_path: Path) -> None:
    """No page is larger than the largest message, from either end, and nothing is left out between two pages."""
    async with gateway(rooms_file=policies(tmp_path), **FREE) as running:
        await filled(running, "chat.a", 100, 5000)
        reader = await running.connect("reader")
        for side in ("since", "before"):
            found: list[int] = []
            bound: dict[str, object] = {}
            while True:
                await reader.say({"type": "history", "room": "chat.a", "limit": 1000} | bound)
                text = await reader.raw()
                payload = json.loads(text)["payload"]
                assert len(text) <= LARGEST
                offsets = [one["offset"] for one in payload["messages"]]
                found = found + offsets if side == "since" else offsets + found
                if not payload["more"] and (bound or side == "before"):
                    break
                edge = (found[-1] if bound else 0) if side == "since" else found[0]
                found = found if bound or side == "before" else []
                bound = {side: {"epoch": payload["epoch"], "offset": edge}}
            assert found == list(range(1, 101))


async def test_pages_of_presence_fit(tmp_path: Path) -> None:
    """The members in `joined` and in `presence` fit into the largest message, and `next` leads through all of them."""
    async with gateway(rooms_file=policies(tmp_path, "presence = true\n"), **FREE) as running:
        clients: list[Client] = []
        for at in range(90):
            clients.append(await running.connect(f"user-{at:02}", info={"about": "x" * 900}))
            await clients[-1].say({"type": "join", "room": "chat.a"})
            text = await clients[-1].raw()
            assert len(text) <= LARGEST
        shown = json.loads(text)["payload"]["members"]
        found = [one["user"] for one in shown["members"]]
        assert len(found) < 90
        while "next" in shown:
            await clients[0].say({"type": "presence", "room": "chat.a", "limit": 1000, "after": shown["next"]})
            while (heard := json.loads(text := await clients[0].raw()))["type"] != "presence":
                pass
            assert len(text) <= LARGEST
            shown = heard["payload"]
            found += [one["user"] for one in shown["members"]]
        assert found == [f"user-{at:02}" for at in range(90)]


def waiting(running: Gateway) -> list[int]:
    """The bytes that wait for each client."""
    return [connection.transport.buffered() for connection in running.running._pod.hub.everybody()]


async def unread(running: Gateway, user: str) -> Client:
    """A client that reads nothing more. The kernels take a few megabytes, and what is sent beyond that waits."""
    client = await running.connect(user)
    client.reader._transport.pause_reading()  # type: ignore[attr-defined]
    return client


async def settled(running: Gateway) -> list[int]:
    """The bytes that wait for each client, once they stay the same for a while."""
    before, same = [-1], 0
    while same < 20:
        await asyncio.sleep(0.02)
        now = waiting(running)
        before, same = now, same + 1 if now == before else 0
    return before


async def test_pages_that_are_not_read_wait_in_a_bounded_number_of_bytes(tmp_path: Path) -> None:
    """A client that asks for far more than it reads makes the pod read nothing more from it; others are served."""
    limit = 256 * 1024
    async with gateway(rooms_file=policies(tmp_path), **FREE, send_buffer_bytes=limit) as running:
        await filled(running, "chat.a", 40, 50_000)
        calm = await running.connect("calm")
        greedy = [await unread(running, f"greedy-{number}") for number in range(3)]
        for client in greedy:
            client.writer.write(frame(1, b'{"type":"history","room":"chat.a","limit":1000}') * 300)
        most = await settled(running)
        assert max(most) > limit
        assert max(most) <= limit + 2 * LARGEST
        assert (await calm.ask({"type": "ping", "id": "1"}))["type"] == "pong"


async def test_a_client_that_reads_its_pages_steadily_is_not_slow(tmp_path: Path) -> None:
    """Also when more of them wait than its send buffer holds, and its rooms go on meanwhile."""
    limit = 256 * 1024
    async with gateway(rooms_file=policies(tmp_path), **FREE, send_buffer_bytes=limit) as running:
        await filled(running, "log.a", 40, 50_000)
        reader = await running.join("reader", "chat.a")
        speaker = await running.connect("speaker")
        reader.reader._transport.pause_reading()  # type: ignore[attr-defined]
        reader.writer.write(frame(1, b'{"type":"history","room":"log.a","limit":1000,"id":"1"}') * 300)
        await settled(running)
        for number in range(10):
            await speaker.ask({"type": "broadcast", "room": "chat.a", "payload": number, "id": "1"})
        reader.reader._transport.resume_reading()  # type: ignore[attr-defined]
        pages = 0
        heard: list[int] = []
        while pages < 300 or len(heard) < 10:
            sentence = await reader.hear()
            pages += sentence["type"] == "history"
            if sentence["type"] == "broadcast":
                heard.append(sentence["payload"])
        assert heard == list(range(10))


async def test_resumes_that_are_not_read_wait_in_a_bounded_number_of_bytes(tmp_path: Path) -> None:
    """Ten joins with `since` of long histories are ten answers and a few parts; a client that reads gets all of it."""
    limit = 256 * 1024
    async with gateway(rooms_file=policies(tmp_path), **FREE, send_buffer_bytes=limit) as running:
        rooms = [f"chat.{number}" for number in range(10)]
        for room in rooms:
            await filled(running, room, 30, 50_000)
        greedy = await unread(running, "greedy")
        for room in rooms:
            position = await running.running._pod.bus.history(RoomName(room), Query(0), Retention(1000, 60))
            since = {"epoch": position.top.epoch, "offset": 0}
            await greedy.say({"type": "join", "room": room, "since": since, "id": room})
        assert max(await settled(running)) <= limit + 2 * LARGEST
        greedy.reader._transport.resume_reading()  # type: ignore[attr-defined]
        heard: dict[str, list[int]] = {room: [] for room in rooms}
        while any(len(numbers) < 30 for numbers in heard.values()):
            sentence = await greedy.hear()
            if sentence["type"] == "broadcast":
                heard[sentence["room"]].append(sentence["offset"])
            else:
                assert sentence["payload"]["recovered"]
        assert all(numbers == list(range(1, 31)) for numbers in heard.values())


async def test_every_client_of_a_storm_resumes_all_it_missed(tmp_path: Path) -> None:
    """Many clients that resume many messages at once each get all of them, in order."""
    clients, messages = 150, 300
    async with gateway(rooms_file=policies(tmp_path), **FREE) as running:
        await filled(running, "chat.a", messages, 200)
        position = await running.running._pod.bus.history(RoomName("chat.a"), Query(0), Retention(1000, 60))
        since = {"epoch": position.top.epoch, "offset": 0}
        crowd = [await running.connect(f"user-{number}") for number in range(clients)]
        for client in crowd:
            client.writer.write(frame(1, json.dumps({"type": "join", "room": "chat.a", "since": since}).encode()))
        for client in crowd:
            assert (await client.hear("joined"))["payload"]["recovered"]
            assert [(await client.hear("broadcast"))["offset"] for _ in range(messages)] == list(range(1, messages + 1))
