"""What an idle connection that has joined one room costs in memory, object by object."""

import json
import os
import signal
import tempfile
import time
from pathlib import Path

from bench.chart import Bars
from bench.idle import Memory, settled
from bench.rounds import options, report
from bench.servers import Running, counting

# Types with fewer bytes per connection than this are in one row.
_LEAST = 16.0
_OTHERS = "other types"
_REST = "memory outside Python's objects"


def held(server: Running, file: Path) -> dict[str, tuple[int, int]]:
    """The objects of the server, by type: see `bench.heap`."""
    file.unlink(missing_ok=True)
    os.kill(server.pid, signal.SIGUSR1)
    until = time.monotonic() + 60
    while not file.exists():
        if time.monotonic() > until:
            raise TimeoutError("the gateway did not count its objects")
        time.sleep(0.05)
    found: dict[str, tuple[int, int]] = json.loads(file.read_text())
    return found


def objects(clients: int, door: str) -> dict[str, dict[str, float]]:
    """The number and the bytes of the objects of each type, per connection."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "heap.json"
        quiet = {"FORESTAY_PING_INTERVAL": "3600"}
        with counting(file, "forestay-socketio", "bench.heap", **quiet) as server:
            memory = Memory(server, 50, door)
            before, resident = held(server, file), settled(server)
            for _ in range(clients // 50):
                memory.turn(0.0)
            # Counting takes memory itself, which the process keeps.
            more = (settled(server) - resident) * 1024
            after = held(server, file)
            memory.close()
    rows: dict[str, dict[str, float]] = {}
    others = {"objects": 0.0, "bytes": 0.0}
    for name, (number, size) in after.items():
        first = before.get(name, (0, 0))
        row = {"objects": (number - first[0]) / clients, "bytes": (size - first[1]) / clients}
        if row["bytes"] >= _LEAST:
            rows[name] = row
        else:
            others = {column: others[column] + row[column] for column in others}
    rows = dict(sorted(rows.items(), key=lambda row: -row[1]["bytes"])) | {_OTHERS: others}
    counted = sum(row["bytes"] for row in rows.values())
    rows["all objects"] = {"objects": sum(row["objects"] for row in rows.values()), "bytes": counted}
    rows[_REST] = {"objects": 0.0, "bytes": max(0.0, more / clients - counted)}
    return rows


def main() -> None:
    parser = options(__doc__, "forestay", seconds=0)
    given = parser.parse_args()
    clients = 100 if given.quick else 5000
    for door, called in (("native", "native"), ("socketio", "Socket.IO on WebSocket")):
        found = {name: [row] for name, row in objects(clients, door).items()}
        title = f"Memory of an idle connection in one room, object by object: {called}"
        bars = Bars("bytes", "bytes per connection", "less is better")
        report(f"objects-{door}", title, found, bars, keep=not given.quick)


if __name__ == "__main__":
    main()
