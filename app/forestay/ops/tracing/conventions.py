"""What spans and their attributes are called: OpenTelemetry's words where it has them, and ours.

The messaging conventions are still in development and there are none for WebSocket, so the words stand here and nowhere
else. `websocket`, `http`, `redis` and `memory` are values of our own for `messaging.system`.
"""

from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
"""The version of the conventions that these words are from."""

SCOPE: Final = "forestay"
"""The instrumentation scope of every span."""

# Spans. `{pattern}` is the room pattern that matched, never a room: there are few of them.
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
# Only where names are asked for: these are our users' and not ours to spread.
DESTINATION: Final = "messaging.destination.name"
USER: Final = "user.id"

OF_MANY_VALUES: Final = frozenset((CLIENT_ID, DESTINATION, USER))
"""Attributes that are as many as there are strangers; all others have few values."""

RECIPIENTS: Final = "forestay.fanout.recipients"
"""Members of the room on the pod of the span."""
DROPPED: Final = "forestay.fanout.dropped"
"""Those of them that did not get the message, because they take too little."""
CONNECTIONS: Final = "forestay.connections"
WINDOW: Final = "forestay.drain.window"
"""Seconds."""
MESSAGES: Final = "forestay.messages"
REASON: Final = "forestay.reason"

# Events of the spans `drain`, `bus` and `recovery`.
DRAIN_STARTED: Final = "forestay.drain.started"
DRAIN_ENDED: Final = "forestay.drain.ended"
BUS_EVENT: Final = "forestay.bus."
"""And what happened: `lost`, `deaf`, `connected`."""
GAP_FILLED: Final = "forestay.gap.filled"
RESYNC: Final = "forestay.resync"

SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
SERVICE_INSTANCE: Final = "service.instance.id"
SERVICE: Final = "forestay"
"""What the service is called where OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES do not say."""
