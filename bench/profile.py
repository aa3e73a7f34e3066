"""Where the CPU of a message goes, inbound, delivered or from another pod: layer by layer, by samples of the gateway.

py-spy samples the stacks of Python, of compiled modules and of C libraries, on asyncio and on uvloop, and the process
needs no change for it. The CPU time comes from turns without it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

from bench.checkouts import ROOT, Checkout, Unusable, checked_out, installed, recognise, runnable
from bench.fanout import FanOut
from bench.inbound import Inbound
from bench.installs import NotInstalled, python
from bench.layers import LAYERS, Modules, counted, shares
from bench.pods import SUBSCRIBERS, hearing
from bench.rounds import RESULTS, Figures
from bench.servers import Running, serving
from bench.sitting import Load
from forestay.terminal.crowd import raise_file_limit

Serve = Callable[..., AbstractContextManager[tuple[Running, Load]]]
"""Serves a checkout, with a load for it. Keywords are variables of its environment."""


@contextmanager
def _alone(load: Callable[[Running], Load], checkout: Checkout, **environ: str) -> Iterator[tuple[Running, Load]]:
    """One pod, under a load."""
    with serving(checkout, **environ) as server:
        work = load(server)
        try:
            yield server, work
        finally:
            work.crowd.close()


# No rate divides the kernel's clock, whose ticks say what was the process's own time and what was the kernel's.
LOADS: Mapping[str, tuple[str, Serve]] = {
    "inbound": (
        "3,974 messages/s into rooms of two",
        partial(_alone, partial(Inbound, publishers=200, rate=19.87)),
    ),
    "small": (
        "500 rooms of four, 1,987 messages/s",
        partial(_alone, partial(FanOut, subscribers=2000, rooms=500, rate=1987)),
    ),
    "large": (
        "a room of 1,000, 98.7 messages/s",
        partial(_alone, partial(FanOut, subscribers=1000, rooms=1, rate=98.7)),
    ),
    "hearing": (
        f"{SUBSCRIBERS} members, 987 messages/s from another pod by Redis",
        partial(hearing, rate=987),
    ),
}
_DELIVERIES: Mapping[str, int] = {"small": 4, "hearing": SUBSCRIBERS}
"""Deliveries of a message, where the figures are of messages. Where rooms are of two it has one."""
_TOTAL = "all"
_RATE = 250
"""Samples a second. Each one stops the process for some tenths of a millisecond."""


def profile(checkout: Checkout, name: str, seconds: float, **environ: str) -> Figures:
    """Microseconds of CPU of each layer: of a message, and of a delivery in the load `large`."""
    modules = Modules(checkout.sources / checkout.package)
    _, serve = LOADS[name]
    with serve(checkout, FORESTAY_PING_INTERVAL="3600", **environ) as (server, work):
        work.run(1.0)
        before = _times(server.pid)
        deliveries = work.run(seconds)
        user, system = (now - then for now, then in zip(_times(server.pid), before, strict=True))
        samples = _sampled(server, work, seconds)
    number = deliveries / _DELIVERIES.get(name, 1)
    found = shares(counted(samples, modules), user, system)
    return {layer: seconds / number * 1e6 for layer, seconds in found.items()} | {
        _TOTAL: (user + system) / number * 1e6
    }


def _sampled(server: Running, work: Load, seconds: float) -> list[str]:
    """The stacks of a run of the load, as py-spy writes them."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "stacks")
        command = [str(python("spy") / "py-spy"), "record", "--pid", str(server.pid), "--native", "--nolineno"]
        command += ["--full-filenames", "--format", "raw", "--rate", str(_RATE), "--output", str(file)]
        command += ["--duration", str(max(1, round(seconds)))]
        spy = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        work.run(seconds)
        said, _ = spy.communicate(timeout=60)
        if spy.returncode:
            raise NotInstalled(f"py-spy cannot sample the server; it may need ptrace rights:\n{said}")
        return file.read_text().splitlines()


def _times(pid: int) -> tuple[float, float]:
    """CPU seconds of a process: its own, and the kernel's for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return int(fields[11]) / ticks, int(fields[12]) / ticks


def show(label: str, found: Mapping[str, Figures]) -> None:
    """Print the table of one load."""
    print(f"\n{label}: microseconds of CPU\n| {'layer':<26} | " + " | ".join(f"{name:>12}" for name in found) + " |")
    print(f"|{'-' * 28}|" + "|".join("-" * 13 + ":" for _ in found) + "|")
    for row in (*LAYERS, _TOTAL):
        print(f"| {row:<26} | " + " | ".join(f"{figures[row]:>12.2f}" for figures in found.values()) + " |")


def keep(load: str, name: str, figures: Figures) -> dict[str, Figures]:
    """Add a column to the load's results. All columns."""
    file = RESULTS / f"profile-{load}.json"
    title = f"Where the CPU goes: {LOADS[load][0]}"
    found = json.loads(file.read_text())["columns"] if file.exists() else {}
    found[name] = {layer: round(value, 3) for layer, value in figures.items()}
    file.write_text(json.dumps({"title": title, "columns": found}, indent=1) + "\n")
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench profile", description=__doc__)
    parser.add_argument("revision", nargs="?", help="a git revision (this tree)")
    parser.add_argument("--python", type=Path, help="a Python that has a gateway installed, such as a compiled one")
    parser.add_argument("--loads", default=",".join(LOADS), help=f"which ({','.join(LOADS)})")
    parser.add_argument("--seconds", type=float, default=20, help="seconds of each load, twice (20)")
    parser.add_argument("--loop", help="the gateway's FORESTAY_LOOP: asyncio, uvloop")
    parser.add_argument("--keep", metavar="NAME", help="write a column of this name into the results, for the page")
    parser.add_argument("--quick", action="store_true", help="show that it works; measures nothing")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    raise_file_limit()
    environ = {"FORESTAY_LOOP": given.loop} if given.loop else {}
    seconds = 1.0 if given.quick else given.seconds
    try:
        with ExitStack() as stack:
            checkout = stack.enter_context(checked_out(given.revision)) if given.revision else recognise(ROOT)
            if given.python:
                checkout = installed(given.python)
            else:
                [checkout] = stack.enter_context(runnable(checkout))
            for name in given.loads.split(","):
                figures = profile(checkout, name, seconds, **environ)
                columns = {"here": figures}
                if given.keep and not given.quick:
                    columns = keep(name, given.keep, figures)
                show(LOADS[name][0], columns)
    except (NotInstalled, Unusable) as missing:
        print(f"profile: {missing}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
