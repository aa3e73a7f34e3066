"""The command as a process: run to its end, or serving until it is stopped or killed."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.gateway import API_KEY, PATIENCE, SECRET, Pod, close_clients
from tests.support.repository import ROOT

LOOP: Final = os.environ.get("FORESTAY_LOOP") or "asyncio"
"""The event loop of the tests, and of the gateways that they start: `asyncio` or `uvloop`."""

KEYS = {"FORESTAY_JWT_SECRET": SECRET, "FORESTAY_API_KEY": API_KEY}


@dataclass(frozen=True)
class Program:
    """A command, the folder in which it is started, and the variables that it gets unless others are given."""

    command: Sequence[str]
    folder: Path = ROOT
    environ: Mapping[str, str] = field(default_factory=dict)
    output: int = PIPE
    """Where standard output and standard error go."""

    async def start(self, *arguments: str, **environ: str) -> asyncio.subprocess.Process:
        """Start it; its standard input is open. Of this process's settings it gets none."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("FORESTAY_")}
        return await asyncio.create_subprocess_exec(
            *self.command,
            *arguments,
            cwd=self.folder,
            env={**clean, **self.environ, **environ},
            stdin=PIPE,
            stdout=self.output,
            stderr=self.output,
            # A shell starts its background jobs with SIGINT ignored, and every process below inherits that.
            preexec_fn=_heed_interrupts,
        )


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


FORESTAY: Final = Program((sys.executable, "-m", "forestay"), environ={"FORESTAY_LOOP": LOOP})


async def forestay(*arguments: str, **environ: str) -> tuple[int, str, str]:
    """Run the command to its end: exit status, standard output, standard error. pytest limits the time."""
    process = await start(*arguments, **environ)
    out, error = await process.communicate()
    return process.returncode or 0, out.decode(), error.decode()


async def start(*arguments: str, **environ: str) -> asyncio.subprocess.Process:
    """The running command, with an open standard input."""
    return await FORESTAY.start(*arguments, **environ)


@asynccontextmanager
async def banner(*arguments: str, **environ: str) -> AsyncIterator[str]:
    """Runs `serve --dev` on free ports until the block ends. Yields what it prints when it serves."""
    process = await start("serve", "--dev", "--port", "0", "--internal-port", "0", *arguments, **environ)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            printed = ""
            while "api key" not in printed:
                printed += (await process.stdout.readline()).decode()
        yield printed
    finally:
        process.kill()
        await process.wait()


class Process:
    """A serving process, its ports, and everything it has logged."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.port = self.internal_port = 0
        self.log = ""

    @property
    def pod(self) -> Pod:
        """The pod that it serves, once it is ready."""
        return Pod(self.port, self.internal_port)

    async def ready(self) -> None:
        assert self.process.stderr is not None
        while not self.port:
            line = (await asyncio.wait_for(self.process.stderr.readline(), 3 * PATIENCE)).decode()
            assert line, self.log
            self.log += line
            if '"internal_port"' in line:
                event = json.loads(line)
                self.port, self.internal_port = event["port"], event["internal_port"]

    async def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and read the log to its end; the exit status."""
        if self.process.returncode is None:
            self.process.send_signal(how)
        assert self.process.stderr is not None
        self.log += (await asyncio.wait_for(self.process.stderr.read(), 3 * PATIENCE)).decode()
        return await asyncio.wait_for(self.process.wait(), PATIENCE)


@asynccontextmanager
async def serving(program: Program = FORESTAY, /, **environ: str) -> AsyncIterator[Process]:
    """A gateway process on free ports of the loopback address."""
    arguments = ("serve", "--host", "127.0.0.1", "--port", "0", "--internal-port", "0")
    served = Process(await program.start(*arguments, **KEYS | environ))
    try:
        await served.ready()
        yield served
    finally:
        await close_clients()
        if served.process.returncode is None:
            served.process.kill()
            await served.end()
