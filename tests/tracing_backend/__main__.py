"""Finds one message through two pods in a real Jaeger, and reports missing spans, parents and links.

`python -m tests.tracing_backend`, or `make e2e-trace`. JAEGER names the program. Without it `jaeger-all-in-one` on PATH
is used, or one that Go builds from its module once, which takes some minutes.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.tracing_backend import jaeger
from tests.tracing_backend.journey import Journey, travel
from tests.tracing_backend.picture import draw
from tests.tracing_backend.tree import text
from tests.tracing_backend.verdict import missing


async def travelled(program: str) -> Journey:
    with tempfile.TemporaryDirectory() as folder:
        async with jaeger.jaeger(program) as running:
            return await travel(running, Path(folder))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.tracing_backend", description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the trace of the client's message as SVG")
    given = parser.parse_args()
    try:
        program = jaeger.found()
        if program is None:
            print(f"building Jaeger {jaeger.VERSION}: this takes some minutes, once", flush=True)
            program = jaeger.build()
        journey = asyncio.run(travelled(program))
    except jaeger.NoJaeger as no:
        sys.exit(f"no Jaeger: {no}")
    print(text("a client's message", journey.sent), end="\n\n")
    print(text("a backend's message", journey.posted), end="\n\n")
    for span in journey.handshakes:
        print(text("a handshake", [span]))
    wrong = missing(journey)
    if wrong:
        sys.exit("\n".join(["", *wrong]))
    print("\nboth traces are whole: parents, links, kinds and attributes are as they must be")
    if given.picture is not None:
        given.picture.parent.mkdir(parents=True, exist_ok=True)
        given.picture.write_text(draw(journey.sent), encoding="utf-8")


main()
