"""Two hundred publishers, each with one other member in its room: the cost of receiving a message from a client."""

from functools import partial

from bench.chart import Bars
from bench.crowd import crowd_at
from bench.rounds import Figures, each, measure, options, ratio, report
from bench.servers import Running
from forestay.terminal.crowd import Speech, percentile


class Inbound:
    """`publishers` that send `rate` messages a second each, to the one other member of their room."""

    def __init__(self, server: Running, *, publishers: int, rate: float) -> None:
        self.crowd = crowd_at(server.port)
        names = [f"bench.{number}" for number in range(publishers // 2)]
        connect = partial(server.dialect.connect, self.crowd, server.port, number=2, sample=20)
        speakers = [(one, name) for name in names for one in connect(name)]
        self._speech = Speech(speakers, rate * publishers, echo=False, encode=server.dialect.encode)

    def run(self, seconds: float) -> int:
        """Publish for `seconds` and count the deliveries. Returns how many are expected."""
        sent = self._speech.give(self.crowd, seconds)
        self.crowd.read_until(sent, 10.0)
        return sent


def inbound(server: Running, *, publishers: int, rate: float, seconds: float) -> Figures:
    """Let them publish, and count the deliveries."""
    load = Inbound(server, publishers=publishers, rate=rate)
    crowd = load.crowd
    load.run(1.0)
    crowd.reset()
    cpu = server.cpu()
    sent = load.run(seconds)
    cpu = server.cpu() - cpu
    crowd.close()
    return {
        "us CPU/message": cpu / sent * 1e6,
        "p50 ms": percentile(crowd.latencies, 0.5) / 1e6,
        "p99 ms": percentile(crowd.latencies, 0.99) / 1e6,
        "lost": sent - crowd.count,
        "messages/s": sent / seconds,
    }


def main() -> None:
    given = options(__doc__, "forestay,plain,ws", seconds=6).parse_args()
    publishers = 200
    if given.quick:
        given.rounds, given.seconds, publishers = 1, 1.0, 20
    work = partial(inbound, publishers=publishers, rate=50, seconds=given.seconds)
    found = measure(each(given.servers, work), given.rounds)
    title = f"Inbound: {publishers} publishers at 50 messages/s into rooms of two"
    middle = report(
        "inbound",
        title,
        found,
        Bars("us CPU/message", "CPU microseconds per message", "less is better"),
        keep=not given.quick,
    )
    ratio(middle, "us CPU/message", "forestay", "plain")


if __name__ == "__main__":
    main()
