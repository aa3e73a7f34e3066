"""One room, a thousand subscribers, 200-byte messages at a steady rate; or ten rooms of a hundred."""

import time
from functools import partial

from app.terminal.crowd import Speech, percentile
from bench.chart import Bars
from bench.crowd import crowd_at
from bench.rounds import Figures, each, measure, options, ratio, report
from bench.servers import Running

WARM_UP = 1.0


def fan_out(server: Running, *, subscribers: int, rooms: int, rate: float, seconds: float) -> Figures:
    """Publish `rate` messages a second in all, an equal share to each of `rooms`, and count what arrives."""
    crowd = crowd_at(server.port)
    each = subscribers // rooms
    members = [crowd.connect(f"bench.{number}", each, sample=20) for number in range(rooms)]
    speech = Speech([(room[0], f"bench.{number}") for number, room in enumerate(members)], rate)
    speech.give(crowd, WARM_UP)
    crowd.read_until(int(rate * WARM_UP) * each, 5.0)
    crowd.reset()
    cpu, own = server.cpu(), time.process_time()
    sent = speech.give(crowd, seconds)
    crowd.read_until(sent * each, 10.0)
    cpu, own = server.cpu() - cpu, time.process_time() - own
    crowd.close()
    return {
        "k deliveries/CPU-s": crowd.count / max(cpu, 0.01) / 1000,
        "p50 ms": percentile(crowd.latencies, 0.5) / 1e6,
        "p99 ms": percentile(crowd.latencies, 0.99) / 1e6,
        "lost": sent * each - crowd.count,
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
