"""What a message into a small room costs in one process, from the callback of its sender to the writes to the members.

No socket and no kernel take part, so little else is measured than our own code. `--python` adds an environment that has
a gateway installed, such as a compiled one; a revision is compared as plain Python. The cases take turns.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.checkouts import ROOT, Checkout, Unusable, checked_out, installed, recognise, revision_of, runnable
from bench.rounds import Figures, interleaved, medians

_INSIDE = ROOT / "bench" / "road_inside.py"


def walk(checkout: Checkout, number: int) -> Figures:
    """Microseconds of CPU of a message, by the kind of room."""
    return figures(checkout, checkout.environ(), str(_INSIDE), str(number))


def figures(checkout: Checkout, environ: Mapping[str, str], *arguments: str) -> dict[str, float]:
    """What the Python of `checkout` prints as JSON with these arguments. Raises Unusable where it fails."""
    command = [str(checkout.python), "-P", *arguments]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unusable(f"the gateway of {checkout.sources} cannot be measured:\n{done.stderr.strip()}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def show(caption: str, middle: dict[str, dict[str, float]], rounds: int) -> None:
    """Print the table."""
    columns = list(next(iter(middle.values())))
    width = max(map(len, middle))
    print(f"\nmicroseconds of CPU of a message, {caption}: medians of {rounds} interleaved rounds")
    print(f"| {'':<{width}} | " + " | ".join(f"{column:>16}" for column in columns) + " |")
    print(f"|{'-' * (width + 2)}|" + "|".join("-" * 17 + ":" for _ in columns) + "|")
    for name, figures in middle.items():
        print(f"| {name:<{width}} | " + " | ".join(f"{figures[column]:>16.2f}" for column in columns) + " |")


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """The arguments of a bench inside one process, called `name`."""
    parser = argparse.ArgumentParser(prog=f"python -m bench {name}", description=description)
    parser.add_argument("--python", type=Path, action="append", default=[], help="a Python with a gateway; repeatable")
    parser.add_argument("--alone", action="store_true", help="only these, and not this tree as plain Python")
    parser.add_argument("--messages", type=int, default=20_000, help="of each figure in a round (20,000)")
    parser.add_argument("--rounds", type=int, default=7, help="(7)")
    parser.add_argument("--quick", action="store_true", help="show that it works; measures nothing")
    return parser


def shortened(given: argparse.Namespace) -> argparse.Namespace:
    """The same, and little of it for a quick run."""
    if given.quick:
        given.messages, given.rounds = 400, 1
    return given


def main() -> None:
    ours = parser("road", __doc__)
    ours.add_argument("revision", nargs="*", help="git revisions to compare this tree with")
    given = shortened(ours.parse_args())
    try:
        with ExitStack() as stack:
            cases: dict[str, Checkout] = {}
            trees = [] if given.alone else [recognise(ROOT)]
            trees += [stack.enter_context(checked_out(revision)) for revision in given.revision]
            for tree in stack.enter_context(runnable(*trees)):
                cases[f"{revision_of(tree)}, plain"] = tree
            cases |= {str(python): installed(python) for python in given.python}
            runs = {name: partial(walk, checkout, given.messages) for name, checkout in cases.items()}
            show("by the members of its room", medians(interleaved(runs, given.rounds)), given.rounds)
    except Unusable as unusable:
        print(f"road: {unusable}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
