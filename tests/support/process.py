"""Runs the command as a process: to its end, or as a server until it is stopped or killed."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.gateway import API_KEY, PATIENCE, SECRET, close_clients
from tests.support.repository import ROOT

KEYS = {"FORESTAY_JWT_SECRET": SECRET, "FORESTAY_API_KEY": API_KEY}


async def forestay(*arguments: str, **environ: str) -> tuple[int, str, str]:
    """Runs the command to its end. Returns exit status, standard output and standard error."""
    process = await start(*arguments, **environ)
    out, error = await asyncio.wait_for(process.communicate(), 3 * PATIENCE)
    return process.returncode or 0, out.decode(), error.decode()


async def start(*arguments: str, **environ: str) -> asyncio.subprocess.Process:
    """Starts the command, with pipes for its input and output."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FORESTAY_")}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "forestay",
        *arguments,
        cwd=ROOT,
        env=clean | environ,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


class Process:
    """A serving process, its ports, and its log."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.port = self.internal_port = 0
        self.log = ""

    async def ready(self) -> None:
        assert self.process.stderr is not None
        while not self.port:
            line = (await asyncio.wait_for(self.process.stderr.readline(), 3 * PATIENCE)).decode()
            assert line, self.log
            self.log += line
            if '"ready"' in line:
                event = json.loads(line)
                self.port, self.internal_port = event["port"], event["internal_port"]

    async def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Sends a signal and reads the log to its end. Returns the exit status."""
        if self.process.returncode is None:
            self.process.send_signal(how)
        assert self.process.stderr is not None
        self.log += (await asyncio.wait_for(self.process.stderr.read(), 3 * PATIENCE)).decode()
        return await asyncio.wait_for(self.process.wait(), PATIENCE)


@asynccontextmanager
async def serving(**environ: str) -> AsyncIterator[Process]:
    """Runs a gateway process on free ports of the loopback address."""
    arguments = ("serve", "--host", "127.0.0.1", "--port", "0", "--internal-port", "0")
    served = Process(await start(*arguments, **KEYS | environ))
    try:
        await served.ready()
        yield served
    finally:
        await close_clients()
        if served.process.returncode is None:
            served.process.kill()
            await served.end()
