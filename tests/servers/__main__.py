"""Runs the tests of the bus on each Redis server that we support, and says what each shows of its incarnations.

`python -m tests.servers`, or `make servers`. The servers come from PyPI, pinned; a `redis-server` on PATH is one more.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

from tests.support.descendants import nothing_left
from tests.support.servers import PACKAGED
from tests.support.wheels import NoWheel

TESTS: Final = (
    "tests/bus/test_contract.py",
    "tests/bus/test_registry.py",
    "tests/bus/test_webhook_queue.py",
    "tests/bus/test_redis_epochs.py",
    "tests/bus/test_redis_full.py",
    "tests/bus/test_redis_start.py",
    "tests/bus/test_redis_incarnations.py",
    "tests/faults/test_failover.py",
    "tests/faults/test_replicas.py",
)
"""What every server must pass."""


def programs() -> Mapping[str, str]:
    """The programs by name. Raises NoWheel."""
    found = {each.name: str(each.install()) for each in PACKAGED}
    own = shutil.which("redis-server")
    if own is not None:
        said = subprocess.run([own, "--version"], capture_output=True, check=True, text=True).stdout
        found.setdefault("Redis " + re.findall(r"v=([\d.]+)", said)[0], own)
    return found


def tested(name: str, program: str, arguments: list[str]) -> bool:
    """Run the tests on one server. What pytest says goes to the terminal."""
    print(f"\n{name}: {program}", flush=True)
    environ = os.environ | {"REDIS_SERVER": program}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "slow or not slow", *(arguments or TESTS)]
    return subprocess.run(command, env=environ, check=False).returncode == 0


def print_table(name: str, program: str) -> None:
    """What one server shows in each case."""
    print(f"\n{name}\n", flush=True)
    environ = os.environ | {"REDIS_SERVER": program}
    subprocess.run([sys.executable, "-m", "tests.servers.incarnations"], env=environ, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__.splitlines()[0])
    parser.add_argument("tests", nargs="*", help="what to run in place of the usual tests")
    parser.add_argument("--only", help="the servers whose name has this in it")
    parser.add_argument("--table", action="store_true", help="print what each server shows, and run no tests")
    given = parser.parse_args()
    try:
        chosen = {name: path for name, path in programs().items() if (given.only or "").lower() in name.lower()}
    except NoWheel as no:
        sys.exit(str(no))
    if given.table:
        for name, program in chosen.items():
            print_table(name, program)
        return
    failed = [name for name, program in chosen.items() if not tested(name, program, given.tests)]
    print("\n" + "\n".join(f"{name}: {'FAILED' if name in failed else 'passed'}" for name in chosen))
    sys.exit(bool(failed))


if __name__ == "__main__":
    with nothing_left():
        main()
