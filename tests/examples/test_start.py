"""How `python examples` starts and ends, and what it says when it cannot."""

import asyncio
import socket
import sys

from examples.__main__ import EXAMPLES
from tests.support.example import FOLDER, example
from tests.support.local_redis import free_port
from tests.support.node import environment


async def run(*arguments: str, **variables: str) -> tuple[int, str]:
    """Runs it until it ends by itself: its status, and what it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(FOLDER), *arguments),
        env=environment() | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    return process.returncode or 0, printed.decode()


def ports() -> list[str]:
    return [f"{option}={free_port()}" for option in ("--port", "--gateway-port", "--api-port")]


async def test_it_lists_the_examples() -> None:
    """Without a name, each example has a line; another name is refused, with those that there are."""
    status, printed = await run()
    assert status == 0
    assert all(f"  {name} " in printed and each.about in printed for name, each in EXAMPLES.items())
    status, printed = await run("chess")
    assert (status, "chess" in printed, "dashboard" in printed) == (2, True, True)


async def test_a_port_that_is_taken_is_named() -> None:
    """The error has the port, and the option that chooses another one. Nothing is started."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        status, printed = await run("chat", *ports()[:2], f"--api-port={taken}")
    assert status == 1
    assert printed == f"port {taken}: Address already in use; choose another one with --api-port\n"


async def test_a_process_that_cannot_start_ends_the_other() -> None:
    """The gateway's own words are shown, and which of the two it was."""
    status, printed = await run("chat", *ports(), FORESTAY_MESSAGE_RATE="much")
    assert status == 1
    assert "FORESTAY_MESSAGE_RATE" in printed
    assert printed.endswith("the gateway ended; it says why above\n")


async def test_nothing_is_left_when_it_ends() -> None:
    """After SIGTERM all its ports are free again."""
    async with example("dashboard") as running:
        used = [int(running.page.rstrip("/").rpartition(":")[2]), running.gateway_port, running.api_port]
    for port in used:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
