"""A real gateway in its own process, and what is visible from outside: its log, its memory, its files."""

import asyncio
import json
import os
import re
import secrets
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self
from urllib.request import Request, urlopen

from forestay.edge.tokens.mint import mint

ROOT: Final = Path(__file__).resolve().parents[2]
PATIENCE: Final = 60.0
"""Seconds for whatever should happen at once. A shared machine may have other work, so the limit is generous."""


class GatewayProcess:
    """`python -m forestay serve` on free ports of the loopback address."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        """`settings`: variables without the prefix."""
        self._secret = secrets.token_urlsafe(48)
        self.api_key = secrets.token_urlsafe(48)
        self._settings = {f"FORESTAY_{name}": value for name, value in (settings or {}).items()}
        self.events: Counter[str] = Counter()
        """Log lines by their event."""
        self.trouble: dict[str, tuple[int, str]] = {}
        """Log lines at error level, and lines that are no JSON (forged lines, or tracebacks), by where they came
        from: how often, and the first one."""
        self._ready: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
        self.port = self.internal_port = 0

    async def __aenter__(self) -> Self:
        own = {"FORESTAY_JWT_SECRET": self._secret, "FORESTAY_API_KEY": self.api_key, "FORESTAY_LOG_FORMAT": "json"}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FORESTAY_")}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "forestay", "serve", "--host", "127.0.0.1", "--port", "0", "--internal-port", "0"),
            cwd=ROOT,
            env=inherited | own | self._settings,
            stderr=asyncio.subprocess.PIPE,
            limit=2**20,
        )
        self._log = asyncio.create_task(self._read_log())
        async with asyncio.timeout(PATIENCE):
            self.port, self.internal_port = await self._ready
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.alive:
            self._process.kill()
        await self._process.wait()
        await self._log

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def stop(self) -> int:
        """Sends SIGTERM. Returns the exit status."""
        self._process.terminate()
        async with asyncio.timeout(PATIENCE):
            return await self._process.wait()

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def token(self, user: str, rooms: Mapping[str, str] | None = None, ttl: int = 86400) -> str:
        # Whole seconds, so that tokens with the same claims have the same length in every run.
        return mint(self._secret.encode(), user, rooms=rooms, ttl=ttl, now=int(time.time()))

    @property
    def memory(self) -> float:
        """Resident memory in MiB; 0 where the system does not say."""
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:
            return 0.0
        found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
        return int(found[1]) / 1024 if found else 0.0

    @property
    def cpu(self) -> float:
        """CPU seconds that it has used so far; wall time where the system does not say."""
        try:
            # What clock_getcpuclockid(3) makes of another process.
            return time.clock_gettime(~self._process.pid << 3 | 2)
        except OSError:
            return time.monotonic()

    @property
    def files(self) -> int:
        """The number of open file descriptors; 0 where the system does not say."""
        try:
            return len(list(Path(f"/proc/{self._process.pid}/fd").iterdir()))
        except OSError:
            return 0

    async def metric(self, name: str) -> float:
        """The value of a metric without labels."""
        _, text = await self.ask("GET", "/metrics")
        found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
        if found is None:
            raise LookupError(name)
        return float(found[1])

    async def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
        """Sends a request with the API key to the internal port. Returns status and body; raises HTTPError."""
        request = Request(f"http://127.0.0.1:{self.internal_port}{path}", body, method=method)
        request.add_header("Authorization", f"Bearer {self.api_key}")

        def exchange() -> tuple[int, str]:
            with urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()

        return await asyncio.to_thread(exchange)

    async def _read_log(self) -> None:
        assert self._process.stderr is not None
        async for raw in self._process.stderr:
            line = raw.decode(errors="replace").rstrip()
            try:
                fact = json.loads(line)
                event, level = str(fact["event"]), fact["level"]
            except (ValueError, LookupError, TypeError):
                fact, event, level = {}, "(not JSON)", "error"
            self.events[event] += 1
            if level in ("error", "critical"):
                places = re.findall(r'File ".*?([^/"]+)", (line \d+, in \S+)', str(fact.get("exception", "")))
                origin = f"{event}, from {' '.join(places[-1]) if places else 'nowhere'}"
                count, first = self.trouble.get(origin, (0, line))
                self.trouble[origin] = (count + 1, first)
            if event == "ready" and not self._ready.done():
                self._ready.set_result((fact["port"], fact["internal_port"]))
        if not self._ready.done():
            self._ready.set_exception(RuntimeError(f"the gateway did not start: {self.trouble}"))
