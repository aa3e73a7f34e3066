"""A room of two beside a large room at 500 messages/s: how long the small room's messages wait for the large one."""

from functools import partial

from bench.crowd import crowd_at
from bench.rounds import Figures
from bench.servers import Running
from forestay.terminal.crowd import Speech, percentile

_LARGE_RATE, _SMALL_RATE = 500.0, 50.0


def beside(server: Running, *, members: int, seconds: float) -> Figures:
    """Publish into both. The latencies are those of the small room."""
    crowd = crowd_at(server.port)
    connect = partial(server.dialect.connect, crowd, server.port)
    large = connect("bench.large", members, sample=0)
    small = connect("bench.small", 2)
    # One speech in turn: ten messages for the large room to each one for the small room.
    each = round(_LARGE_RATE / _SMALL_RATE)
    speakers = [*[(large[1], "bench.large")] * each, (small[0], "bench.small")]
    speech = Speech(speakers, _LARGE_RATE + _SMALL_RATE, encode=server.dialect.encode)
    speech.give(crowd, 1.0)
    crowd.read_until(round(_LARGE_RATE) * members + round(_SMALL_RATE) * 2, 10.0)
    crowd.reset()
    cpu = server.cpu()
    sent = speech.give(crowd, seconds)
    to_small = sent // len(speakers)
    due = (sent - to_small) * members + to_small * 2
    crowd.read_until(due, 10.0)
    cpu = server.cpu() - cpu
    crowd.close()
    return {
        "p50 ms": percentile(crowd.latencies, 0.5) / 1e6,
        "p99 ms": percentile(crowd.latencies, 0.99) / 1e6,
        "k deliveries/CPU-s": crowd.count / max(cpu, 0.01) / 1000,
        "lost": due - crowd.count,
    }
