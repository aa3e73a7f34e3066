"""The standard variables: what they ask for, and what happens where they ask for what cannot be."""

import asyncio

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from forestay.ops.tracing.export import Telemetry
from forestay.ops.tracing.plan import Plan, plan, prepare
from forestay.ops.tracing.sampling import Manner, Sampling

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


def planned(**environ: str) -> Plan:
    return plan(environ, "7.0", "uid")


@pytest.mark.parametrize(
    ("environ", "exporters"),
    [
        ({}, []),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, []),
        (ENDPOINT, ["otlp_proto_http"]),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}, ["otlp_proto_http"]),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:1"}, []),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ["otlp_proto_grpc"]),
        (
            ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
            ["otlp_proto_http"],
        ),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, []),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "otlp, console"}, ["otlp_proto_http", "console"]),
        ({"OTEL_TRACES_EXPORTER": "console"}, ["console"]),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "TRUE"}, []),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "1"}, ["otlp_proto_http"]),
    ],
)
def test_spans_go_where_an_endpoint_or_an_exporter_is_named(environ: dict[str, str], exporters: list[str]) -> None:
    """Without an endpoint OTLP goes nowhere, and not to this machine."""
    assert list(planned(**environ).exporters) == exporters


@pytest.mark.parametrize(
    ("propagators", "heeded"), [("", True), ("tracecontext,baggage", True), ("b3", False), ("none", False)]
)
def test_callers_contexts_are_looked_at_where_the_propagators_say_so(propagators: str, *, heeded: bool) -> None:
    """W3C trace context is the one there is."""
    assert planned(OTEL_PROPAGATORS=propagators).heeds_callers is heeded


def test_what_the_environment_says_of_the_resource_stands() -> None:
    """Only what it does not say is filled in."""
    assert planned().resource == {
        "service.name": "forestay",
        "service.version": "7.0",
        "service.instance.id": "uid",
    }
    said = planned(OTEL_SERVICE_NAME="mine", OTEL_RESOURCE_ATTRIBUTES="service.instance.id=i , a=b")
    assert said.resource == {"service.version": "7.0"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "5000"},
        {"OTEL_BSP_SCHEDULE_DELAY": "-5"},
        {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "-1"},
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
    ],
)
def test_what_cannot_be_is_said_and_costs_the_traces_only(
    wrong: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No exception, and words that name what is wrong."""
    for name, value in (ENDPOINT | wrong).items():
        monkeypatch.setenv(name, value)
    telemetry, problems = prepare(planned(**ENDPOINT, **wrong))
    assert telemetry is None
    [problem] = problems
    assert problem.startswith("there are no traces: ")


async def test_limits_of_attributes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """`OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT` and `OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT` mean what they say."""
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3")
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "2")
    exporter = InMemorySpanExporter()
    telemetry = Telemetry([exporter], {})
    manner = Manner(
        Sampling(1, heeds_parent=True), continue_clients=False, heeds_callers=True, names=False, system="memory"
    )
    loop = asyncio.get_running_loop()
    telemetry.tracing(manner, loop).handshake("ok", loop.time(), None)
    telemetry.flush()
    [span] = exporter.get_finished_spans()
    assert dict(span.attributes or {}) == {"network.protocol.version": "1.1", "http.response.status_code": 101}
