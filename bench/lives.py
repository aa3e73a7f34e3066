"""Clients that come and go: they speak, ask, hang up, vanish, stop reading, or never had a right to come."""

import asyncio
import base64
import json
import os
import random
import struct
from collections import Counter

from bench.crowd import token

Target = tuple[int, random.Random]
"""The port of a pod, and where a life takes its chances from."""

BUSY = "soak.busy"
"""The room of which nobody can read everything in time who does not read at all."""
USERS, ROOMS = 2000, 300
# Seconds that no step of a life takes unless the pod is busy, drains or waits for Redis.
_PATIENCE = 15.0


def frame(opcode: int, payload: bytes) -> bytes:
    """A client's frame. The mask is all zeros, so that masking costs nothing."""
    size = len(payload)
    head = (
        struct.pack("!BB", 0x80 | opcode, 0x80 | size) if size < 126 else struct.pack("!BBH", 0x80 | opcode, 254, size)
    )
    return head + b"\0\0\0\0" + payload


def say(**message: object) -> bytes:
    return frame(1, json.dumps(message).encode())


class Life:
    """One client of the native WebSocket, from its first byte to its last."""

    path = "/ws"

    def __init__(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], target: Target) -> None:
        self._reader, self._writer = streams
        self._port, self._dice = target

    async def upgrade(self, bearer: str) -> bool:
        """Send the handshake; whether it was accepted."""
        key = base64.b64encode(os.urandom(16)).decode()
        head = f"GET {self.path} HTTP/1.1\r\nHost: soak\r\nUpgrade: websocket\r\nConnection: Upgrade"
        head += "\r\nSec-WebSocket-Version: 13"
        self._writer.write(f"{head}\r\nSec-WebSocket-Key: {key}\r\nAuthorization: Bearer {bearer}\r\n\r\n".encode())
        return b" 101 " in await self._reader.readuntil(b"\r\n\r\n")

    async def talk(self) -> None:
        """Join rooms, speak, ask what was and who is there, leave some, and read meanwhile."""
        rooms = [f"soak.{self._dice.randrange(ROOMS)}" for _ in range(3)]
        reading = asyncio.ensure_future(self._read())
        try:
            for room in rooms:
                self._writer.write(say(type="join", room=room, id="j"))
            for room in rooms:
                size = self._dice.choice((10, 300, 9000))
                self._writer.write(say(type="broadcast", room=room, payload="x" * size, id="b"))
                self._writer.write(say(type="history", room=room, id="h", payload={"limit": 20}))
                self._writer.write(say(type="presence", room=room, id="p"))
                self._writer.write(say(type="broadcast", room=BUSY, payload="x" * 3000))
                await asyncio.sleep(self._dice.uniform(0.05, 0.4))
            self._writer.write(say(type="leave", room=rooms[0]) + say(type="?") + frame(1, b"{") + frame(9, b"ping"))
            await asyncio.sleep(self._dice.uniform(0.05, 0.4))
        finally:
            reading.cancel()
            await asyncio.wait([reading])

    async def stop_reading(self) -> None:
        """Join the busy room and read nothing, until the pod has had enough or the time is up."""
        self._writer.write(say(type="join", room=BUSY))
        await self._pause()

    async def say_goodbye(self) -> None:
        self._writer.write(frame(8, struct.pack("!H", 1000)))
        await self._read()

    async def break_the_rules(self) -> None:
        self._writer.write(b"\xf0\x80\0\0\0\0")
        await self._read()

    async def _pause(self) -> None:
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(self._dice.uniform(2, 5))
        self._writer.transport.resume_reading()  # type: ignore[attr-defined]

    async def _read(self) -> None:
        while await self._reader.read(65536):
            pass

    def vanish(self) -> None:
        self._writer.transport.abort()


async def live(door: type[Life], target: Target, counts: Counter[str]) -> None:
    """One life. What happened is counted in `counts`; trouble with a pod that drains or waits is a part of it."""
    port, dice = target
    kind = dice.choices(
        ("talks", "vanishes", "breaks the rules", "is slow", "has no right", "is silent"), (45, 30, 5, 5, 10, 5)
    )[0]
    counts[kind] += 1
    try:
        async with asyncio.timeout(_PATIENCE):
            life = door(await asyncio.open_connection("127.0.0.1", port), target)
            try:
                await _lived(life, kind, f"user-{dice.randrange(USERS)}", dice)
            finally:
                life.vanish()
    except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError) as trouble:
        counts[type(trouble).__name__] += 1


async def _lived(life: Life, kind: str, user: str, dice: random.Random) -> None:
    if kind == "is silent":
        await asyncio.sleep(dice.uniform(0, 2))
        return
    if not await life.upgrade("no token" if kind == "has no right" else token(user)):
        return
    if kind == "is slow":
        await life.stop_reading()
    else:
        await life.talk()
    if kind == "talks":
        await life.say_goodbye()
    elif kind == "breaks the rules":
        await life.break_the_rules()
