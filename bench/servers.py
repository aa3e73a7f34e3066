"""The servers under test: ours, and those of others by the table of `bench.peers`.

The cost of a server is the CPU time that the kernel counts for its process. So it is correct on a busy machine.
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.checkouts import ROOT, Checkout, Unusable, installed, recognise
from bench.crowd import SECRET
from bench.dialects import PLAIN
from bench.installs import NotInstalled
from bench.peers.table import PEERS

HERE = Path(__file__).parent

OURS = {
    "FORESTAY_JWT_SECRET": SECRET,
    "FORESTAY_MESSAGE_RATE": "0",
    "FORESTAY_MESSAGE_BYTES_RATE": "0",
    "FORESTAY_MAX_CONNECTIONS": "20000",
    "FORESTAY_LOG_LEVEL": "WARNING",
}
VARIANTS = {
    "forestay": {},
    "forestay-compiled": {},
    "forestay-norest": {"FORESTAY_FLUSH_REST": "0"},
    "forestay-limits": {"FORESTAY_MESSAGE_RATE": "200", "FORESTAY_MESSAGE_BYTES_RATE": str(2**20)},
    "forestay-history": {"FORESTAY_ROOMS_FILE": str(HERE / "history.toml")},
    "forestay-presence": {"FORESTAY_ROOMS_FILE": str(HERE / "presence.toml")},
    "forestay-socketio": {"FORESTAY_SOCKETIO": "true"},
}
"""Our server with the default settings, except for these."""
COMPILED = "BENCH_COMPILED"
"""The variable that names a Python with a compiled gateway, for `forestay-compiled`."""


class Running:
    """A server that accepts connections."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, internal_port: int) -> None:
        """`internal_port`: ours alone have something there."""
        self._process = process
        self.pid = process.pid
        self.port = port
        self.internal_port = internal_port
        self.dialect = PLAIN
        """How its clients speak."""

    def cpu(self) -> float:
        """CPU seconds it has used so far."""
        # What clock_getcpuclockid(3) makes of another process: to the nanosecond, where /proc counts in hundredths.
        return time.clock_gettime(~self.pid << 3 | 2)

    def told(self, file: Path) -> dict[str, Any]:
        """What a server of `counting` counts."""
        file.unlink(missing_ok=True)
        self._process.send_signal(signal.SIGUSR1)
        while not file.exists():
            time.sleep(0.02)
        told: dict[str, Any] = json.loads(file.read_text())
        return told

    def terminate(self) -> None:
        """Ask it to end, as a deploy does."""
        self._process.send_signal(signal.SIGTERM)

    def gone(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def rss(self) -> int:
        """KiB of memory it holds."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


def available(names: list[str]) -> list[str]:
    """Those of `names` that can run here. Prints which ones are left out."""
    return [name for name in names if _can_run(name)]


def _can_run(name: str) -> bool:
    try:
        if name in PEERS:
            PEERS[name].command(0, 0)
        elif name == "forestay-compiled":
            _compiled()
    except (NotInstalled, Unusable) as missing:
        print(f"left out: {name}, because {missing}")
        return False
    return True


def on_redis(name: str, url: str) -> dict[str, str]:
    """The environment that joins several servers of a name by the Redis at `url`. Raises Unusable if they cannot."""
    if name in VARIANTS:
        return {"FORESTAY_BUS_URL": url}
    join = PEERS[name].redis
    if join is None:
        raise Unusable(f"{name} has no way to several servers by a Redis")
    return join(url)


def _compiled() -> Checkout:
    """The compiled gateway."""
    if not (python := os.environ.get(COMPILED)):
        raise Unusable(f"{COMPILED} names no Python that has a compiled gateway")
    return installed(Path(python))


@contextmanager
def running(name: str, **more: str) -> Iterator[Running]:
    """The server called `name`, with `more` in its environment, until the block ends."""
    if name in VARIANTS:
        with serving(_compiled() if name == "forestay-compiled" else recognise(ROOT), name, **more) as server:
            yield server
        return
    peer, port, other = PEERS[name], _free_port(), _free_port()
    environ = dict(os.environ) | peer.environ(port) | more
    with _started(peer.command(port, other), ROOT, environ, (port, other)) as server:
        server.dialect = peer.dialect
        yield server


@contextmanager
def serving(checkout: Checkout, variant: str = "forestay", **more: str) -> Iterator[Running]:
    """The gateway of `checkout`, with `more` in its environment, until the block ends."""
    port, internal = _free_port(), _free_port()
    ports = ["--port", str(port), "--internal-port", str(internal)]
    environ = checkout.environ() | OURS | VARIANTS[variant] | more
    command = checkout.command("serve", "--host", "127.0.0.1", *ports)
    with _started(command, checkout.path, environ, (port, internal)) as server:
        yield server


@contextmanager
def counting(file: Path, variant: str, runner: str = "bench.inside", **more: str) -> Iterator[Running]:
    """Ours as `runner` runs it, which writes into `file` what it counts."""
    port, internal = _free_port(), _free_port()
    here = recognise(ROOT)
    environ = here.environ() | OURS | VARIANTS[variant] | more
    environ["PYTHONPATH"] += f":{ROOT}"
    command = [str(here.python), "-P", "-m", runner, str(file), "serve", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--internal-port", str(internal)]
    with _started(command, ROOT, environ, (port, internal)) as server:
        yield server


@contextmanager
def _started(command: list[str], folder: Path, environ: dict[str, str], ports: tuple[int, int]) -> Iterator[Running]:
    port, internal = ports
    process = subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield Running(process, port, internal)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(400):
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            time.sleep(0.3)
            return
    raise RuntimeError("the server did not start")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
