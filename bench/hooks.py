"""What a hook in Python that returns at once adds to a message, and what a room without hooks pays for hooks elsewhere.

As in `bench road`, one process takes messages into rooms of two, without sockets. `--python` adds an environment that
has a gateway installed, such as a compiled one.
"""

import os
import sys
from functools import partial

from bench.checkouts import ROOT, Checkout, Unusable, installed, recognise
from bench.road import figures, parser, shortened, show
from bench.rounds import Figures, interleaved, medians


def walk(checkout: Checkout, number: int) -> Figures:
    """Microseconds of CPU of a message, by the hooks."""
    environ = checkout.environ()
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, (environ.get("PYTHONPATH"), str(ROOT))))
    found = figures(checkout, environ, "-m", "bench.hooks_inside", str(number))
    found["a hook adds"] = found["hook"] - found["hooks elsewhere"]
    found["elsewhere / none"] = found["hooks elsewhere"] / found["no hooks"]
    return found


def main() -> None:
    given = shortened(parser("hooks", __doc__).parse_args())
    try:
        cases: dict[str, Checkout] = {} if given.alone else {"this tree, plain": recognise(ROOT)}
        cases |= {str(python): installed(python) for python in given.python}
        runs = {name: partial(walk, checkout, given.messages) for name, checkout in cases.items()}
        show("and one ratio", medians(interleaved(runs, given.rounds)), given.rounds)
    except Unusable as unusable:
        print(f"hooks: {unusable}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
