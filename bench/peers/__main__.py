"""Ours beside the servers of others: fan-out, small rooms, two pods, memory, a storm of connections, SIGTERM."""

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.peers.benches import Bench, benches
from bench.peers.goals import COLUMNS, judged
from bench.peers.table import PEERS
from bench.rounds import RESULTS, Figures, report
from bench.servers import COMPILED, available
from forestay.terminal.crowd import raise_file_limit
from tests.support.local_redis import QUICK, RedisServer

OURS = ("forestay-compiled", "forestay")
"""The compiled one is judged where there is one."""

FULL = 7
"""From so many rounds on the tables are kept for the page: an interval of 95 % needs them."""


def play(bench: Bench, names: Sequence[str], rounds: int) -> dict[str, list[Figures]]:
    """Rounds of the servers in turn, A B C C B A. A server that fails is left out of all rounds, and named."""
    found: dict[str, list[Figures]] = {name: [] for name in names if bench.takes(name)}
    print(f"\n{bench.title}", flush=True)
    for number in range(rounds):
        for name in list(found) if number % 2 == 0 else list(reversed(found)):
            try:
                figures = bench.run(name)
            except (RuntimeError, OSError) as failed:
                print(f"  left out: {name}, because {failed}", flush=True)
                del found[name]
                continue
            found[name].append(figures)
            shown = "  ".join(f"{key} {value:,.1f}" for key, value in figures.items())
            print(f"  round {number + 1} {name:<18} {shown}", flush=True)
    return found


def add_note(kept: Path, note: str) -> None:
    """Keep `note` with the results in `kept`."""
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "note": note}, indent=1))


def show(rows: Sequence[Sequence[str]]) -> None:
    """Print the goals and what came of them."""
    table = [COLUMNS, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    print("\nours by theirs in the same round: median, and the interval that holds it with 95 % certainty")
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def arguments() -> argparse.Namespace:
    everybody = [*OURS, *PEERS]
    parser = argparse.ArgumentParser(prog="python -m bench peers", description=__doc__)
    parser.add_argument("--peers", default=",".join(PEERS), help=f"which ({','.join(PEERS)})")
    parser.add_argument("--benches", help=f"which ({','.join(benches(1, '', quick=False))})")
    parser.add_argument("--rounds", type=int, default=FULL, help=f"rounds of all servers in turn ({FULL})")
    parser.add_argument("--seconds", type=float, default=5, help="measured seconds of a round (5)")
    parser.add_argument("--compiled", metavar="PYTHON", help=f"a Python with a compiled gateway ({COMPILED})")
    parser.add_argument("--note", help="what the page has to say about this run, such as whose Python it was")
    parser.add_argument("--quick", action="store_true", help="show that all of it works; measures nothing")
    given = parser.parse_args()
    if strange := set(given.peers.split(",")) - set(everybody):
        parser.error(f"no peer is called {', '.join(sorted(strange))}; there are {', '.join(PEERS)}")
    if given.compiled:
        os.environ[COMPILED] = str(Path(given.compiled).absolute())
    if given.quick:
        given.rounds, given.seconds = 1, 1.0
    return given


def main() -> None:
    given = arguments()
    raise_file_limit()
    names = available([*OURS, *(name for name in given.peers.split(",") if name not in OURS)])
    ours = next(name for name in OURS if name in names)
    rows = []
    with ExitStack() as stack:
        redis = RedisServer(Path(stack.enter_context(tempfile.TemporaryDirectory())), *QUICK)
        stack.callback(redis.close)
        redis.start()
        made = benches(given.seconds, redis.url, quick=given.quick)
        for key in (given.benches or ",".join(made)).split(","):
            found = play(made[key], names, given.rounds)
            keep = given.rounds >= FULL and not given.quick
            report(f"peers-{key}", made[key].title, found, made[key].bars, keep=keep)
            if keep and given.note:
                add_note(RESULTS / f"peers-{key}.json", given.note)
            rows += judged(key, found, ours)
    show(rows)


if __name__ == "__main__":
    main()
