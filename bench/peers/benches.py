"""The loads of `python -m bench peers`, each as one table of the page."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bench.chart import Bars
from bench.connect import storm
from bench.fanout import fan_out
from bench.idle import idle
from bench.inbound import inbound
from bench.peers.beside import beside
from bench.peers.sigterm import sigterm
from bench.peers.table import PEERS
from bench.pods import two_pods
from bench.rounds import Figures
from bench.servers import VARIANTS, Running, running

_DELIVERIES = Bars("k deliveries/CPU-s", "thousand deliveries per CPU-second of the server")
_QUIET = {"FORESTAY_PING_INTERVAL": "3600"}
_SMALL = 20
"""By how much a quick run divides its crowds."""


@dataclass(frozen=True, slots=True)
class Bench:
    """One table of the page."""

    title: str
    bars: Bars
    run: Callable[[str], Figures]
    """Starts the server of that name and puts the load on it."""
    takes: Callable[[str], bool] = lambda _: True
    """Whether a server can take part."""


def benches(seconds: float, redis: str, *, quick: bool) -> dict[str, Bench]:
    """All of them, by name."""

    def size(number: int) -> int:
        return number // _SMALL if quick else number

    def alone(work: Callable[[Running], Figures], name: str) -> Figures:
        with running(name, **_QUIET) as server:
            return work(server)

    made = {}
    for rate in (20, 100, 500):
        load = partial(fan_out, subscribers=size(1000), rooms=1, rate=rate, seconds=seconds)
        title = f"Fan-out: {size(1000):,} members of one room, {rate} messages/s"
        made[f"fanout-{rate}"] = Bench(title, _DELIVERIES, partial(alone, load))
    for rate in (500, 2000):
        load = partial(fan_out, subscribers=size(2000), rooms=size(500), rate=rate, seconds=seconds)
        title = f"Small rooms: {size(500)} rooms of four, {rate:,} messages/s in all"
        made[f"small-{rate}"] = Bench(title, _DELIVERIES, partial(alone, load))
    publishers = partial(inbound, publishers=size(200), rate=20, seconds=seconds)
    made["inbound"] = Bench(
        f"Inbound: {size(200)} publishers at 20 messages/s, each to the one other member of its room",
        Bars("us CPU/message", "CPU microseconds per message", "less is better"),
        partial(alone, publishers),
        lambda name: name in VARIANTS or PEERS[name].dialect.spares_sender,
    )
    made["beside"] = Bench(
        f"A room of two beside a room of {size(1000):,} at 500 messages/s",
        Bars("p99 ms", "99th percentile of the small room's latency, ms", "less is better"),
        partial(alone, partial(beside, members=size(1000), seconds=seconds)),
    )
    for rate in (100, 1000):
        made[f"pods-{rate}"] = Bench(
            f"Two pods on one Redis: 200 members on the other pod, {rate:,} messages/s",
            Bars("k deliveries/CPU-s", "thousand deliveries per CPU-second of the receiving pod"),
            partial(two_pods, redis, rate, seconds),
            lambda name: name in VARIANTS or PEERS[name].redis is not None,
        )
    made["connect"] = Bench(
        f"Connecting: {size(2000):,} clients at once, token and join",
        Bars("connections/CPU-s", "connections per CPU-second of the server"),
        partial(alone, partial(storm, clients=size(2000))),
    )
    made["idle"] = Bench(
        f"Idle: memory of a connection in one room, {size(5000) // 50 * 50:,} connections",
        Bars("KiB/connection", "KiB of resident memory", "less is better"),
        partial(alone, partial(idle, clients=size(5000))),
    )
    patience = 3.0 if quick else 75.0
    made["sigterm"] = Bench(
        f"SIGTERM: what {size(1000):,} idle clients see, in {patience:g} s",
        Bars("last s", "seconds until the last client heard", "ours spreads them on purpose"),
        partial(alone, partial(sigterm, clients=size(1000), patience=patience)),
    )
    return made
