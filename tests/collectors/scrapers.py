"""Scrapers: what each asks for, and what it has of a counter, a histogram and its exemplars."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.collectors import programs
from tests.collectors.stage import MESSAGES, PATIENCE, Front, settled
from tests.issuers.programs import run
from tests.support.local_redis import free_port
from tests.support.prometheus import Prometheus

Seen = Mapping[str, str]
Scrape = Callable[[Front, Path], Awaitable[Seen]]

COUNTER: Final = 'forestay_messages_published_total{outcome="accepted"}'
HISTOGRAM: Final = 'forestay_publish_seconds_count{outcome="accepted"}'


async def _prometheus(front: Front, place: Path, program: str) -> Seen:
    server = Prometheus(place, {"pod": front.port}, {}, program=program)
    try:
        await server.start()
        return await _stored(server, front)
    finally:
        await server.end()


async def _stored(server: Prometheus, front: Front) -> Seen:
    async with asyncio.timeout(PATIENCE):
        await settled(front)
        while not await server.query(COUNTER):
            await asyncio.sleep(0.1)
    exemplars = await server.ask(
        "query_exemplars", query="forestay_publish_seconds_bucket", start="0", end="9999999999"
    )
    return {
        "Gets": _form(front),
        "A counter": _is(await server.query(COUNTER)),
        "A histogram": _is(await server.query(HISTOGRAM)),
        "Exemplars": "yes" if exemplars else "no",
    }


async def prometheus_2(front: Front, place: Path) -> Seen:
    return await _prometheus(front, place, await programs.prometheus_2())


async def prometheus_3(front: Front, place: Path) -> Seen:
    return await _prometheus(front, place, await programs.prometheus_3())


async def vmagent(front: Front, place: Path) -> Seen:
    """What it writes is kept by a Prometheus that scrapes nothing itself."""
    program = await programs.vmagent()
    server = Prometheus(place, {}, {}, "--web.enable-remote-write-receiver", program=await programs.prometheus_2())
    jobs = [
        {"job_name": "forestay", "scrape_interval": "1s", "static_configs": [{"targets": [f"127.0.0.1:{front.port}"]}]}
    ]
    (place / "agent.yaml").write_text(json.dumps({"scrape_configs": jobs}))
    options = {
        "promscrape.config": "agent.yaml",
        "remoteWrite.url": f"{server.url}/api/v1/write",
        "remoteWrite.forcePromProto": "true",
        "remoteWrite.tmpDataPath": "queue",
        "remoteWrite.flushInterval": "1s",
        "httpListenAddr": f"127.0.0.1:{free_port()}",
    }
    try:
        await server.start()
        async with programs.running(program, *(f"-{name}={value}" for name, value in options.items()), place=place):
            return await _stored(server, front)
    finally:
        await server.end()


_CHECK: Final = """
import json
import sys

from datadog_checks.base import OpenMetricsBaseCheckV2
from datadog_checks.base.stubs import aggregator

instance = {"openmetrics_endpoint": sys.argv[1], "namespace": "forestay", "metrics": [".+"]}
instance["rename_labels"] = {"version": "gateway_version"}
check = OpenMetricsBaseCheckV2("forestay", {}, [instance])
for _ in "12":
    error = check.run()
    assert not error, error
found = {name: [[m.value, sorted(m.tags)] for m in aggregator.metrics(name)] for name in aggregator.metric_names}
print(json.dumps(found))
"""


async def datadog(front: Front, place: Path) -> Seen:
    """A check as the agent runs it, twice."""
    home = await programs.datadog()
    (place / "check.py").write_text(_CHECK)
    url = f"http://127.0.0.1:{front.port}/metrics"
    printed = await run([sys.executable, "check.py", url], place, PYTHONPATH=str(home / "packages"))
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    counter = _of(found, "forestay.forestay_messages_published.count")
    histogram = _of(found, "forestay.forestay_publish_seconds.count")
    return {
        "Gets": _form(front),
        "A counter": f"{_is(counter[-1:])}, with `.count` in place of `_total`",
        "A histogram": f"{_is(histogram[-1:])}, as `.count`, `.sum` and `.bucket`",
        "Exemplars": "no",
    }


def _of(found: Mapping[str, Any], name: str) -> list[float]:
    return [float(value) for value, tags in found.get(name, []) if "outcome:accepted" in tags]


def _is(values: Sequence[float]) -> str:
    return "yes" if list(values) == [MESSAGES] else f"{list(values)} and not {MESSAGES}"


def _form(front: Front) -> str:
    """The form of what it was answered."""
    return ", ".join(dict.fromkeys("OpenMetrics" if "openmetrics" in form else "text" for form in front.forms))


SCRAPERS: Final[Mapping[str, tuple[str, Scrape]]] = {
    "Debian's Prometheus": ("", prometheus_2),
    "Prometheus": (programs.PROMETHEUS_3.replace("v0.3", "3."), prometheus_3),
    "vmagent": (programs.VMAGENT, vmagent),
    "Datadog's OpenMetrics check": (programs.DATADOG, datadog),
}
"""By name the version, which the Prometheus on PATH says itself, and how it is run."""
