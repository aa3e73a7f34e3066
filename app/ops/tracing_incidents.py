"""What befalls the pod and belongs to no message, as events of short spans: drains, a lost bus, gaps, resyncs."""

from collections.abc import Callable

from opentelemetry.trace import Span

from app.ops import conventions as words

Begin = Callable[[str], Span | None]


class Incidents:
    def __init__(self, begin: Begin) -> None:
        """`begin` starts a span of its own; None where its trace is not kept."""
        self._begin = begin
        self._drain: Span | None = None
        self._outage: Span | None = None
        self._away = False

    def bus(self, event: str) -> None:
        """The bus was `lost` or `deaf`, or is `connected`: one span from the loss to the return."""
        if event in ("lost", "deaf"):
            if not self._away:
                self._away, self._outage = True, self._begin(words.BUS)
            if self._outage is not None:
                self._outage.add_event(words.BUS_EVENT + event)
        elif event == "connected":
            span = self._outage if self._away else self._begin(words.BUS)
            self._away, self._outage = False, None
            if span is not None:
                span.add_event(words.BUS_EVENT + event)
                span.end()

    def gap_filled(self, messages: int) -> None:
        """So many messages that this pod had missed were read from a room's history."""
        span = self._begin(words.CONTINUITY)
        if span is not None:
            span.add_event(words.GAP_FILLED, {words.MESSAGES: messages})
            span.end()

    def resynced(self, reason: str, recipients: int) -> None:
        """So many members of a room were told that messages are lost to them."""
        span = self._begin(words.CONTINUITY)
        if span is not None:
            span.add_event(words.RESYNC, {words.REASON: reason, words.RECIPIENTS: recipients})
            span.end()

    def draining(self, connections: int, window: float) -> None:
        self._drain = self._begin(words.DRAIN)
        if self._drain is not None:
            self._drain.add_event(words.DRAIN_STARTED, {words.CONNECTIONS: connections, words.WINDOW: window})

    def drained(self, left: int) -> None:
        """The drain is over; `left` connections had to be cut."""
        if self._drain is not None:
            self._drain.add_event(words.DRAIN_ENDED, {words.CONNECTIONS: left})
            self._drain.end()
            self._drain = None

    def close(self) -> None:
        """End what is still open: the pod goes."""
        if self._outage is not None:
            self._outage.end()
