"""The lives of clients at the other doors: Socket.IO on WebSocket, Socket.IO by polling, and event streams."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from bench.lives import BUSY, ROOMS, Life, frame, live

_PATH: Final = "/socket.io/?EIO=4&transport="
_FORM: Final = "text/plain;charset=UTF-8"


class SocketIOLife(Life):
    """A Socket.IO client that uses WebSocket alone."""

    path = f"{_PATH}websocket"

    async def upgrade(self, bearer: str) -> bool:
        if not await super().upgrade(bearer):
            return False
        self._send("40" + json.dumps({"token": bearer}))
        return b"40{" in await self._reader.readuntil(b"}") or await self._joined()

    async def talk(self) -> None:
        """Join rooms, speak, ask what was and who is there, leave some, and read meanwhile."""
        reading = asyncio.ensure_future(self._read())
        try:
            for packet in packets(self._dice):
                self._send(packet)
            await asyncio.sleep(self._dice.uniform(0.2, 1.5))
        finally:
            reading.cancel()
            await asyncio.wait([reading])

    async def stop_reading(self) -> None:
        self._send(f'42["join-room","{BUSY}"]')
        await self._pause()

    async def say_goodbye(self) -> None:
        self._send("41")
        await super().say_goodbye()

    async def break_the_rules(self) -> None:
        self._send(self._dice.choice(("9", "4", "42[", '42["connect"]', '451-["a",{}]', "2", "40/nowhere,")))
        # Some of these do not end a session.
        await super().say_goodbye()

    async def _joined(self) -> bool:
        """Whether the answer to CONNECT is its second packet."""
        return b"40{" in await self._reader.readuntil(b"}")

    def _send(self, packet: str) -> None:
        self._writer.write(frame(1, packet.encode()))


class PollingLife(Life):
    """A Socket.IO client that uses polling alone. Each of its requests has a connection of its own."""

    async def upgrade(self, bearer: str) -> bool:
        self._session = f"{_PATH}polling"
        opened = await self._ask("GET", "")
        if not opened.startswith("0{"):
            return False
        self._session += "&sid=" + quote(json.loads(opened[1:])["sid"])
        await self._ask("POST", "40" + json.dumps({"token": bearer}))
        return (await self._ask("GET", "")).startswith("40{")

    async def talk(self) -> None:
        """The same, with several packets in some requests."""
        polling = asyncio.ensure_future(self._poll())
        try:
            waiting = packets(self._dice)
            while waiting:
                number = self._dice.randrange(1, 5)
                await self._ask("POST", "\x1e".join(waiting[:number]))
                waiting = waiting[number:]
                await asyncio.sleep(self._dice.uniform(0, 0.2))
        finally:
            polling.cancel()
            await asyncio.wait([polling])

    async def stop_reading(self) -> None:
        """Join the busy room, and never poll again."""
        await self._ask("POST", f'42["join-room","{BUSY}"]')
        await asyncio.sleep(self._dice.uniform(2, 5))

    async def say_goodbye(self) -> None:
        await self._ask("POST", "1")

    async def break_the_rules(self) -> None:
        await self._ask("POST", self._dice.choice(("", "9", "4", "\x1e\x1e", "b!", "2probe", "42[")))

    async def _poll(self) -> None:
        while await self._ask("GET", ""):
            pass

    async def _ask(self, method: str, body: str) -> str:
        """The body of the answer; empty where the gateway refuses."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(request(method, self._session, body))
            head, _, answer = (await reader.read()).decode().partition("\r\n\r\n")
            return answer if " 200 " in head.partition("\r\n")[0] else ""
        finally:
            writer.transport.abort()


class StreamLife(Life):
    """A reader of an event stream, who publishes by plain HTTP."""

    async def upgrade(self, bearer: str) -> bool:
        self._bearer = bearer
        self._rooms = [f"soak.{self._dice.randrange(ROOMS)}" for _ in range(3)]
        query = "&".join(f"room={room}" for room in (*self._rooms, *self._more()))
        self._writer.write(request("GET", f"/stream?{query}", "", bearer))
        return b" 200 " in await self._reader.readuntil(b"\r\n\r\n")

    async def talk(self) -> None:
        """Publish, ask what was and who is there, and read meanwhile. In the end some ask for what came since."""
        reading = asyncio.ensure_future(self._read())
        try:
            for room in self._rooms:
                said = json.dumps({"payload": "x" * self._dice.choice((10, 300, 9000))})
                await self._ask("POST", f"/rooms/{room}/messages", said)
                await self._ask("GET", f"/rooms/{room}/history?limit=20", "")
                await self._ask("GET", f"/rooms/{room}/presence", "")
                await asyncio.sleep(self._dice.uniform(0.05, 0.4))
        finally:
            reading.cancel()
            await asyncio.wait([reading])

    async def stop_reading(self) -> None:
        await self._pause()

    async def say_goodbye(self) -> None:
        self._writer.write_eof()

    async def break_the_rules(self) -> None:
        self._writer.write(b"a client of a stream says nothing\r\n")
        await self._read()

    def _more(self) -> list[str]:
        return [BUSY] if self._dice.random() < 0.2 else []

    async def _ask(self, method: str, path: str, body: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(request(method, path, body, self._bearer, "application/json"))
            await reader.read()
        finally:
            writer.transport.abort()


def packets(dice: random.Random) -> list[str]:
    """What a Socket.IO client says: good requests, some that are refused, and an attachment that nobody waits for."""
    rooms = [f"soak.{dice.randrange(ROOMS)}" for _ in range(3)]
    said = [f'421["join-room","{room}"]' for room in rooms]
    for room in rooms:
        payload = "x" * dice.choice((10, 300, 9000))
        said.append(f'422["message",{{"room":"{room}","payload":"{payload}"}}]')
        said.append(f'423["history",{{"room":"{room}","limit":20}}]')
        said.append(f'424["presence",{{"room":"{room}"}}]')
        said.append(f'42["message",{{"room":"{BUSY}","payload":"{"x" * 3000}"}}]')
    return [*said, f'42["leave-room","{rooms[0]}"]', '425["no rule"]', "3"]


def request(method: str, path: str, body: str, bearer: str = "", kind: str = _FORM) -> bytes:
    """One request on a connection of its own."""
    head = f"{method} {path} HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n"
    if bearer:
        head += f"Authorization: Bearer {bearer}\r\n"
    data = body.encode()
    if method == "POST":
        head += f"Content-Type: {kind}\r\nContent-Length: {len(data)}\r\n"
    return f"{head}\r\n".encode() + data


DOORS: Final = {"native": Life, "Socket.IO": SocketIOLife, "polling": PollingLife, "stream": StreamLife}
_SHARES: Final = (55, 15, 15, 15)


async def crowd(ports: Sequence[int], clients: int, over: asyncio.Event, counts: Counter[str]) -> None:
    """Keep `clients` lives going until `over` is set. Each goes to one of `ports`, the first one twice as often."""

    async def place(number: int) -> None:
        dice = random.Random(number)
        while not over.is_set():
            [door] = dice.choices(list(DOORS), _SHARES)
            counts[f"by {door}"] += 1
            await live(DOORS[door], (dice.choice((ports[0], *ports)), dice), counts)

    await asyncio.gather(*(place(number) for number in range(clients)))
