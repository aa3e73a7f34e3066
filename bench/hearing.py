"""One subscriber in a process of its own: redis-py's bare `listen()`, or our bus up to the hand-over to delivery.

`python -m bench.hearing redis-py|forestay URL NUMBER` receives NUMBER messages of one room. It prints the CPU
time and the latency.
"""

import asyncio
import json
import sys
import time

import redis.asyncio

from forestay.bus.redis.bus import BusLimits, RedisBus
from forestay.bus.redis.keys import KeySpace
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.terminal.crowd import MARK, percentile
from tests.support.subscriber import FunctionSubscriber
from tests.support.tasks import PlainTasks

ROOM = RoomName("bench.hearing")
PREFIX = "forestay"
CHANNEL = KeySpace(PREFIX).room(ROOM).channel
_DIGITS = 20


async def by_redis_py(url: str, number: int) -> list[int]:
    """Read as redis-py's documentation does. Returns the latencies in nanoseconds."""
    late: list[int] = []
    async with redis.asyncio.Redis.from_url(url) as client, client.pubsub() as pubsub:
        await pubsub.subscribe(CHANNEL)
        print("ready", flush=True)
        async for message in pubsub.listen():
            if message["type"] == "message":
                late.append(time.monotonic_ns() - _made(message["data"]))
                if len(late) == number:
                    break
    return late


async def by_our_bus(url: str, number: int) -> list[int]:
    """Read as a pod does, decoded and checked."""
    late: list[int] = []
    done = asyncio.Event()

    def heard(message: Message) -> None:
        late.append(time.monotonic_ns() - _made(message.payload))
        if len(late) == number:
            done.set()

    bus = RedisBus(url, limits=BusLimits(5, 5), observer=None, new_id=lambda: "bench", tasks=PlainTasks())
    await bus.start()
    bus.subscribe(ROOM, FunctionSubscriber(lambda: print("ready", flush=True), heard))
    await done.wait()
    await bus.close()
    return late


def _made(data: bytes) -> int:
    """The time in the message, at which it was made."""
    at = data.index(MARK) + len(MARK)
    return int(data[at : at + _DIGITS])


def main() -> None:
    kind, url, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
    started = time.process_time()
    late = asyncio.run(by_our_bus(url, number) if kind == "forestay" else by_redis_py(url, number))
    spent = time.process_time() - started
    print(json.dumps({"cpu": spent, "p50": percentile(late, 0.5), "p99": percentile(late, 0.99)}))


if __name__ == "__main__":
    main()
