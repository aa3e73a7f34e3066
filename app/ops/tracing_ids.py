"""Ids of traces and spans: the SDK's, but for the trace id of what was decided to be kept before the SDK was asked."""

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator


class Ids(RandomIdGenerator):
    next_trace: int | None = None
    """The id of the next new trace, where it is decided."""

    def generate_trace_id(self) -> int:
        decided, self.next_trace = self.next_trace, None
        return super().generate_trace_id() if decided is None else decided
