"""Runs the gateway of this tree, and writes what its heap holds into a file at each SIGUSR1: objects, by their type.

`python -m bench.heap FILE serve …`.
"""

import gc
import json
import signal
import sys
from collections import defaultdict
from pathlib import Path


def tally() -> dict[str, tuple[int, int]]:
    """The number of the objects of each type, and their bytes, as `sys.getsizeof` says them.

    The collector knows containers. Texts, numbers and bytes are counted where a container holds them.
    """
    gc.collect()
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    seen: set[int] = set()
    containers = gc.get_objects()

    def count(found: object) -> None:
        one = counts[_name(type(found))]
        one[0] += 1
        one[1] += sys.getsizeof(found)

    for container in containers:
        count(container)
        for part in gc.get_referents(container):
            if not gc.is_tracked(part) and id(part) not in seen:
                seen.add(id(part))
                count(part)
    return {name: (number, size) for name, (number, size) in counts.items()}


def _name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def tell(file: Path) -> None:
    """Write the tally into `file`, which is there when it is complete."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps(tally()))
    new.rename(file)


if __name__ == "__main__":
    from forestay.cli import main

    path = Path(sys.argv[1])
    signal.signal(signal.SIGUSR1, lambda *_: tell(path))
    main(sys.argv[2:])
