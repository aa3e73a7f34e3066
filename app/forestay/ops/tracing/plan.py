"""Whether spans go anywhere and as what, read from the standard OTEL_* variables; the SDK is loaded only if they do.

Where the specification leaves a choice: no endpoint means that spans go nowhere, and not to this machine.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from forestay.ops.tracing import conventions as words
from forestay.ops.tracing.sampling import Sampling, parse_sampling

if TYPE_CHECKING:
    from forestay.ops.tracing.export import Telemetry

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
# What the packages that speak them are registered as.
_OTLP: Final = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc", "http/json": "otlp_json_http"}
_TRACE_CONTEXT: Final = "tracecontext"


class Plan(NamedTuple):
    """What OTEL_* ask for."""

    exporters: Sequence[str]
    """By the names under which packages register them; none: spans go nowhere."""
    sampling: Sampling
    heeds_callers: bool
    """Whether trace contexts that come with messages and requests are looked at."""
    resource: Mapping[str, str]
    """What the spans are from, as far as OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES do not say."""


def plan(environ: Mapping[str, str], version: str, instance: str) -> Plan:
    """Read `environ`. `instance`: what to call this process where nothing else is said."""
    propagators = _words(environ.get("OTEL_PROPAGATORS", "")) or [_TRACE_CONTEXT]
    said = {pair.partition("=")[0].strip() for pair in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",")}
    if environ.get("OTEL_SERVICE_NAME"):
        said.add(words.SERVICE_NAME)
    resource = {
        words.SERVICE_NAME: words.SERVICE,
        words.SERVICE_VERSION: version,
        words.SERVICE_INSTANCE: instance,
    }
    return Plan(
        _exporters(environ),
        parse_sampling(environ),
        _TRACE_CONTEXT in propagators,
        {name: value for name, value in resource.items() if name not in said},
    )


def prepare(planned: Plan) -> "tuple[Telemetry | None, list[str]]":
    """The way out for spans, if there is one; and what is wrong with what was asked for."""
    if not planned.exporters:
        return None, []
    # Half the time that a gateway without traces takes to start.
    from forestay.ops.tracing.export import NoExporter, Telemetry, make_exporters

    try:
        return Telemetry(make_exporters(planned.exporters), planned.resource), []
    except NoExporter as missing:
        return None, [f"there are no traces: no package here brings the exporter {missing}; http/protobuf is there"]
    except ValueError as error:
        # A number out of bounds, in words of the SDK's.
        return None, [f"there are no traces: {error}"]


def _exporters(environ: Mapping[str, str]) -> list[str]:
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    asked = _words(environ.get("OTEL_TRACES_EXPORTER", "")) or ["otlp"]
    exporters = []
    for name in asked:
        if name == "otlp" and any(environ.get(endpoint) for endpoint in _ENDPOINTS):
            protocol = next((value for each in _PROTOCOLS if (value := environ.get(each, "").strip())), "http/protobuf")
            exporters.append(_OTLP.get(protocol, protocol))
        elif name not in ("otlp", "none"):
            exporters.append(name)
    return exporters


def _words(text: str) -> list[str]:
    return [word for word in text.replace(",", " ").split() if word]
