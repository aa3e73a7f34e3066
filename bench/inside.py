"""Runs the gateway of this tree, and writes what it holds into a file at each SIGUSR1: tasks, timers, memory blocks.

`python -m bench.inside FILE serve …`. No port of the gateway tells these numbers: to count the tasks takes too long for
a scrape with many connections.
"""

import asyncio
import json
import signal
import sys
from pathlib import Path


def tell(file: Path) -> None:
    """Write what the process holds into `file`, which is there when it is complete."""
    loop = asyncio.get_running_loop()
    held = {
        "tasks": len(asyncio.all_tasks(loop)),
        # The loop has no public list of its timers.
        "timers": sum(1 for timer in vars(loop)["_scheduled"] if not timer.cancelled()),
        "blocks": sys.getallocatedblocks(),
    }
    new = file.with_suffix(".new")
    new.write_text(json.dumps(held))
    new.rename(file)


if __name__ == "__main__":
    from forestay.cli import main

    path = Path(sys.argv[1])
    signal.signal(signal.SIGUSR1, lambda *_: tell(path))
    main(sys.argv[2:])
