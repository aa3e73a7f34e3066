"""Commands come as lines on standard input, and what happens goes out as lines on standard output."""

import sys
from collections.abc import Iterator


def say(*words: object) -> None:
    """Print one line."""
    print(*words, flush=True)


def pause(message: str) -> float:
    """The seconds that an application does something else after this message."""
    return 3.0 if '"pause"' in message else 0.0


def commands() -> Iterator[tuple[str, str]]:
    """`text MESSAGE`, `binary HEX` and `close`."""
    for line in sys.stdin:
        word, _, rest = line.rstrip("\n").partition(" ")
        yield word, rest
