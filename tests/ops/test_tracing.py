"""Spans of a core, kept in memory."""

import asyncio
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app.core.policies import Policy, Slow
from app.ops.counts import Counts
from app.ops.sampling import Manner, Sampling
from app.ops.tracing_export import Telemetry
from tests.support.core import Core, passes

STRANGER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Watched:
    """A core whose spans are kept here."""

    def __init__(self, ratio: float, *policies: Policy) -> None:
        self._exporter = InMemorySpanExporter()
        sampling = Sampling(ratio, heeds_parent=True)
        self._telemetry = Telemetry([self._exporter], {})
        manner = Manner(sampling, continue_clients=False, heeds_callers=True, names=False, system="memory")
        self.tracing = self._telemetry.observer(Counts(), manner, asyncio.get_running_loop().time)
        self.core = Core(*policies, observer=self.tracing)

    def spans(self) -> Sequence[ReadableSpan]:
        """Everything that ended so far, in that order."""
        self._telemetry.flush()
        return self._exporter.get_finished_spans()

    def span(self, name: str, **attributes: object) -> ReadableSpan:
        (found,) = [
            span
            for span in self.spans()
            if span.name == name
            and all((span.attributes or {}).get(key.replace("_", ".")) == value for key, value in attributes.items())
        ]
        return found


async def test_members_that_are_slow_are_counted_as_dropped() -> None:
    """They were meant to get the message, and did not."""
    watched = Watched(1.0, Policy("chat", slow=Slow.DROP_OLDEST))
    alice, _ = watched.core.join("chat")
    _, stuck = watched.core.join("chat")
    await passes()
    stuck.waiting = 2**30
    watched.core.say(alice, type="broadcast", room="chat", payload=1)
    await passes()
    delivered = watched.span("process chat", forestay_fanout_recipients=2)
    assert (delivered.attributes or {})["forestay.fanout.dropped"] == 1


async def test_what_is_not_kept_never_reaches_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No span is started and no id is made, whatever a client's context says; but a room may show its receivers one."""
    watched = Watched(0.0, Policy("traced", trace=True))
    reached: list[str] = []
    monkeypatch.setattr(watched.tracing, "_spans", reached)
    alice, _ = watched.core.join("chat")
    bob, heard = watched.core.join("traced")
    for connection, room in ((alice, "chat"), (bob, "traced")):
        watched.core.say(connection, type="broadcast", room=room, payload=1, traceparent=STRANGER)
        watched.core.say(connection, type="broadcast", room="no room", payload=1)
    await passes()
    (said,) = [sentence for sentence in heard.heard() if sentence["type"] == "broadcast"]
    assert said["traceparent"][-3:] == "-00"
    assert said["traceparent"][3:35] != STRANGER[3:35]
    assert watched.spans() == ()


async def test_a_publish_that_is_not_accepted_says_so_on_its_spans() -> None:
    """Both the way in and the way to the bus have failed, and nothing stays open."""
    watched = Watched(1.0)
    alice, _ = watched.core.join("chat")
    await passes()
    await watched.core.bus.close()
    watched.core.say(alice, type="broadcast", room="chat", payload=1, id="1")
    await passes()
    for name in ("process **", "publish **"):
        span = watched.span(name)
        assert (span.attributes or {})["error.type"] == "refused"
        assert not span.status.is_ok


async def test_spans_of_ten_thousand_rooms_have_few_names() -> None:
    """A room is a stranger's word; the pattern is ours."""
    watched = Watched(1.0, Policy("chat.*"))
    alice, _ = watched.core.connect("alice")
    for number in range(1_000):
        watched.core.say(alice, type="broadcast", room=f"chat.{number}", payload=1)
        watched.core.say(alice, type="broadcast", room=f"other.{number}", payload=1)
    assert {span.name for span in watched.spans()} <= {"process chat.*", "publish chat.*", "process **", "publish **"}


async def test_a_bus_that_comes_and_goes_is_one_span_each_time() -> None:
    """From the loss to the return; what was never lost is only connected."""
    watched = Watched(1.0)
    for event in ("connected", "lost", "deaf", "connected", "garbage"):
        watched.tracing.bus(event)
    events = [[event.name.removeprefix("forestay.bus.") for event in span.events] for span in watched.spans()]
    assert events == [["connected"], ["lost", "deaf", "connected"]]
