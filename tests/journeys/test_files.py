"""A pod with few files, and strangers who want all of them."""

import asyncio
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.support.gateway import PATIENCE, Client, token, upgrade
from tests.support.process import Process, Program, serving
from tests.support.stopwatch import stopwatch

FEW = 256


def with_files(count: int) -> Program:
    """The command with a limit of open files."""
    return Program(("sh", "-c", f'ulimit -n {count}; exec "$0" "$@"', sys.executable, "-m", "forestay"))


def memory(served: Process) -> float:
    """MiB in RAM."""
    [kib] = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{served.process.pid}/status").read_text())
    return int(kib) / 1024


def cpu(served: Process) -> float:
    """Seconds of CPU time that the process has used."""
    fields = Path(f"/proc/{served.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


async def connected(port: int, count: int, data: bytes = b"") -> list[Client]:
    return [await Client.open_connection(port, data) for _ in range(count)]


async def served_well(served: Process) -> None:
    """The probes and a client are answered within a second each."""
    with stopwatch() as watch:
        async with asyncio.timeout(PATIENCE):
            for path in ("/livez", "/readyz", "/startupz"):
                assert (await served.pod.probe(path))[0] == 200
            client = await served.pod.connect("honest")
            assert (await client.ask({"type": "ping"}))["type"] == "pong"
        assert watch.seconds < 5
    await client.close()


@pytest.mark.parametrize("sent", [b"", b"GET /ws HTTP/1.1\r\nHost: a\r\n"])
async def test_strangers_cannot_take_the_files_of_the_others(sent: bytes) -> None:
    """With 256 files and 400 silent sockets the others are served, without much work and without a flood of log."""
    async with serving(with_files(FEW)) as served:
        strangers = await connected(served.port, 400, sent)
        await served_well(served)
        before = cpu(served)
        await asyncio.sleep(1)
        assert cpu(served) - before < 0.2
        await served_well(served)
        for client in strangers:
            await client.close()
        await served_well(served)
        await served.end()
        assert len(served.log) < 20_000
        assert "Traceback" not in served.log


async def test_strangers_on_the_internal_port_cannot_keep_the_probes_out() -> None:
    """Nor do they keep clients out."""
    async with serving(with_files(FEW)) as served:
        strangers = await connected(served.internal_port, 400)
        await served_well(served)
        for client in strangers:
            await client.close()


async def test_clients_cannot_take_the_files_of_the_others() -> None:
    """Clients beyond the files get 503, the probes are answered, and a warning at the start says how many fit."""
    async with serving(with_files(FEW), FORESTAY_DRAIN_WINDOW="0", FORESTAY_CLOSE_TIMEOUT="0.5") as served:
        words = Counter[str]()
        for number in range(400):
            client = await Client.request(served.port, upgrade(token(f"user-{number}")))
            words[str(client.status)] += 1
        assert set(words) == {"101", "503"}
        assert words["101"] > 100
        status, body = await asyncio.wait_for(served.pod.probe("/livez"), PATIENCE)
        assert (status, body["ok"]) == (200, True)
        # The pod looks at its connections a few times a second.
        async with asyncio.timeout(PATIENCE):
            while (await served.pod.probe("/readyz"))[1]["failing"] != ["saturated"]:
                await asyncio.sleep(0.05)
        await served.end()
        [warning] = [line for line in served.log.splitlines() if "does not fit the limit of open files" in line]
        assert f'"takes": {words["101"]}' in warning
        assert f'"open_files": {FEW}' in warning


async def test_two_thousand_sockets_of_a_stranger_leave_the_others_served() -> None:
    """They take a bounded share of the memory, also with as much of a request as fits."""
    part = b"GET /ws HTTP/1.1\r\nHost: a\r\n" + b"".join(b"A%d: %s\r\n" % (n, b"x" * 4000) for n in range(8))
    async with serving() as served:
        await served_well(served)
        before = memory(served)
        strangers = await connected(served.port, 1000)
        strangers += await connected(served.port, 1000, part)
        await served_well(served)
        assert memory(served) - before < 40
        for client in strangers:
            await client.close()


async def test_unfinished_requests_take_their_bytes_and_no_more() -> None:
    """Forty requests with large headers that never end take a few MiB together, and not 1.5 MiB each."""
    part = b"GET /ws HTTP/1.1\r\nHost: a\r\n" + b"".join(b"A%d: %s\r\n" % (n, b"x" * 8000) for n in range(120))
    async with serving() as served:
        await served_well(served)
        before = memory(served)
        strangers = await connected(served.port, 40, part)
        await asyncio.sleep(0.5)
        await served_well(served)
        assert memory(served) - before < 8
        for client in strangers:
            await client.close()
