"""Runs one script with stock Socket.IO clients against the real server and against Forestay, and compares what it sees.

`python -m tests.socketio_peers` takes ten minutes. It installs pinned packages from npm, PyPI and Maven into
`.socketio_peers_cache`, or into the folder that SOCKETIO_PEERS_CACHE names. It exits with 1 if there is a difference
that `differences.toml` does not explain, or, in a full run, an explanation without a difference. The rows of that file
are the table in docs/from-socketio.md, which `--table` prints.

`pubsub` is the real server with `@socket.io/redis-adapter`, which Forestay is compared with. `streams` is the same with
`@socket.io/redis-streams-adapter`, for a look at its recovery.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path

from tests.socketio_peers.clients import CLIENTS, TRANSPORTS, Found, run
from tests.socketio_peers.control import stage
from tests.socketio_peers.differences import Difference, differences, idle, rows, table, unexplained
from tests.socketio_peers.install import Missing, say
from tests.socketio_peers.nodes import SERVERS, nodes


async def play(server: str, client: str, transports: str, steps: list[str] | None) -> Found:
    """One run of the script by one client, on two new nodes."""
    async with nodes(server) as pair, stage(pair) as here:
        return await run(client, here, TRANSPORTS[transports], steps)


async def play_all(given: argparse.Namespace) -> dict[tuple[str, str, str], Found]:
    """What each client found with each kind of transports at each server."""
    steps = given.steps and given.steps.split(",")
    found: dict[tuple[str, str, str], Found] = {}
    for client in given.clients.split(","):
        for transports in given.transports.split(","):
            for server in given.servers.split(","):
                try:
                    found[client, transports, server] = await play(server, client, transports, steps)
                except Missing as missing:
                    say(f"left out: {client}, because {missing}")
                    continue
                say(f"{client}, {transports}, {server}: {len(found[client, transports, server])} steps")
    return found


def compared(found: dict[tuple[str, str, str], Found]) -> list[Difference]:
    """What differs between the real server and ours."""
    pairs = [
        (client, transports, real, found[client, transports, "forestay"])
        for (client, transports, server), real in found.items()
        if server == "pubsub" and (client, transports, "forestay") in found
    ]
    return [one for pair in pairs for one in differences(*pair)]


def main() -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.socketio_peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--clients", default=",".join(CLIENTS), help="which clients (all)")
    parser.add_argument("--transports", default=",".join(TRANSPORTS), help="which kinds of transports (all)")
    parser.add_argument("--servers", default="pubsub,forestay", help=f"which of {', '.join(SERVERS)}")
    parser.add_argument("--steps", help="only these steps of the script")
    parser.add_argument("--results", type=Path, help="keep in this file what was found")
    parser.add_argument("--table", action="store_true", help="print the table of the differences, and run nothing")
    given = parser.parse_args()
    if given.table:
        say(table(rows()), end="")
        return 0
    found = asyncio.run(play_all(given))
    if given.results:
        kept = {"/".join(names): steps for names, steps in found.items()}
        given.results.write_text(json.dumps(kept, indent=1, ensure_ascii=False, sort_keys=True))
    different = compared(found)
    complete = {client for client, _, server in found if server == "forestay"} == set(CLIENTS) and not given.steps
    wrong = unexplained(different, rows()) + (idle(different, rows()) if complete else [])
    failed = [
        f"{'/'.join(names)}: {step}: {seen['failed']}"
        for names, steps in found.items()
        for step, seen in steps.items()
        if "failed" in seen
    ]
    say(*wrong, *failed, f"{len(different)} differences, {len(wrong)} of them not as explained", sep="\n")
    return 1 if wrong or failed else 0


if __name__ == "__main__":
    sys.exit(main())
