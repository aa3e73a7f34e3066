"""A proxy in front of two pods: how it is started, reloaded and ended, whichever it is."""

import asyncio
import os
import re
import shlex
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.meet.programs import Program, folder
from tests.support.descendants import end_descendants
from tests.support.repository import blocks

POD: Final = re.compile(r"10\.0\.0\.([12])(\D+)8080")
"""A pod, as the docs have it."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports on this machine."""

    proxy: int
    pods: tuple[int, int]
    admin: int


@dataclass(frozen=True, slots=True)
class Kind:
    """One proxy."""

    name: str
    page: str
    """The page of the docs that has its configuration."""
    begins: str
    """How that begins."""
    listens: tuple[str, str]
    """Where that listens, and the same with a port for `{}`, on loopback."""
    program: Callable[[], Program]
    around: Callable[[str, "Running"], str]
    """The whole configuration: the one of the docs, and what a process of its own needs: its files and modules."""
    command: Callable[["Running"], Sequence[str]]
    """What starts it, after its path."""
    reload: Callable[["Running"], Awaitable[None]]
    """Make it read its configuration again."""
    http2: Callable[[str], str]
    """The configuration with HTTP/2 without TLS on its port."""
    beside: Callable[["Running"], Sequence[str]] | None = None
    """A second program that belongs to it, with its arguments: what writes its log."""
    suffix: str = ""
    """That of the file, where the proxy wants one."""
    late: bool = False
    """Whether it listens before it knows its pods."""
    reloading: float = 1.5
    """Seconds after which a reload has done to connections what it does. No proxy says when its new workers serve."""
    draws: bool = False
    """Whether it draws pods at random, so that their connections differ from run to run."""

    def example(self) -> str:
        """Its configuration as the docs have it."""
        return next(block for block in blocks(self.page) if block.startswith(self.begins))


class Running:
    """A proxy in front of two pods. Some have options in the first line of their configuration, as a comment."""

    def __init__(self, kind: Kind, ports: Ports, place: Path) -> None:
        self.kind = kind
        self.ports = ports
        self.place = place
        """The folder of its files."""
        self.file = place / f"configuration{kind.suffix}"
        self.program = kind.program()
        self.generation = 0
        """How many processes took the place of the first one."""
        self._processes: list[asyncio.subprocess.Process] = []

    async def start(self, idle: float | None, *, http2: bool = False) -> None:
        """Start it. `idle`: seconds in place of its long timeouts."""
        text = POD.sub(lambda pod: f"127.0.0.1{pod[2]}{self.ports.pods[int(pod[1]) - 1]}", self.kind.example())
        there, here = self.kind.listens
        assert there in text
        text = text.replace(there, here.replace("{}", str(self.ports.proxy)), 1)
        if idle is not None:
            text = text.replace("1h", f"{idle:g}s").replace("3600", f"{idle:g}")
        text = self.kind.around(text, self)
        self.file.write_text(self.kind.http2(text) if http2 else text)
        process = await self.spawn(str(self.program.path), *self.kind.command(self))
        # Varnish starts a C compiler.
        async with asyncio.timeout(120):
            while not await self._listens():
                if process.returncode is not None:
                    raise RuntimeError(f"{self.kind.name} does not start: {self.log()[-1500:]}")
                await asyncio.sleep(0.05)
        if self.kind.beside is not None:
            await self.spawn(*self.kind.beside(self))

    def options(self) -> Sequence[str]:
        """Those in the first line of its configuration, after its name."""
        [first, *_] = self.file.read_text().splitlines()
        return shlex.split(first.lstrip("# "))[1:]

    async def spawn(self, *command: str) -> asyncio.subprocess.Process:
        """Start a process that is ended with the proxy, and whose output is in its log."""
        with (self.place / "output.log").open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                env=dict(self.program.environ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def signalled(self, number: signal.Signals) -> None:
        """Send a signal to the first process."""
        self._processes[0].send_signal(number)

    async def _listens(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.ports.proxy)
        except OSError:
            return False
        try:
            if not self.kind.late:
                return True
            writer.write(b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return b"problem+json" in await reader.read()
        finally:
            writer.close()

    async def reload(self) -> None:
        """Make it read its configuration again."""
        await self.kind.reload(self)
        await asyncio.sleep(self.kind.reloading)

    def log(self) -> str:
        """All that it has logged."""
        return "".join(file.read_text(errors="replace") for file in self.place.glob("*.log"))

    def errors(self) -> str:
        """What it has logged about errors: a file of its own, or the lines of that level."""
        file = self.place / "error.log"
        if file.exists():
            return file.read_text(errors="replace")
        marks = ('"level":"error"', "][error]", " ERR ")
        return "\n".join(line for line in self.log().splitlines() if any(mark in line for mark in marks))

    async def stop(self) -> None:
        """End it and its workers, also those that have no parent any more, as lighttpd's after a reload."""
        for process in self._processes:
            if process.returncode is None:
                process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                for process in self._processes:
                    await process.wait()
        for process in self._processes:
            # Workers of before a reload outlive the process that made them.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        end_descendants()


def place_of(kind: Kind, number: int) -> Path:
    """A new folder for the files of one run of a proxy."""
    place = folder() / "runs" / f"{kind.name.lower()}-{number}"
    place.mkdir(parents=True, exist_ok=True)
    for file in place.glob("*.log"):
        file.unlink()
    return place
