"""Two hundred publishers, each with one other member in its room: what a message costs on its way in."""

from functools import partial

from app.terminal.crowd import Speech, percentile
from bench.chart import Bars
from bench.crowd import crowd_at
from bench.rounds import Figures, each, measure, options, ratio, report
from bench.servers import Running


def inbound(server: Running, *, publishers: int, rate: float, seconds: float) -> Figures:
    """Each of `publishers` says `rate` messages a second to the one other member of its room."""
    crowd = crowd_at(server.port)
    members = [one for number in range(publishers // 2) for one in crowd.connect(f"bench.{number}", 2, sample=20)]

    speakers = [(one, f"bench.{at // 2}") for at, one in enumerate(members)]
    speech = Speech(speakers, rate * publishers, echo=False)
    crowd.read_until(speech.give(crowd, 1.0), 5.0)
    crowd.reset()
    cpu = server.cpu()
    sent = speech.give(crowd, seconds)
    crowd.read_until(sent, 10.0)
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
