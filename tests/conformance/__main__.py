"""Checks the conformance of the gateway with other software: `python -m tests.conformance --help`."""

import argparse
import asyncio
import sys
from functools import partial

from tests.conformance.autobahn import autobahn
from tests.conformance.echo import PATH, echo_server
from tests.conformance.engine_echo import PATH as ENGINE_PATH
from tests.conformance.engine_echo import EchoApplication, engine_server
from tests.conformance.fuzz import Plan, fuzz
from tests.conformance.interop import interop
from tests.conformance.rules import rules
from tests.conformance.socketio_echo import PATH as SOCKETIO_PATH
from tests.conformance.socketio_echo import socketio_server

say = partial(print, flush=True)

_EVERY_PART = ("autobahn", "rules", "interop", "fuzz")


def main() -> None:
    """Runs one part or all of them, and exits: 0 no fault, 1 a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance")
    verbs = parser.add_subparsers(metavar="PART", title="parts", description="all of them where none is named")
    suite = verbs.add_parser("autobahn", help="the 517 cases of the Autobahn suite; needs a CPython 2.7 for the fuzzer")
    suite.set_defaults(run=lambda _: autobahn())
    byhand = verbs.add_parser("rules", help="what the suite leaves out: masks, close codes, handshakes, limits, pauses")
    byhand.set_defaults(run=lambda _: rules())
    library = verbs.add_parser("interop", help="an everyday client library, from the handshake to each way of ending")
    library.set_defaults(run=lambda _: interop())
    storm = verbs.add_parser("fuzz", help="random input against a gateway with ordinary clients beside it")
    storm.add_argument("--inputs", type=int, default=100_000, metavar="N", help="how many (default 100,000)")
    storm.add_argument("--seed", type=int, default=1, metavar="N", help="another seed, other inputs (default 1)")
    storm.add_argument("--only", type=_numbers, metavar="N,N", help="repeat these inputs, as a failure names them")
    storm.set_defaults(run=lambda given: fuzz(Plan(given.seed, given.only or range(given.inputs))))
    server = verbs.add_parser("echo", help="serve the echo that the fuzzer judges, for a suite of your own")
    server.add_argument("--port", type=int, default=9001, help="on loopback (default 9001)")
    server.set_defaults(run=lambda given: _echo(given.port))
    engine = verbs.add_parser("engineio", help="serve the echo that the public suite of Engine.IO tests")
    engine.add_argument("--port", type=int, default=3000, help="on loopback (default 3000)")
    engine.set_defaults(run=lambda given: _engine_echo(given.port))
    socketio = verbs.add_parser("socketio", help="serve the application that the public suite of Socket.IO tests")
    socketio.add_argument("--port", type=int, default=3000, help="on loopback (default 3000)")
    socketio.set_defaults(run=lambda given: _socketio(given.port))
    named = sys.argv[1:]
    held = {}
    try:
        for call in [named] if named else [[part] for part in _EVERY_PART]:
            options = parser.parse_args(call)
            held[call[0]] = asyncio.run(options.run(options))
    except KeyboardInterrupt:
        sys.exit(130)
    for part, holds in {} if named else held.items():
        say(f"{part}: {'holds' if holds else 'does not hold'}")
    sys.exit(0 if all(held.values()) else 1)


async def _echo(port: int) -> bool:
    async with echo_server(port) as bound:
        say(f"ws://127.0.0.1:{bound}{PATH}")
        await asyncio.Event().wait()
    return True


async def _engine_echo(port: int) -> bool:
    async with engine_server(EchoApplication(), port=port) as server:
        say(f"http://127.0.0.1:{server.port}{ENGINE_PATH}")
        await asyncio.Event().wait()
    return True


async def _socketio(port: int) -> bool:
    async with socketio_server(port=port) as server:
        say(f"http://127.0.0.1:{server.port}{SOCKETIO_PATH}")
        await asyncio.Event().wait()
    return True


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    main()
