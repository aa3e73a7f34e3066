"""Names the spans, their attributes and events: OpenTelemetry's names where they exist, else ours.

The messaging conventions are still in development, and none exist for WebSocket, so all names are in this module.
`websocket`, `http`, `redis` and `memory` are our own values for `messaging.system`.
"""

from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
"""The version of the conventions that these names come from."""

SCOPE: Final = "forestay"
"""The instrumentation scope of every span."""

# Span names. `{pattern}` is the room pattern that matched, never a room's name, so there are few names.
HANDSHAKE: Final = "GET /ws"
PROCESS: Final = "process"
PUBLISH: Final = "publish"
DRAIN: Final = "drain"
BUS: Final = "bus"
RECOVERY: Final = "recovery"

ERROR_TYPE: Final = "error.type"

HTTP_METHOD: Final = "http.request.method"
HTTP_ROUTE: Final = "http.route"
HTTP_STATUS: Final = "http.response.status_code"
URL_PATH: Final = "url.path"
URL_SCHEME: Final = "url.scheme"
PROTOCOL_NAME: Final = "network.protocol.name"
PROTOCOL_VERSION: Final = "network.protocol.version"

SYSTEM: Final = "messaging.system"
OPERATION: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
TEMPLATE: Final = "messaging.destination.template"
CLIENT_ID: Final = "messaging.client.id"
# Only with FORESTAY_TRACE_NAMES: names of rooms and users are private data.
DESTINATION: Final = "messaging.destination.name"
USER: Final = "user.id"

RECIPIENTS: Final = "forestay.fanout.recipients"
"""Members of the room on the pod that made the span."""
DROPPED: Final = "forestay.fanout.dropped"
"""Members that did not get the message, because they are too slow."""
CONNECTIONS: Final = "forestay.connections"
WINDOW: Final = "forestay.drain.window"
"""Seconds."""
MESSAGES: Final = "forestay.messages"
REASON: Final = "forestay.reason"

# Events of the spans `drain`, `bus` and `recovery`.
DRAIN_STARTED: Final = "forestay.drain.started"
DRAIN_ENDED: Final = "forestay.drain.ended"
BUS_EVENT: Final = "forestay.bus."
"""A prefix, completed by `lost`, `deaf` or `connected`."""
GAP_FILLED: Final = "forestay.gap.filled"
RESYNC: Final = "forestay.resync"

SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
SERVICE_INSTANCE: Final = "service.instance.id"
SERVICE: Final = "forestay"
"""The service name where OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES give none."""
