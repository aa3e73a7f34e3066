"""Runs the gateway of this tree, and writes what it holds into a file at each SIGUSR1: tasks, timers, memory blocks.

It also writes how often each wire has encoded a message.

`python -m bench.inside FILE serve …`. No port of the gateway tells these numbers: to count the tasks takes too long for
a scrape with many connections.
"""

import asyncio
import json
import signal
import sys
from collections import Counter
from pathlib import Path

from forestay.protocol.message import Message
from forestay.protocol.socketio.wire import SocketioWire
from forestay.protocol.sse.wire import SseWire
from forestay.protocol.v1.wire import V1Wire

encodings: Counter[str] = Counter()
"""By the name of the wire."""


def count_encodings(wire: type[V1Wire | SocketioWire | SseWire]) -> None:
    """Count from now on how often wires of a class encode a message."""
    encode = wire.message

    def message(self: V1Wire | SocketioWire | SseWire, message: Message, *, traced: bool) -> bytes:
        encodings[self.name] += 1
        return encode(self, message, traced=traced)  # type: ignore[arg-type]

    wire.message = message  # type: ignore[method-assign]


def tell(file: Path) -> None:
    """Write what the process holds into `file`, which is there when it is complete."""
    loop = asyncio.get_running_loop()
    held = {
        "tasks": len(asyncio.all_tasks(loop)),
        # The loop has no public list of its timers.
        "timers": sum(1 for timer in vars(loop)["_scheduled"] if not timer.cancelled()),
        "blocks": sys.getallocatedblocks(),
        "encodings": encodings,
    }
    new = file.with_suffix(".new")
    new.write_text(json.dumps(held))
    new.rename(file)


if __name__ == "__main__":
    from forestay.cli import main

    path = Path(sys.argv[1])
    for one in (V1Wire, SocketioWire, SseWire):
        count_encodings(one)
    signal.signal(signal.SIGUSR1, lambda *_: tell(path))
    main(sys.argv[2:])
