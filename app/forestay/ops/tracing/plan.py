"""Reads the standard OTEL_* variables: whether spans are sent, where, and how they are sampled.

The SDK is loaded only if spans are sent. Where the specification leaves a choice: without an endpoint no spans are
sent, also not to this machine.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from forestay.ops.tracing import conventions as semconv
from forestay.ops.tracing.sampling import Sampling, parse_sampling
from forestay.ops.tracing.wrong_port import port_of_grpc

if TYPE_CHECKING:
    from forestay.ops.tracing.export import Telemetry

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
# Protocols, and the names under which packages register their exporters.
_OTLP: Final = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc", "http/json": "otlp_json_http"}
_TRACE_CONTEXT: Final = "tracecontext"


class Plan(NamedTuple):
    """What the OTEL_* variables ask for."""

    exporters: Sequence[str]
    """The names under which packages register them. Empty: no spans are sent."""
    sampling: Sampling
    uses_caller_context: bool
    """Whether trace contexts of messages and requests are used."""
    resource: Mapping[str, str]
    """Attributes of the resource that OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES do not set."""
    doubts: Sequence[str] = ()
    """What is likely wrong with the destination."""


def plan(environ: Mapping[str, str], version: str, instance: str) -> Plan:
    """Reads `environ`. `instance`: the id of this process where the environment gives none."""
    propagators = _split(environ.get("OTEL_PROPAGATORS", "")) or [_TRACE_CONTEXT]
    set_already = {pair.partition("=")[0].strip() for pair in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",")}
    if environ.get("OTEL_SERVICE_NAME"):
        set_already.add(semconv.SERVICE_NAME)
    resource = {
        semconv.SERVICE_NAME: semconv.SERVICE,
        semconv.SERVICE_VERSION: version,
        semconv.SERVICE_INSTANCE: instance,
    }
    exporters = _exporters(environ)
    doubt = port_of_grpc(environ, _ENDPOINTS) if _OTLP["http/protobuf"] in exporters else None
    return Plan(
        exporters,
        parse_sampling(environ),
        _TRACE_CONTEXT in propagators,
        {name: value for name, value in resource.items() if name not in set_already},
        [doubt] if doubt else [],
    )


def prepare(planned: Plan) -> "tuple[Telemetry | None, list[str]]":
    """Returns the exporting side, or None where no spans are sent, and the problems with the configuration."""
    if not planned.exporters:
        return None, []
    # Imported here: the SDK takes half as long to load as a gateway without traces takes to start.
    from forestay.ops.tracing.export import Telemetry, UnknownExporter, find_exporters

    try:
        return Telemetry(find_exporters(planned.exporters), planned.resource), list(planned.doubts)
    except UnknownExporter as missing:
        return None, [f"traces are off: no installed package provides the exporter {missing}; use http/protobuf"]
    except ValueError as error:
        # The SDK reports a number that is out of bounds.
        return None, [f"traces are off: {error}"]


def _exporters(environ: Mapping[str, str]) -> list[str]:
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    wanted = _split(environ.get("OTEL_TRACES_EXPORTER", "")) or ["otlp"]
    exporters = []
    for name in wanted:
        if name == "otlp" and any(environ.get(endpoint) for endpoint in _ENDPOINTS):
            protocol = next((value for each in _PROTOCOLS if (value := environ.get(each, "").strip())), "http/protobuf")
            exporters.append(_OTLP.get(protocol, protocol))
        elif name not in ("otlp", "none"):
            exporters.append(name)
    return exporters


def _split(text: str) -> list[str]:
    return [part for part in text.replace(",", " ").split() if part]
