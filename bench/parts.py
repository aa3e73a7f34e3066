"""What can be compared between two checkouts: a figure of a bench, and the work that shows it."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.checkouts import Checkout
from bench.churn import Churn
from bench.connect import Connections
from bench.fanout import FanOut, ManyRooms
from bench.idle import Memory
from bench.inbound import Inbound
from bench.scrape import TEXT, Scraper
from bench.servers import Running, serving
from bench.sitting import Deliveries, Load, Turns, Work
from tests.support.local_redis import QUICK, RedisServer

_SMALL = 20
"""By how much a quick run divides its crowds."""
# A crowd reads only during its turns, and never answers a ping.
_quiet = partial(serving, FORESTAY_PING_INTERVAL="3600")


@dataclass(frozen=True, slots=True)
class Part:
    """One figure that is compared, and the work that shows it."""

    label: str
    figure: str
    work: Callable[[Running], Work]
    turns: Turns
    limit: float
    """Percent more that this tree may take."""
    serve: Callable[[Checkout], AbstractContextManager[Running]] = _quiet


@dataclass(frozen=True, slots=True)
class Terms:
    """What shapes the parts."""

    rates: Sequence[float]
    """Messages a second of the fan-out."""
    rooms: int
    inbound_rate: float
    """Messages a second of each publisher."""
    seconds: float
    limits: Mapping[str, float]
    """Of `cpu` and of `memory`."""
    quick: bool

    @property
    def turns(self) -> Turns:
        return Turns.within(self.seconds)

    def size(self, number: int) -> int:
        """`number`, or fewer in a quick run."""
        return number // _SMALL if self.quick else number


def chosen(names: Sequence[str], terms: Terms) -> list[Part]:
    """The parts of the benches called `names`."""
    return [part for name in names for part in _MADE[name](terms)]


def _fanout(terms: Terms) -> list[Part]:
    made = []
    for rate in terms.rates:
        load = partial(FanOut, subscribers=terms.size(1000), rooms=terms.rooms, rate=rate)
        made.append(Part(f"fan-out at {rate:g}/s", *_delivered(load), terms.turns, terms.limits["cpu"]))
    return made


def _inbound(terms: Terms) -> list[Part]:
    load = partial(Inbound, publishers=terms.size(200), rate=terms.inbound_rate)
    return [Part("inbound", *_delivered(load), terms.turns, terms.limits["cpu"])]


def _connect(terms: Terms) -> list[Part]:
    work = partial(Connections, clients=terms.size(200))
    return [Part("connect", "us CPU/connection", work, Turns(10), terms.limits["cpu"])]


def _idle(terms: Terms) -> list[Part]:
    return [Part("idle", "KiB/connection", partial(Memory, each=terms.size(100)), Turns(50), terms.limits["memory"])]


def _churn(terms: Terms) -> list[Part]:
    work = partial(Churn, members=terms.size(800), rate=300.0, moves=500.0)
    return [Part("churn", "us CPU/message", work, terms.turns, terms.limits["cpu"])]


def _scrape(terms: Terms) -> list[Part]:
    work = partial(Scraper, connections=terms.size(2000), accept=TEXT, each=10)
    serve = partial(_quiet, variant="forestay-presence")
    return [Part("scrape", "ms CPU/scrape", work, Turns(20), terms.limits["cpu"], serve)]


def _redis(terms: Terms) -> list[Part]:
    load = partial(FanOut, subscribers=terms.size(200), rooms=1, rate=200)
    return [Part("fan-out by Redis", *_delivered(load), terms.turns, terms.limits["cpu"], _on_redis)]


def _many(terms: Terms) -> list[Part]:
    load = partial(ManyRooms, members=terms.size(500), rooms=5, rate=100)
    return [Part("members of five rooms", *_delivered(load), terms.turns, terms.limits["cpu"])]


def _delivered(load: Callable[[Running], Load]) -> tuple[str, Callable[[Running], Work]]:
    """The figure and the work of a load whose deliveries are counted."""
    return "us CPU/delivery", lambda server: Deliveries(load(server))


@contextmanager
def _on_redis(checkout: Checkout) -> Iterator[Running]:
    """A pod with a Redis of its own as its bus."""
    with tempfile.TemporaryDirectory() as folder:
        redis = RedisServer(Path(folder), *QUICK)
        redis.start()
        try:
            with _quiet(checkout, FORESTAY_BUS_URL=redis.url) as server:
                yield server
        finally:
            redis.close()


_MADE: Mapping[str, Callable[[Terms], list[Part]]] = {
    "fanout": _fanout,
    "inbound": _inbound,
    "connect": _connect,
    "idle": _idle,
    "churn": _churn,
    "scrape": _scrape,
    "redis": _redis,
    "many": _many,
}
BENCHES = tuple(_MADE)
USUAL = BENCHES[:4]
"""The parts that are compared by default."""
