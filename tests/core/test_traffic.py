"""Each message is added once to the numbers of its pod, whoever observes the pod."""

import math
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate, cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestay.core.facts.histogram import Histogram
from forestay.core.facts.sampler import Sampler
from forestay.core.facts.source import Source
from forestay.core.facts.traffic import Arrival, Traffic
from forestay.core.ports.observer import Observer, RefusedMessage
from forestay.core.ports.tracer import Leg
from forestay.core.rules.policies import Policy
from forestay.protocol.codes import ErrorCode
from forestay.protocol.message import Message
from forestay.protocol.trace import TraceContext
from tests.support.core import Core, passes

BOUNDS = (0.5, 1.0, 2.5, 10.0)
VALUES = st.floats(allow_nan=False, allow_infinity=False, width=32) | st.sampled_from(BOUNDS)
KEPT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@given(st.lists(VALUES))
def test_each_value_is_in_the_first_bucket_that_has_room_for_it(values: list[float]) -> None:
    """A bucket counts the values up to its bound and the bound itself; the sum and the number are those of all."""
    histogram = Histogram(BOUNDS)
    for value in values:
        histogram.observe(value)
    expected = [sum(value <= bound for value in values) for bound in (*BOUNDS, math.inf)]
    assert [bucket.total for bucket in histogram.buckets()] == expected
    assert [bucket.bound for bucket in histogram.buckets()] == ["0.5", "1.0", "2.5", "10.0", "+Inf"]
    assert histogram.count == len(values)
    assert histogram.sum == (list(accumulate(values)) or [0.0])[-1]


@given(st.lists(VALUES, min_size=1))
def test_an_exemplar_is_the_last_value_of_its_bucket(values: list[float]) -> None:
    """Each bucket with values shows the last of them; a trace that is not kept is never shown."""
    histogram = Histogram(BOUNDS)
    last: dict[int, float] = {}
    for at, value in enumerate(values):
        histogram.illustrate(value, TraceContext(KEPT), float(at))
        histogram.illustrate(value, TraceContext(KEPT[:-2] + "00"), -1.0)
        last[bisect_left(BOUNDS, value)] = value
    shown = {at: one.exemplar.value for at, one in enumerate(histogram.buckets()) if one.exemplar is not None}
    assert shown == last
    assert all(one.exemplar is None or one.exemplar.unix >= 0 for one in histogram.buckets())


async def test_each_message_is_counted_once() -> None:
    """Texts, binary messages and unreadable ones, with and without recipients, in one pass and in several."""
    core = Core()
    alice, _ = core.join("room", "alice")
    core.join("room", "bob")
    carol, _ = core.connect("carol", {"other": "rw"})
    await passes()
    start = core.traffic.writes, core.traffic.passes.count, core.traffic.written_bytes
    for number in range(3):
        core.say(alice, type="broadcast", room="room", payload=number)
    core.say(alice, type="broadcast", room="room", payload=1, echo=False)
    core.say(alice, type="broadcast", room="empty", payload=1)
    core.say(carol, type="broadcast", room="room", payload=1)
    core.say(alice, type="no such type")
    await passes()
    core.send_binary(alice, b"\0\0\0\1binary")
    await passes()
    traffic = core.traffic
    assert traffic.received == {"join": 2, "broadcast": 6, "unreadable": 1, "binary": 1}
    # Carol may not publish there.
    assert (traffic.accepted.count, traffic.refused.count, traffic.unknown.count) == (6, 0, 0)
    assert traffic.deliveries == 3 * 2 + 1 + 2
    assert (traffic.batches.count, traffic.batches.sum) == (2, 5.0)
    assert (traffic.waits.count, traffic.latency.count) == (5, 5)
    # Bob and Alice twice; Carol's refusal and Alice's.
    written = traffic.writes - start[0], traffic.passes.count - start[1]
    assert written == (5, 2)
    assert traffic.written_bytes > start[2]


async def test_the_numbers_are_right_where_an_observer_has_a_bug() -> None:
    """What an observer raises takes no message out of the numbers, and adds none twice."""

    class Broken(Observer):
        def refused(self, code: ErrorCode, source: Source, message: RefusedMessage | None, *_: object) -> None:
            raise RuntimeError("a bug")

    core = Core(observer=Broken())
    alice, heard = core.join("room", "alice")
    await passes()
    for number in range(4):
        core.say(alice, type="broadcast", room="room", payload=number)
        with pytest.raises(RuntimeError, match="a bug"):
            core.say(alice, type="no such type")
    await passes()
    traffic = core.traffic
    assert traffic.received == {"join": 1, "broadcast": 4, "unreadable": 4}
    assert (traffic.accepted.count, traffic.deliveries, traffic.batches.sum, traffic.waits.count) == (4, 4, 4.0, 4)
    assert [each["payload"] for each in heard.heard() if each["type"] == "broadcast"] == [0, 1, 2, 3]


async def test_a_wait_is_counted_from_the_arrival_of_each_message() -> None:
    """Messages of one write that came at different times have waited for different times."""
    traffic = Traffic()
    message = Message(room="room", payload=b"1", timestamp="2026-11-30T08:00:00.250Z")  # type: ignore[arg-type]
    arrivals = [(message, 1, 10.0), (message, 1, 10.0625), (message, 1, 10.125)]
    assert not traffic.write(arrivals, 10.125, 1796025600.5)
    assert traffic.waits.sum == 0.125 + 0.0625
    assert traffic.latency.sum == 0.75
    assert [bucket.total for bucket in traffic.waits.buckets()][-2:] == [2, 3]
    kept = Message(room="room", payload=b"1", timestamp="", trace=TraceContext(KEPT))  # type: ignore[arg-type]
    assert traffic.write([(message, 1, 10.0), (kept, 1, 10.0), (message, 1, 10.0)], 10.125, 1796025600.5)


class NotedTracer:
    """Keeps the messages of which it is told."""

    def __init__(self, draws: Iterator[float]) -> None:
        self.sampler = Sampler(0.25, lambda: next(draws))
        self.begun: list[tuple[bytes, bool]] = []

    def begin(self, message: Message, source: Source, policy: Policy, *, kept: bool) -> Leg | None:
        self.begun.append((message.payload, kept))
        return None

    def reached(self, arrival: Arrival, pattern: str, dropped: int) -> None:
        raise AssertionError("no message has a trace")


async def test_a_message_that_is_not_kept_reaches_no_tracer() -> None:
    """One draw for each message decides; one with a context, or in a room that shows it, reaches the tracer anyway."""
    tracer = NotedTracer(cycle([0.9, 0.25, 0.2]))
    core = Core(Policy("shown", trace=True), tracer=tracer)
    alice, _ = core.join("room")
    for number in range(1, 7):
        core.say(alice, type="broadcast", room="room", payload=number)
    assert tracer.begun == [(b"3", True), (b"6", True)]
    core.say(alice, type="broadcast", room="shown", payload=7)
    core.say(alice, type="broadcast", room="room", payload=8, traceparent=KEPT)
    core.say(alice, type="broadcast", room="room", payload=9, traceparent=KEPT)
    await passes()
    assert tracer.begun[2:] == [(b"7", False), (b"8", False), (b"9", True)]
