"""A program that uses a library, as the checks see it: a process that takes commands and says what happens."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.matrix.builders import Built

PATIENCE: Final = 60.0
"""Seconds. Nothing takes that long unless it never comes, also on a busy machine."""
SUBPROTOCOL: Final = "forestay.v1"
_LONGEST_LINE: Final = 2**24


@dataclass(frozen=True, slots=True)
class Said:
    """A line of the program: `open`, `text`, `binary`, `closed`, `refused` or `failed`, and what stands behind it."""

    word: str
    rest: str

    def __str__(self) -> str:
        return f"{self.word} {self.rest}"[:200].rstrip()


NOTHING: Final = Said("nothing", "")


class Unexpected(Exception):
    """The program says something else than it should at this point."""


class Running:
    """The program of a library, started."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def next(self, within: float = PATIENCE) -> Said:
        """Its next line. NOTHING where it says none in time, or ends."""
        assert self._process.stdout is not None
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), within)
        except TimeoutError:
            return NOTHING
        word, _, rest = line.decode().rstrip("\r\n").partition(" ")
        return Said(word, rest) if line else NOTHING

    async def expect(self, word: str) -> str:
        """The rest of its next line, which begins with `word`. Raises Unexpected."""
        said = await self.next()
        if said.word != word:
            raise Unexpected(str(said))
        return said.rest

    async def hear(self, kind: str) -> dict[str, Any]:
        """The next message, which has this type. Raises Unexpected."""
        text = await self.expect("text")
        message: dict[str, Any] = json.loads(text)
        if message["type"] != kind:
            raise Unexpected(text)
        return message

    async def end(self, within: float = PATIENCE) -> Said:
        """What it says of its end. Messages before that are passed over."""
        while True:
            said = await self.next(within)
            if said.word not in ("open", "text", "binary"):
                return said

    async def text(self, message: object) -> None:
        """Have it send a text message: JSON of this object."""
        await self._command(f"text {json.dumps(message, ensure_ascii=False)}")

    async def binary(self, data: bytes) -> None:
        """Have it send a binary message."""
        await self._command(f"binary {data.hex()}")

    async def close(self) -> None:
        """Have it leave with 1000."""
        await self._command("close")

    async def _command(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()


@contextlib.asynccontextmanager
async def started(
    program: Built, url: str, token: str = "", limit: int = 0, subprotocols: Sequence[str] = (SUBPROTOCOL,)
) -> AsyncIterator[Running]:
    """The program, connecting. `token` goes into the header. `limit`: bytes of a message; 0 is that of the library."""
    process = await asyncio.create_subprocess_exec(
        *program.command,
        url,
        token,
        str(limit),
        *subprotocols,
        cwd=program.folder,
        env={**os.environ, **program.environ},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=_LONGEST_LINE,
        # The Node of this environment is a program that starts Node, and a kill of it alone would leave Node.
        start_new_session=True,
    )
    try:
        yield Running(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
