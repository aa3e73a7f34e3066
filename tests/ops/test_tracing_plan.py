"""The standard OTEL_* variables: what they configure, and what wrong values do."""

import asyncio
import time

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from forestay.ops.tracing.export import Telemetry, made
from forestay.ops.tracing.plan import Plan, plan, prepare
from forestay.ops.tracing.sampling import Sampling, TracingOptions

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
    """Spans are sent only where an endpoint or an exporter is named; OTLP has no default endpoint."""
    assert list(planned(**environ).exporters) == exporters


@pytest.mark.parametrize(
    ("propagators", "used"), [("", True), ("tracecontext,baggage", True), ("b3", False), ("none", False)]
)
def test_callers_contexts_are_used_with_the_tracecontext_propagator(propagators: str, *, used: bool) -> None:
    """A caller's context is used only if the propagators include W3C trace context."""
    assert planned(OTEL_PROPAGATORS=propagators).uses_caller_context is used


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4317/v1/traces"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
        (
            {
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces",
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317",
            },
            None,
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_TRACES_EXPORTER": "none"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:rubbish"}, None),
    ],
)
def test_the_port_of_grpc_is_doubted(environ: dict[str, str], named: str | None) -> None:
    """At the start, and by `check`: spans go by HTTP, and a collector has another port for that."""
    doubts = planned(**environ).doubts
    assert [doubt.split()[0] for doubt in doubts] == ([named] if named else [])


def test_the_environment_overrides_resource_attributes() -> None:
    """Resource attributes of the environment win; only missing ones are filled in."""
    assert planned().resource == {
        "service.name": "forestay",
        "service.version": "7.0",
        "service.instance.id": "uid",
    }
    overridden = planned(OTEL_SERVICE_NAME="mine", OTEL_RESOURCE_ATTRIBUTES="service.instance.id=i , a=b")
    assert overridden.resource == {"service.version": "7.0"}


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
def test_a_wrong_variable_turns_traces_off_with_a_message(
    wrong: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong variable turns traces off, with a message that names the problem and without an exception."""
    for name, value in (ENDPOINT | wrong).items():
        monkeypatch.setenv(name, value)
    telemetry, problems = prepare(planned(**ENDPOINT, **wrong))
    assert telemetry is None
    [problem] = problems
    assert problem.startswith("traces are off: ")


async def test_limits_of_attributes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """`OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT` and `OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT` are respected."""
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3")
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "2")
    exporter = InMemorySpanExporter()
    telemetry = Telemetry([made(exporter)], {})
    options = TracingOptions(
        Sampling(1, parent_based=True), continue_clients=False, uses_caller_context=True, names=False, system="memory"
    )
    loop = asyncio.get_running_loop()
    telemetry.tracing(options, loop).handshake("ok", time.perf_counter(), None)
    telemetry.flush()
    [span] = exporter.get_finished_spans()
    assert dict(span.attributes or {}) == {"network.protocol.version": "1.1", "http.response.status_code": 101}
