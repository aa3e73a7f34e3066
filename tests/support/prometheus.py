"""Runs a real Prometheus that scrapes pods, and promtool. Debian's package `prometheus` has both."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from tests.support.local_redis import free_port

PROGRAM = shutil.which("prometheus")
TOOL = shutil.which("promtool")
MISSING = "no Prometheus on PATH; Debian's package of that name has it"


def promtool(*arguments: str, folder: Path) -> str:
    """Runs promtool in `folder` and returns its output. The tool must succeed."""
    assert TOOL is not None
    done = subprocess.run([TOOL, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Prometheus:
    """One server that scrapes every second and stores exemplars."""

    def __init__(
        self,
        folder: Path,
        pods: Mapping[str, int],
        rules: Mapping[str, Any],
        *flags: str,
        program: str | None = PROGRAM,
    ) -> None:
        """`pods`: their internal ports by name. `rules`: the spec of a PrometheusRule. `flags`: more of them."""
        assert program is not None
        self._command = (program, *flags)
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self.url = f"http://127.0.0.1:{free_port()}"
        targets = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"namespace": "forestay", "pod": pod}}
            for pod, port in pods.items()
        ]
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [{"job_name": "forestay", "static_configs": targets}],
        }
        (folder / "rules.yaml").write_text(yaml.safe_dump(dict(rules)))
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            "--config.file=prometheus.yaml",
            "--storage.tsdb.path=data",
            "--enable-feature=exemplar-storage",
            f"--web.listen-address={self.url.removeprefix('http://')}",
            cwd=self._folder,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        while not await self._ready():
            assert self._process.returncode is None, "Prometheus ended"
            await asyncio.sleep(0.1)

    async def end(self) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()

    async def ask(self, path: str, **parameters: str) -> Any:
        """Returns the data of an answer of the HTTP API."""
        async with aiohttp.request("GET", f"{self.url}/api/v1/{path}", params=parameters) as response:
            answer = json.loads(await response.read())
        assert answer["status"] == "success", answer
        return answer["data"]

    async def query(self, expression: str) -> list[float]:
        """Returns the current values of a query."""
        data = await self.ask("query", query=expression)
        return [float(series["value"][1]) for series in data["result"]]

    async def _ready(self) -> bool:
        try:
            async with aiohttp.request("GET", f"{self.url}/-/ready") as response:
                return response.status == 200
        except aiohttp.ClientConnectionError:
            return False
