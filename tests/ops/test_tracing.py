"""Spans of a core, kept in memory."""

import pytest

from forestay.core.rules.policies import Policy, Slow
from tests.support.core import passes
from tests.support.traced import Watched

STRANGER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


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
    """Both the way in and the way to the bus have failed; that the sender is told so is no failure of its own."""
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
        watched.incidents.bus(event)
    events = [[event.name.removeprefix("forestay.bus.") for event in span.events] for span in watched.spans()]
    assert events == [["connected"], ["lost", "deaf", "connected"]]
