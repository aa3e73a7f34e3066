"""What clients ask for and do not read, and what they begin and do not finish: real sockets, and all is bounded."""

import json
from pathlib import Path

from tests.support.gateway import Client, Gateway, gateway

LARGEST = 65536


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
    async with gateway(rooms_file=policies(tmp_path), message_rate=0) as running:
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
    async with gateway(rooms_file=policies(tmp_path, "presence = true\n"), message_rate=0) as running:
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
