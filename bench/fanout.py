"""One room, a thousand subscribers, 200-byte messages at a steady rate; or ten rooms of a hundred."""

import time
from functools import partial

from bench.chart import Bars
from bench.crowd import crowd_at
from bench.rounds import Figures, each, measure, options, ratio, report
from bench.servers import Running
from forestay.terminal.crowd import Speech, join, percentile, send

WARM_UP = 1.0


class FanOut:
    """`subscribers` in `rooms`, an equal share in each, and `rate` messages a second in all."""

    def __init__(self, server: Running, *, subscribers: int, rooms: int, rate: float) -> None:
        self.crowd = crowd_at(server.port)
        self._each = subscribers // rooms
        names = [f"bench.{number}" for number in range(rooms)]
        connect = partial(server.dialect.connect, self.crowd, server.port, number=self._each, sample=20)
        speakers = [(connect(name)[0], name) for name in names]
        self._speech = Speech(speakers, rate, encode=server.dialect.encode)

    def run(self, seconds: float) -> int:
        """Publish for `seconds` and count the deliveries. Returns how many are expected."""
        due = self._speech.give(self.crowd, seconds) * self._each
        self.crowd.read_until(due, 10.0)
        return due


class ManyRooms:
    """`members` who are in all of `rooms`, and `rate` messages a second in all."""

    def __init__(self, server: Running, *, members: int, rooms: int, rate: float) -> None:
        self.crowd = crowd_at(server.port)
        self._members = members
        names = [f"bench.{number}" for number in range(rooms)]
        made = self.crowd.connect(names[0], members, sample=20)
        for name in names[1:]:
            for one in made:
                send(one, join(name))
        # The answers have no mark. They have come when the next message has.
        self._speech = Speech([(made[0], name) for name in names], rate)

    def run(self, seconds: float) -> int:
        """Publish for `seconds` and count the deliveries. Returns how many are expected."""
        due = self._speech.give(self.crowd, seconds) * self._members
        self.crowd.read_until(due, 10.0)
        return due


def fan_out(server: Running, *, subscribers: int, rooms: int, rate: float, seconds: float) -> Figures:
    """Publish to them, and count what arrives."""
    load = FanOut(server, subscribers=subscribers, rooms=rooms, rate=rate)
    crowd = load.crowd
    load.run(WARM_UP)
    crowd.reset()
    cpu, own = server.cpu(), time.process_time()
    due = load.run(seconds)
    cpu, own = server.cpu() - cpu, time.process_time() - own
    crowd.close()
    return {
        "k deliveries/CPU-s": crowd.count / max(cpu, 0.01) / 1000,
        "p50 ms": percentile(crowd.latencies, 0.5) / 1e6,
        "p99 ms": percentile(crowd.latencies, 0.99) / 1e6,
        "lost": due - crowd.count,
        "server CPU %": cpu / seconds * 100,
        "generator CPU %": own / seconds * 100,
    }


def main() -> None:
    parser = options(__doc__, "forestay,forestay-norest,plain,ws", seconds=6)
    parser.add_argument("--rates", default="20,100,500", help="messages per second in all (20,100,500)")
    parser.add_argument("--rooms", type=int, default=1, help="over how many rooms (1)")
    parser.add_argument("--subscribers", type=int, default=1000, help="connections in all (1000)")
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.seconds, given.rates, given.subscribers = 1, 1.0, "100", 50
    for rate in map(float, given.rates.split(",")):
        work = partial(fan_out, subscribers=given.subscribers, rooms=given.rooms, rate=rate, seconds=given.seconds)
        found = measure(each(given.servers, work), given.rounds)
        where = "one room" if given.rooms == 1 else f"{given.rooms} rooms"
        title = f"Fan-out: {given.subscribers:,} subscribers in {where}, {rate:g} messages/s"
        bars = Bars("k deliveries/CPU-s", "thousand deliveries per CPU-second of the server")
        middle = report(f"fanout-{given.rooms}x{rate:g}", title, found, bars, keep=not given.quick)
        ratio(middle, "k deliveries/CPU-s", "forestay", "plain")
        ratio(middle, "k deliveries/CPU-s", "forestay", "forestay-norest")
        ratio(middle, "p99 ms", "forestay", "forestay-norest")


if __name__ == "__main__":
    main()
