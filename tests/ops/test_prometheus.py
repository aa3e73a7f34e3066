"""A real Prometheus scrapes two real pods on one Redis: every panel and every alert has data."""

import asyncio
import math
import re
import secrets
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from helm.rendering import CHART, read
from tests.support.chart import FULL, chart
from tests.support.gateway import Client, frame, token
from tests.support.jwks import ec_signer, endpoint
from tests.support.local_redis import RedisServer
from tests.support.otlp_sink import Sink, sink
from tests.support.process import serving
from tests.support.prometheus import MISSING, PROGRAM, Prometheus
from tests.support.webhook_receiver import SECRET

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)

NEAR, FAR = "forestay-6d4cf56db6-near1", "forestay-6d4cf56db6-far22"

ROOMS = '[[rooms]]\npattern = "chat.*"\npresence = true\n[rooms.history]\nsize = 100\nttl = 60\n'

VARIABLES = {"$namespace": "forestay", "$pod": ".*", "$__rate_interval": "1m"}

LATE = {"ForestayBusSlow", "ForestayDeliverySlow", "ForestayLoopLag"}
"""Alerts that wait for minutes until they fire, and begin to when the machine stands still for a moment."""

SCRAPES = 5
"""Per pod, because a rate needs two."""


@asynccontextmanager
async def watched(redis: RedisServer, folder: Path) -> AsyncIterator[tuple[Prometheus, Sink]]:
    """Two pods with traffic between them, after a Prometheus scraped them a few times; and their spans."""
    rooms = folder / "rooms.toml"
    rooms.write_text(ROOMS)
    environ = {
        "FORESTAY_BUS_URL": f"{redis.url}?prefix=t{secrets.token_hex(6)}",
        "FORESTAY_ROOMS_FILE": str(rooms),
        "FORESTAY_BUS_PROBE_INTERVAL": "0.5",
    }
    async with AsyncExitStack() as stack:
        spans = await stack.enter_async_context(sink())
        issuer = await stack.enter_async_context(endpoint())
        issuer.publish(ec_signer().jwk())
        application = await stack.enter_async_context(endpoint())
        environ |= spans.environ | {
            "FORESTAY_JWKS_URL": issuer.url,
            "FORESTAY_HOOKS_URL": application.url,
            "FORESTAY_HOOKS_SECRET": SECRET,
            "FORESTAY_HOOKS_ASK": "call",
        }
        near = await stack.enter_async_context(serving(**environ))
        far = await stack.enter_async_context(serving(**environ))
        pods = {NEAR: near.internal_port, FAR: far.internal_port}
        prometheus = Prometheus(folder, pods, chart(FULL).one("PrometheusRule")["spec"])
        stack.push_async_callback(prometheus.end)
        await prometheus.start()
        talk = await stack.enter_async_context(meanwhile(converse(near.port, far.port)))
        seen = f"min(count_over_time(forestay_connections[1m])) >= {SCRAPES} and count(forestay_connections) == 2"
        while not await prometheus.query(seen):
            assert not talk.done(), talk
            await asyncio.sleep(0.2)
        yield prometheus, spans


@asynccontextmanager
async def meanwhile(work: Coroutine[object, object, None]) -> AsyncIterator[asyncio.Task[None]]:
    """Runs `work` until the block ends."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def converse(near: int, far: int) -> None:
    """Repeats all that clients do: one client speaks on one pod, another one listens on the other pod."""
    speaker, listener = [await Client.open(port, token(user)) for port, user in ((near, "alice"), (far, "bob"))]
    for client in (speaker, listener):
        await client.hear("welcome")
    await listener.say({"type": "join", "room": "chat.a"})
    await listener.hear("joined")
    message = {"type": "broadcast", "room": "chat.a", "payload": 1}
    while True:
        await speaker.say(message, {"type": "nonsense"})
        await listener.hear("broadcast")
        for port in (near, far):
            guest = await Client.open(port, token("guest"))
            await guest.hear("welcome")
            await guest.send(frame(8, (1000).to_bytes(2, "big")))
            await guest.ended()
            await guest.close()
        await asyncio.sleep(0.05)


async def test_every_panel_and_every_alert_has_data(redis: RedisServer, tmp_path: Path) -> None:
    """Every query returns numbers, no alert fires, and exemplars lead to the message's trace."""
    async with watched(redis, tmp_path) as (prometheus, spans):
        for where, expression in panels():
            values = await prometheus.query(expression)
            assert values, f"{where}: nothing for {expression}"
            assert not all(math.isnan(value) for value in values), f"{where}: no numbers for {expression}"
        variables = read(CHART / "files/dashboard.json")["templating"]["list"]
        for variable in [each for each in variables if each["type"] == "query"]:
            [metric, label] = re.findall(r"label_values\((.*), (\w+)\)", variable["query"])[0]
            names = await prometheus.ask(f"label/{label}/values", **{"match[]": substituted(metric)})
            assert names == {"namespace": ["forestay"], "pod": sorted([NEAR, FAR])}[label]
        for name, expression in alerts():
            assert await prometheus.query(measured(expression)), f"{name}: nothing for {measured(expression)}"
        await no_alert_fires(prometheus)
        [far] = await prometheus.query(f'forestay_delivery_latency_seconds_count{{pod="{FAR}"}}')
        [near] = await prometheus.query(f'forestay_delivery_latency_seconds_count{{pod="{NEAR}"}}')
        assert far > near == 0
        assert min(await prometheus.query("forestay_bus_round_trip_seconds")) > 0
        await each_leads_to_a_span(await traces(prometheus, "forestay_delivery_latency_seconds_bucket", FAR), spans)
        await each_leads_to_a_span(await traces(prometheus, "forestay_publish_seconds_bucket", NEAR), spans)


async def each_leads_to_a_span(shown: set[tuple[str, str]], spans: Sink) -> None:
    """Asserts that there are exemplars, and that the collector has the span of each."""
    assert shown
    await spans.until(lambda heard: shown <= {(span.trace_id, span.span_id) for span in heard})


async def no_alert_fires(prometheus: Prometheus) -> None:
    """Asserts that Prometheus evaluates each rule, and that none fires for healthy pods."""
    [group] = (await prometheus.ask("rules"))["groups"]
    for rule in group["rules"]:
        assert rule["health"] == "ok", rule
    states = {rule["name"]: rule["state"] for rule in group["rules"] if rule["state"] != "inactive"}
    assert {name: state for name, state in states.items() if name not in LATE or state == "firing"} == {}


async def traces(prometheus: Prometheus, series: str, pod: str) -> set[tuple[str, str]]:
    """The exemplars of one pod's series, as pairs of trace id and span id."""
    found = await prometheus.ask("query_exemplars", query=f'{series}{{pod="{pod}"}}', start="0", end=str(2**33))
    return {(one["labels"]["trace_id"], one["labels"]["span_id"]) for each in found for one in each["exemplars"]}


def panels() -> Iterator[tuple[str, str]]:
    """The title and the query of each target of each panel."""
    for panel in read(CHART / "files/dashboard.json")["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], substituted(target["expr"])


def alerts() -> Iterator[tuple[str, str]]:
    [group] = chart(FULL).one("PrometheusRule")["spec"]["groups"]
    for rule in group["rules"]:
        yield rule["alert"], rule["expr"]


def substituted(expression: str) -> str:
    """The query with Grafana's variables filled in."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


def measured(expression: str) -> str:
    """The value that an alert compares: a comparison becomes a number, an absence a presence."""
    expression = re.sub(r"(==|>=|<=|!=|>|<) (?=[\d.])", r"\1 bool ", expression)
    expression = expression.replace("absent(", "count(")
    return re.sub(r"\bunless on", "and on", expression)
