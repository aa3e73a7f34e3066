"""Takes messages of clients and writes them to the members of their rooms: one pod, and neither sockets nor the kernel.

`bench.road` runs it with each Python that it compares. It prints the microseconds of CPU of a message, as JSON.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, islice

from forestay.core.rules.access import Identity, Rights
from forestay.core.rules.policies import Policies
from forestay.edge.websocket.group_writes import group_writer
from forestay.edge.websocket.native import NativeClient, NativeSocket
from forestay.edge.websocket.open_sockets import MessageLimits, OpenSockets
from forestay.edge.websocket.receiver import Receiver
from forestay.edge.websocket.upgrade import Released
from forestay.edge.websocket.websocket import SocketLimits
from forestay.pod.event_loops import choose
from forestay.pod.tasks import Supervisor
from forestay.pod.telemetry import observe
from forestay.pod.wiring import Observed, Pod, assemble
from forestay.settings.settings import Settings, load
from forestay.terminal.crowd import message

try:
    from forestay.pod.links import link
except ImportError:
    # A revision that is compared may have it where it was before.
    from forestay.pod.wiring import link  # type: ignore[attr-defined,no-redef]

ROOMS = 100


class Sink(asyncio.Transport):
    """The transport of a client whose kernel takes everything at once."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0

    def write(self, data: object) -> None:
        self.writes += 1

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def is_reading(self) -> bool:
        return True

    def resume_reading(self) -> None:
        """Nothing has paused."""

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Only the bench calls it."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing waits here."""


class NoTokens:
    """A Verifier that nobody asks."""

    async def verify(self, token: str) -> Identity:
        raise NotImplementedError

    async def close(self) -> None:
        """There is nothing to close."""


class Place:
    """The place of a client for which nothing is limited."""

    def leave(self) -> None:
        """There is nothing to give back."""


async def connect(pod: Pod, settings: Settings, sockets: OpenSockets, room: str) -> tuple[Receiver, Sink]:
    """A client in a room of its own or of others."""
    sink = Sink()
    socket = NativeSocket(sink, pod.wires.plain, 5.0)
    receiver = Receiver(Released(sink, b"", sockets), socket, SocketLimits(settings.max_message_bytes, 65536, 5.0))
    identity = Identity(f"user-{random.random()}", Rights({"**": "rwph"}), time.time() + 3600)
    connection = await pod.sessions.start(identity, socket)
    pod.sessions.greet(connection)
    receiver.begin(NativeClient(pod.dispatcher, pod.sessions, connection, pod.wires.plain, Place()))
    receiver.data_received(joining(room))
    return receiver, sink


def joining(room: str) -> bytes:
    """The frame of a `join`."""
    text = b'{"type":"join","room":"%b"}' % room.encode()
    return bytes([0x81, 0x80 | len(text)]) + bytes(4) + text


async def feed(calls: Sequence[Callable[[], object]], number: int, each: int) -> float:
    """Make `number` of the calls in turn, `each` of them in one turn of the loop. Seconds of CPU."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    due = islice(cycle(calls), number)

    def turn() -> None:
        made = 0
        for call in islice(due, each):
            call()
            made += 1
        if made:
            loop.call_soon(turn)
        else:
            done.set()

    started = time.process_time()
    loop.call_soon(turn)
    await done.wait()
    return time.process_time() - started


async def cost(members: int, number: int, each: int) -> float:
    """Microseconds of CPU of a message into a room of so many members."""
    # A machine that is busy makes passes longer, and a rest after them would put messages together.
    rates = {"message_rate": 1e6, "message_burst": 1e6, "message_bytes_rate": 1e9}
    settings = load({}, **rates, flush_rest=0, jwt_secret="x" * 32)
    seen = observe(settings, asyncio.get_running_loop())
    observed = Observed(seen.observer, seen.tracing, seen.counts.traffic)
    links = link(settings, seen.observer, Supervisor(random.uniform))
    pod = assemble(settings, Policies(), links, NoTokens(), observed, group_writer())
    sockets = OpenSockets(MessageLimits(30.0, 1024), lambda: None)
    calls, sinks = [], []
    for name in (f"bench.{at}" for at in range(ROOMS)):
        for _ in range(members):
            receiver, sink = await connect(pod, settings, sockets, name)
            calls.append(partial(receiver.data_received, message(name)))
            sinks.append(sink)
    await feed(calls, number // 4, each)
    idle = await feed([partial(len, b"")], number, each)
    before = sum(sink.writes for sink in sinks)
    busy = await feed(calls, number, each)
    written = sum(sink.writes for sink in sinks) - before
    if each == 1 and written != number * members:
        raise RuntimeError(f"{written} writes for {number} messages to {members} members")
    return (busy - idle) / number * 1e6


async def measure(number: int) -> dict[str, float]:
    """All figures of one round."""
    return {
        "two": await cost(2, number, 1),
        "four": await cost(4, number, 1),
        "two, 8 a turn": await cost(2, number, 8),
        "four, 8 a turn": await cost(4, number, 8),
    }


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=choose("auto")) as runner:
        print(json.dumps(runner.run(measure(int(sys.argv[1])))))
