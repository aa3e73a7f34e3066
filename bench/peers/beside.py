"""A room of two beside a large room at 500 messages/s: how long the small room's messages wait for the large one."""

import multiprocessing
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection

from bench.crowd import crowd_at
from bench.rounds import Figures
from bench.servers import Running
from forestay.terminal.crowd import Speech, percentile

_LARGE_RATE, _SMALL_RATE = 500.0, 50.0
_WARM_UP = 1.0
_ROOM = "bench.small"


@dataclass(frozen=True, slots=True)
class _Heard:
    """What came to the small room."""

    latencies: list[int]
    lost: int


def _small_room(server: Running, seconds: float, pipe: Connection) -> None:
    """Publish into the small room and read it, in a process of its own.

    A reader of both rooms would find the small one's messages behind a thousand others that it has to read first.
    """
    crowd = crowd_at(server.port)
    small = server.dialect.connect(crowd, server.port, _ROOM, 2)
    speech = Speech([(small[0], _ROOM)], _SMALL_RATE, encode=server.dialect.encode)
    pipe.send(None)
    pipe.recv()
    crowd.read_until(2 * speech.give(crowd, _WARM_UP), 10.0)
    crowd.reset()
    due = 2 * speech.give(crowd, seconds)
    crowd.read_until(due, 10.0)
    pipe.send(_Heard(crowd.latencies, due - crowd.count))
    crowd.close()


def beside(server: Running, *, members: int, seconds: float) -> Figures:
    """Publish into both. The latencies are those of the small room."""
    crowd = crowd_at(server.port)
    connect = partial(server.dialect.connect, crowd, server.port)
    large = connect("bench.large", members, sample=0)
    # Forked, so that it knows the server without words.
    context = multiprocessing.get_context("fork")
    pipe, theirs = context.Pipe()
    small = context.Process(target=_small_room, args=(server, seconds, theirs))
    small.start()
    try:
        pipe.recv()
        speech = Speech([(large[1], "bench.large")], _LARGE_RATE, encode=server.dialect.encode)
        pipe.send(None)
        crowd.read_until(members * speech.give(crowd, _WARM_UP), 10.0)
        crowd.reset()
        cpu = server.cpu()
        due = members * speech.give(crowd, seconds)
        crowd.read_until(due, 10.0)
        cpu = server.cpu() - cpu
        heard: _Heard = pipe.recv()
        lost = due - crowd.count + heard.lost
    finally:
        small.kill()
        small.join()
        crowd.close()
    return {
        "p50 ms": percentile(heard.latencies, 0.5) / 1e6,
        "p99 ms": percentile(heard.latencies, 0.99) / 1e6,
        "k deliveries/CPU-s": crowd.count / max(cpu, 0.01) / 1000,
        "lost": lost,
    }
