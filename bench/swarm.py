"""Many clients of the Python SDK in one process. It reports the messages as JSON lines on standard output.

The first line of standard input is `{"url", "tokens", "rooms"}`: a client for each token, in the rooms in turn. Then
`{"do": "phase"}` begins the next phase, and `{"do": "report"}` asks for a report. bench/node/swarm.mjs is the same in
JavaScript.
"""

import asyncio
import json
import sys
import time
from functools import partial
from itertools import pairwise
from typing import Any

from forestay_client import Client, Message, StateChange

PHASES = 4


class Listener:
    """One client, and every number that it received."""

    def __init__(self, swarm: "Swarm", url: str, token: str, room: str) -> None:
        self._swarm = swarm
        self.numbers: list[int] = []
        self.changes = 0
        self.gaps = [0.0] * PHASES
        self._last = 0.0
        self.client = Client(url, get_token=lambda: token)
        self.room = self.client.room(room)
        self.room.on("message", self._hear)

    async def enter(self) -> None:
        self.client.connect()
        await self.client.ready()
        await self.room.join()
        self.client.on("state", self._change)

    def _hear(self, message: Message) -> None:
        now, phase = time.monotonic(), self._swarm.phase
        if self._last:
            self.gaps[phase] = max(self.gaps[phase], now - self._last)
        self._last = now
        self.numbers.append(message.payload["n"])

    def _change(self, change: StateChange) -> None:
        self.changes += 1
        self._swarm.connected += {"connected": 1, "connecting": -1}.get(change.state, 0)


class Swarm:
    """All of them."""

    def __init__(self) -> None:
        self.phase = 0
        self.connected = 0
        self._listeners: list[Listener] = []

    async def enter(self, given: dict[str, Any]) -> None:
        """Connect all of them, fifty at a time."""
        rooms = given["rooms"]
        self._listeners = [
            Listener(self, given["url"], token, rooms[number % len(rooms)])
            for number, token in enumerate(given["tokens"])
        ]
        places = asyncio.Semaphore(50)

        async def one(listener: Listener) -> None:
            async with places:
                await listener.enter()

        await asyncio.gather(*map(one, self._listeners))
        self.connected = len(self._listeners)

    def report(self) -> dict[str, Any]:
        heard = [listener.numbers for listener in self._listeners]
        return {
            "last": min((numbers[-1] for numbers in heard if numbers), default=0),
            "lost": sum(max(numbers) - min(numbers) + 1 - len(set(numbers)) for numbers in heard if numbers),
            "deaf": sum(not numbers for numbers in heard),
            "repeated": sum(len(numbers) - len(set(numbers)) for numbers in heard),
            "disordered": sum(a > b for numbers in heard for a, b in pairwise(numbers)),
            "changes": sum(listener.changes for listener in self._listeners),
            "connected": self.connected,
            "gaps": [max(listener.gaps[phase] for listener in self._listeners) for phase in range(PHASES)],
        }


async def main() -> None:
    """Carry out the commands of the lines until the input ends."""
    swarm = Swarm()
    commands = asyncio.StreamReader(limit=1 << 24)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    say = partial(print, flush=True)
    async for line in commands:
        match json.loads(line):
            case {"do": "phase"}:
                swarm.phase += 1
            case {"do": "report"}:
                say(json.dumps(swarm.report()))
            case given:
                await swarm.enter(given)
                say(json.dumps({"ready": True}))
    # The clients are not closed: thousands of closes would only cost time.
    sys.stdout.flush()
    sys.exit()


if __name__ == "__main__":
    asyncio.run(main())
