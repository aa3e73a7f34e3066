"""Gateways as processes of this machine: started, drained as in a deploy, and started again."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
# In seconds. A start imports everything, on a machine that may be busy.
_PATIENCE: Final = 30.0


class Pod:
    """One gateway. Its name stays the same; each start has a new process and new ports."""

    def __init__(self, name: str, environ: Mapping[str, str]) -> None:
        self.name = name
        self.state = "stopped"
        """`stopped`, `starting`, `ready` or `draining`."""
        self.port = self.internal_port = 0
        self._environ = dict(environ)
        self._process: asyncio.subprocess.Process | None = None
        self._log: asyncio.Task[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Starts it on free ports, and waits until it is ready."""
        self.state = "starting"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FORESTAY_")}
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "forestay", "serve", "--host", "127.0.0.1", "--port", "0", "--internal-port", "0"),
            cwd=ROOT,
            env=inherited | self._environ | {"FORESTAY_LOG_LEVEL": "INFO", "FORESTAY_LOG_FORMAT": "json"},
            stderr=asyncio.subprocess.PIPE,
        )
        assert self._process.stderr is not None
        async with asyncio.timeout(_PATIENCE):
            await self._ready(self._process.stderr)
        # The log is not used from here on, but a full pipe would block the process.
        self._log = asyncio.create_task(self._process.stderr.read())
        self.state = "ready"

    def drain(self) -> None:
        """Sends SIGTERM, as a deploy does."""
        if self._process is not None and self._process.returncode is None:
            self.state = "draining"
            self._process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        """Waits for its end. Returns the exit status."""
        assert self._process is not None
        status = await self._process.wait()
        if self._log is not None:
            await self._log
        self.state = "stopped"
        return status

    async def kill(self) -> None:
        """Kills it if it still runs."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.kill()
        await self.ended()

    async def _ready(self, log: asyncio.StreamReader) -> None:
        output = ""
        while line := (await log.readline()).decode():
            output += line
            if '"ready"' in line:
                ready = json.loads(line)
                self.port, self.internal_port = ready["port"], ready["internal_port"]
                return
        raise RuntimeError(f"{self.name} did not start:\n{output}")
