"""The spans of a core, kept in memory."""

import pytest

from forestay.core.rules.policies import Policy, Slow
from tests.support.core import passes
from tests.support.traced import Watched

CLIENT_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_members_that_are_slow_are_counted_as_dropped() -> None:
    """A slow member counts both as a recipient of the message and as dropped."""
    watched = Watched(1.0, Policy("chat", slow=Slow.DROP_OLDEST))
    alice, _ = watched.core.join("chat")
    _, stuck = watched.core.join("chat")
    await passes()
    stuck.waiting = 2**30
    watched.core.say(alice, type="broadcast", room="chat", payload=1)
    await passes()
    delivered = watched.span("process chat", forestay_fanout_recipients=2)
    assert (delivered.attributes or {})["forestay.fanout.dropped"] == 1


async def test_a_trace_that_is_not_kept_never_reaches_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that is not sampled makes no span, but a room with `trace = true` shows its context."""
    watched = Watched(0.0, Policy("traced", trace=True))
    unused_spans: list[str] = []
    monkeypatch.setattr(watched.tracing, "_spans", unused_spans)
    alice, _ = watched.core.join("chat")
    bob, heard = watched.core.join("traced")
    for connection, room in ((alice, "chat"), (bob, "traced")):
        watched.core.say(connection, type="broadcast", room=room, payload=1, traceparent=CLIENT_TRACE)
        watched.core.say(connection, type="broadcast", room="no room", payload=1)
    await passes()
    (message,) = [reply for reply in heard.heard() if reply["type"] == "broadcast"]
    assert message["traceparent"][-3:] == "-00"
    assert message["traceparent"][3:35] != CLIENT_TRACE[3:35]
    assert watched.spans() == []


async def test_a_failed_publish_marks_its_spans() -> None:
    """Both spans of a refused publish have the error type, and its error reply makes no third span."""
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
    assert len(watched.spans()) == 2


async def test_spans_of_ten_thousand_rooms_have_few_names() -> None:
    """Span names contain the room pattern, and never the room's name."""
    watched = Watched(1.0, Policy("chat.*"))
    alice, _ = watched.core.connect("alice")
    for number in range(1_000):
        watched.core.say(alice, type="broadcast", room=f"chat.{number}", payload=1)
        watched.core.say(alice, type="broadcast", room=f"other.{number}", payload=1)
    assert {span.name for span in watched.spans()} <= {"process chat.*", "publish chat.*", "process **", "publish **"}


async def test_each_outage_of_the_bus_is_one_span() -> None:
    """A span runs from the loss of the bus to its return; a first connection is a span of its own."""
    watched = Watched(1.0)
    for event in ("connected", "lost", "deaf", "connected", "garbage"):
        watched.incidents.bus(event)
    events = [[event.name.removeprefix("forestay.bus.") for event in span.events] for span in watched.spans()]
    assert events == [["connected"], ["lost", "deaf", "connected"]]
