"""A real Jaeger on loopback that keeps traces in memory: searched for or built, started and queried."""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.gateway import PATIENCE
from tests.support.local_redis import free_port
from tests.support.otlp_sink import Event, Span, Value

MODULE = "github.com/jaegertracing/jaeger"
VERSION = "v1.76.0"
KINDS = ("", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
_ANY_PORT = "127.0.0.1:0"
_REST = 0.1
_TRIES = int(PATIENCE / _REST)


class NoJaeger(Exception):
    """There is no Jaeger, and it cannot be built."""


def found() -> str | None:
    """The program that JAEGER names, the one on PATH, or the one that was built here before."""
    named = os.environ.get("JAEGER") or shutil.which("jaeger-all-in-one")
    return named or (str(_kept()) if _kept().exists() else None)


def build() -> str:
    """Builds the program from its module and keeps it. It has no web page, only the query API."""
    if shutil.which("go") is None:
        raise NoJaeger("JAEGER names none, there is no jaeger-all-in-one on PATH, and no Go to build one with")
    source = f"{MODULE}@{VERSION}"
    download = subprocess.run(["go", "mod", "download", "-json", source], capture_output=True, check=False)
    folder = json.loads(download.stdout or b"{}").get("Dir")
    if folder is None:
        raise NoJaeger(f"the module {source} cannot be downloaded: {download.stderr.decode().strip()}")
    _kept().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_kept().parent) as work:
        made = Path(work) / "jaeger"
        # `go install` refuses a module with replacements; a build in the module's folder allows them.
        if subprocess.run(["go", "build", "-o", made, "./cmd/all-in-one"], cwd=folder, check=False).returncode:
            raise NoJaeger(f"{source} does not build")
        made.rename(_kept())
    return str(_kept())


def _kept() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "forestay" / f"jaeger-{VERSION}"


class Jaeger:
    def __init__(self, collector: int, query: int) -> None:
        self._query = f"http://127.0.0.1:{query}/api/v3/traces"
        self.environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector}",
            "OTEL_TRACES_SAMPLER": "always_on",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        """Variables that send all spans of a gateway here without delay."""

    async def ready(self) -> None:
        """Waits until queries are answered. Raises NoJaeger."""
        for _ in range(_TRIES):
            try:
                await self._answer("/" + "1" * 32, {})
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(_REST)
            else:
                return
        raise NoJaeger("it was started and does not answer")

    async def trace(self, trace_id: str, spans: int) -> list[Span]:
        """The trace once it has that many spans, or its spans after a timeout."""
        return await self._ask(f"/{trace_id}", {}, lambda found: len(found) >= spans)

    async def named(self, service: str, name: str, spans: int) -> list[Span]:
        """All traces with a span called `name`, once there are that many spans of that name."""
        query = {
            "query.service_name": service,
            "query.operation_name": name,
            "query.start_time_min": "2000-01-01T00:00:00Z",
            "query.start_time_max": "2200-01-01T00:00:00Z",
        }
        return await self._ask("", query, lambda found: sum(span.name == name for span in found) >= spans)

    async def _ask(self, path: str, query: dict[str, str], enough: Callable[[list[Span]], bool]) -> list[Span]:
        for _ in range(_TRIES):
            spans = await self._answer(path, query)
            if enough(spans):
                break
            await asyncio.sleep(_REST)
        return spans

    async def _answer(self, path: str, query: dict[str, str]) -> list[Span]:
        async with aiohttp.request("GET", self._query + path, params=query) as response:
            # The JSON comes with the content type of plain text.
            return _spans(await response.json(content_type=None)) if response.status == 200 else []


@asynccontextmanager
async def jaeger(program: str) -> AsyncIterator[Jaeger]:
    """Runs the program on ports of its own until the block ends."""
    collector, query = free_port(), free_port()
    addresses = {
        "admin.http": _ANY_PORT,
        "collector.grpc-server": _ANY_PORT,
        "collector.http-server": _ANY_PORT,
        "collector.otlp.grpc": _ANY_PORT,
        "collector.otlp.http": f"127.0.0.1:{collector}",
        "query.grpc-server": _ANY_PORT,
        "query.http-server": f"127.0.0.1:{query}",
    }
    arguments = ["--collector.otlp.enabled=true", *(f"--{name}.host-port={at}" for name, at in addresses.items())]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    # Without this setting it makes spans of its own queries.
    environ = clean | {"SPAN_STORAGE_TYPE": "memory", "OTEL_TRACES_SAMPLER": "always_off"}
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(program, *arguments, env=environ, stdout=quiet, stderr=quiet)
    try:
        running = Jaeger(collector, query)
        await running.ready()
        yield running
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _spans(answer: Mapping[str, Any]) -> list[Span]:
    return [
        _span(span, _attributes(of_resource["resource"]))
        for of_resource in answer["result"]["resourceSpans"]
        for of_scope in of_resource["scopeSpans"]
        for span in of_scope["spans"]
    ]


def _span(span: Mapping[str, Any], resource: dict[str, Value]) -> Span:
    return Span(
        name=span["name"],
        kind=KINDS[span["kind"]],
        trace_id=span["traceId"],
        span_id=span["spanId"],
        parent_id=span.get("parentSpanId", ""),
        links=[(link["traceId"], link["spanId"]) for link in span.get("links", [])],
        attributes=_attributes(span),
        events=[Event(event["name"], _attributes(event)) for event in span.get("events", [])],
        failed=span.get("status", {}).get("code") == 2,
        start=int(span["startTimeUnixNano"]),
        end=int(span["endTimeUnixNano"]),
        resource=resource,
        state=span.get("traceState", ""),
    )


def _attributes(owner: Mapping[str, Any]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for pair in owner.get("attributes", []):
        [(kind, value)] = pair["value"].items()
        # An integer is a string in this JSON, because it may not fit a JavaScript number.
        found[pair["key"]] = int(value) if kind == "intValue" else value
    return found
