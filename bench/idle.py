"""What an idle connection that has joined one room holds in memory."""

from functools import partial

from bench.chart import Bars
from bench.crowd import crowd_at
from bench.rounds import Figures, each, measure, options, report
from bench.servers import Running


def idle(server: Running, clients: int) -> Figures:
    """KiB of resident memory per connection, over those of an empty server that has had a few."""
    warm = crowd_at(server.port)
    warm.connect("bench.warm", 20)
    before = server.rss()
    crowd = crowd_at(server.port)
    for number in range(clients // 50):
        crowd.connect(f"bench.{number}", 50)
    grown = server.rss() - before
    crowd.close()
    warm.close()
    return {"KiB/connection": grown / clients}


def main() -> None:
    given = options(__doc__, "forestay,plain,ws", seconds=0).parse_args()
    clients = 5000
    if given.quick:
        given.rounds, clients = 1, 100
    found = measure(each(given.servers, partial(idle, clients=clients)), given.rounds)
    title = f"Idle: memory of a connection in one room, {clients:,} connections"
    report(
        "idle", title, found, Bars("KiB/connection", "KiB of resident memory", "less is better"), keep=not given.quick
    )


if __name__ == "__main__":
    main()
