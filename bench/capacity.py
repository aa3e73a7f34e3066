"""How the cost of a pod grows with connections, rooms, members and rate, and that of Redis with messages and pods.

The steps of connections that the limit of open files does not allow are left out by name: this process and the pod each
need a file for each connection. The clients come from several loopback addresses, for one has too few ports.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import redis

from bench.connect import Storm
from bench.crowd import crowd_at
from bench.fanout import FanOut
from bench.idle import settled
from bench.inbound import inbound
from bench.rounds import RESULTS, Figures, medians
from bench.servers import Running, running
from forestay.terminal.crowd import Speech, raise_file_limit
from tests.support.local_redis import QUICK, RedisServer

STEPS = (1_000, 5_000, 10_000, 18_000, 50_000)
_BURST = 500
_SPARE = 1_500
"""Files that the pod and this process keep for other things."""
_PER_ADDRESS = 20_000
_QUIET = {"FORESTAY_PING_INTERVAL": "3600", "FORESTAY_MAX_CONNECTIONS": "100000"}


def connections(steps: list[int], *, own_rooms: bool) -> dict[str, Figures]:
    """Memory, joins and idle CPU as the connections grow: in 50 rooms, or each in a room of its own."""
    found: dict[str, Figures] = {}
    with running("forestay", **_QUIET) as server, ExitStack() as stack:
        before, clients = settled(server), 0
        for step in steps:
            cpu, failed, more = server.cpu(), 0, step - clients
            while clients < step:
                number = min(_BURST, step - clients)
                rooms = 10**9 if own_rooms else 50
                burst = Storm(server, number, source=f"127.0.0.{2 + clients // _PER_ADDRESS}", rooms=rooms)
                stack.callback(burst.close)
                burst.run(60.0)
                clients, failed = clients + number, failed + number - burst.done
            cpu = server.cpu() - cpu
            memory, resting = settled(server), server.cpu()
            time.sleep(1.0)
            found[f"{step:,}"] = {
                "KiB/connection": (memory - before) / clients,
                "us CPU/connection": cpu / more * 1e6,
                "idle CPU %": (server.cpu() - resting) * 100,
                "failed": failed,
            }
    return found


def members(sizes: list[int], seconds: float) -> dict[str, Figures]:
    """CPU of a delivery by the members of a room, at 2 messages/s in each of as many rooms as make 1,000 members."""
    found = {}
    for size in sizes:
        with running("forestay", **_QUIET) as server:
            rooms = 1000 // size
            found[f"{size:,}"] = _delivered(
                server, FanOut(server, subscribers=1000, rooms=rooms, rate=2.0 * rooms), seconds
            )
    return found


def rates(given: list[int], seconds: float) -> dict[str, Figures]:
    """CPU of a delivery by the rate of a room of 1,000."""
    found = {}
    for rate in given:
        with running("forestay", **_QUIET) as server:
            found[f"{rate:,}"] = _delivered(server, FanOut(server, subscribers=1000, rooms=1, rate=rate), seconds)
    return found


def _delivered(server: Running, load: FanOut, seconds: float) -> Figures:
    load.run(1.0)
    cpu = server.cpu()
    due = load.run(seconds)
    cpu = server.cpu() - cpu
    load.crowd.close()
    return {"us CPU/delivery": cpu / due * 1e6, "pod CPU %": cpu / seconds * 100}


def by_pods(counts: list[int], rate: float, seconds: float) -> dict[str, Figures]:
    """CPU of Redis and of a hearing pod for a message, by the pods that have a member of its room."""
    found: dict[str, Figures] = {}
    for count in counts:
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            bus = RedisServer(Path(folder), *QUICK)
            stack.callback(bus.close)
            bus.start()
            pods = [stack.enter_context(running("forestay", **_QUIET, FORESTAY_BUS_URL=bus.url)) for _ in range(count)]
            crowds = [crowd_at(pod.port) for pod in pods]
            [first, *_] = [crowd.connect("bench.0")[0] for crowd in crowds]
            with redis.Redis.from_url(bus.url) as client:
                speech = Speech([(first, "bench.0")], rate)
                speech.give(crowds[0], 1.0)
                before, cpu = _used(client), pods[-1].cpu()
                sent = speech.give(crowds[0], seconds)
                found[f"{count}"] = {
                    "Redis us CPU/message": (_used(client) - before) / sent * 1e6,
                    "us CPU/message of a pod": (pods[-1].cpu() - cpu) / sent * 1e6,
                }
            for crowd in crowds:
                crowd.close()
    return found


def _used(client: "redis.Redis") -> float:
    """CPU seconds that Redis has used."""
    told = client.info("cpu")
    assert isinstance(told, dict)
    return float(told["used_cpu_user"]) + float(told["used_cpu_sys"])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench capacity", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds (3)")
    parser.add_argument("--seconds", type=float, default=5, help="measured seconds of each load (5)")
    parser.add_argument("--quick", action="store_true", help="show that it works; measures nothing")
    given = parser.parse_args()
    raise_file_limit()
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - _SPARE
    steps = [100, 200] if given.quick else [step for step in STEPS if step <= allowed]
    for step in () if given.quick else STEPS:
        if step > allowed:
            print(f"left out: {step:,} connections, because the hard limit of open files allows {allowed:,}")
    rounds, seconds = (1, 1.0) if given.quick else (given.rounds, given.seconds)
    sizes, speeds, pods = [10, 100, 1000], [1, 20, 100, 500], [1, 2, 4]
    tables: dict[str, Callable[[], dict[str, Figures]]] = {
        "connections in 50 rooms": lambda: connections(steps, own_rooms=False),
        "connections, each in a room of its own": lambda: connections(steps, own_rooms=True),
        "members of a room, 2 messages/s in each": lambda: members(sizes, seconds),
        "messages/s to a room of 1,000": lambda: rates(speeds, seconds),
        "pods that hear a message, 200 messages/s": lambda: by_pods(pods, 200.0, seconds),
        "inbound messages/s, each to one other member": lambda: {"4,000": _inbound(seconds)},
    }
    kept = {}
    for title, run in tables.items():
        found: dict[str, list[Figures]] = {}
        for _ in range(rounds):
            for case, figures in run().items():
                found.setdefault(case, []).append(figures)
        kept[title] = medians(found)
        print(f"\n{title}, medians of {rounds} rounds", flush=True)
        for case, figures in kept[title].items():
            print(f"  {case:>8}  " + "  ".join(f"{key} {value:,.2f}" for key, value in figures.items()), flush=True)
    if not given.quick:
        (RESULTS / "capacity.json").write_text(json.dumps({"rounds": rounds, "tables": kept}, indent=1) + "\n")


def _inbound(seconds: float) -> Figures:
    with running("forestay", **_QUIET) as server:
        return inbound(server, publishers=200, rate=20, seconds=seconds)


if __name__ == "__main__":
    main()
