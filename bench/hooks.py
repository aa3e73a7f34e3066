"""What a hook in Python that returns at once adds to a message, and what a room without hooks pays for hooks elsewhere.

As in `bench road`, one process takes messages into rooms of two, without sockets. `--python` adds an environment that
has a gateway installed, such as a compiled one.
"""

import argparse
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from bench.checkouts import ROOT, Checkout, Unusable, installed, recognise
from bench.rounds import Figures, interleaved, medians


def walk(checkout: Checkout, number: int) -> Figures:
    """Microseconds of CPU of a message, by the hooks."""
    command = [str(checkout.python), "-P", "-m", "bench.hooks_inside", str(number)]
    environ = checkout.environ()
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, (environ.get("PYTHONPATH"), str(ROOT))))
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unusable(f"the gateway of {checkout.sources} cannot be measured:\n{done.stderr.strip()}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    found["a hook adds"] = found["hook"] - found["hooks elsewhere"]
    found["elsewhere / none"] = found["hooks elsewhere"] / found["no hooks"]
    return found


def show(middle: dict[str, dict[str, float]], rounds: int) -> None:
    """Print the table."""
    columns = list(next(iter(middle.values())))
    width = max(map(len, middle))
    print(f"\nmicroseconds of CPU of a message, and one ratio: medians of {rounds} interleaved rounds")
    print(f"| {'':<{width}} | " + " | ".join(f"{column:>16}" for column in columns) + " |")
    print(f"|{'-' * (width + 2)}|" + "|".join("-" * 17 + ":" for _ in columns) + "|")
    for name, figures in middle.items():
        print(f"| {name:<{width}} | " + " | ".join(f"{figures[column]:>16.2f}" for column in columns) + " |")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench hooks", description=__doc__)
    parser.add_argument("--python", type=Path, action="append", default=[], help="a Python with a gateway; repeatable")
    parser.add_argument("--alone", action="store_true", help="only these, and not this tree as plain Python")
    parser.add_argument("--messages", type=int, default=20_000, help="of each figure in a round (20,000)")
    parser.add_argument("--rounds", type=int, default=7, help="(7)")
    parser.add_argument("--quick", action="store_true", help="show that it works; measures nothing")
    given = parser.parse_args()
    if given.quick:
        given.messages, given.rounds = 400, 1
    return given


def main() -> None:
    given = arguments()
    try:
        cases: dict[str, Checkout] = {} if given.alone else {"this tree, plain": recognise(ROOT)}
        cases |= {str(python): installed(python) for python in given.python}
        runs = {name: partial(walk, checkout, given.messages) for name, checkout in cases.items()}
        show(medians(interleaved(runs, given.rounds)), given.rounds)
    except Unusable as unusable:
        print(f"hooks: {unusable}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
