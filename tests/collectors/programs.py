"""Builds and fetches the collectors and scrapers, once: modules of Go, and a package of PyPI."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from tests.issuers.programs import place, python, run
from tests.support import prometheus
from tests.support.fetched import Missing, say
from tests.tracing_backend import jaeger as tracing_backend

PROMETHEUS_3: Final = "v0.316.0"
"""The version of its module: that of Prometheus 3.16.0."""

VMAGENT: Final = "v1.151.0"
DATADOG: Final = "37.15.0"
OTELCOL: Final = "v0.165.0"


async def _built(name: str, version: str, module: str, *flags: str) -> str:
    """The program of a module of Go. Raises Missing."""
    here = place(name, version)
    if not (here / name).exists():
        say(f"compiling {name} {version}, which takes minutes once")
        environ = {"GOBIN": str(here), "GOFLAGS": "-mod=mod"}
        await run(["go", "install", *flags, f"{module}@{version}"], here, **environ)
    return str(here / name)


async def prometheus_2() -> str:
    """The one on PATH. Raises Missing."""
    if prometheus.PROGRAM is None:
        raise Missing(prometheus.MISSING)
    return prometheus.PROGRAM


async def prometheus_3() -> str:
    """Prometheus 3, without its service discoveries. Raises Missing."""
    tags = ["-tags", "remove_all_sd,netgo"]
    return await _built("prometheus", PROMETHEUS_3, "github.com/prometheus/prometheus/cmd/prometheus", *tags)


async def vmagent() -> str:
    """The agent of VictoriaMetrics. Raises Missing."""
    return await _built("vmagent", VMAGENT, "github.com/VictoriaMetrics/VictoriaMetrics/app/vmagent")


async def datadog() -> Path:
    """A folder whose `packages` has the check. Raises Missing."""
    return await python("datadog-checks-base", DATADOG, f"datadog-checks-base[deps]=={DATADOG}")


async def otelcol() -> str:
    """A collector of OpenTelemetry with OTLP on both sides, of main.go beside this module. Raises Missing."""
    here = place("otelcol", OTELCOL)
    if not (here / "otelcol").exists():
        say(f"compiling a collector of OpenTelemetry {OTELCOL}, which takes minutes once")
        source = here / "source"
        shutil.copytree(Path(__file__).with_name("otelcol"), source, dirs_exist_ok=True)
        await run(["go", "build", "-o", str(here / "otelcol"), "."], source, GOFLAGS="-mod=readonly")
    return str(here / "otelcol")


async def jaeger() -> str:
    """Jaeger, as `make e2e-trace` has it. Raises Missing."""
    try:
        return tracing_backend.found() or tracing_backend.build()
    except tracing_backend.NoJaeger as no:
        raise Missing(str(no)) from no


def clean() -> dict[str, str]:
    """The environment without settings of OpenTelemetry and of Forestay."""
    return {name: text for name, text in os.environ.items() if not name.startswith(("OTEL_", "FORESTAY_"))}


@asynccontextmanager
async def running(*command: str, place: Path) -> AsyncIterator[None]:
    """Runs a program in `place` until the block ends."""
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, cwd=place, env=clean(), stdout=quiet, stderr=quiet)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
