"""A client that obeys gets all of its messages through. A client that does not gets the rate, and is ended."""

import random
from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestay.core.rules.policies import Policy
from forestay.core.rules.rate_limit import MAX_EXCESS, Rates, TokenBucket
from tests.support.core import Core, passes

KIB = 1024
_LATE = 0.25
"""Seconds: what is promised and not fetched in time is kept for so long."""


class Polite:
    """A client that sends each message again after the time that it was told, and never before."""

    def __init__(self, rates: Rates, messages: Iterable[tuple[float, int, float]]) -> None:
        """`messages`: the time, the size and the cost of each."""
        self._rates = rates
        self._bucket = TokenBucket(rates, 0.0)
        self._due = [(at, number, size, cost) for number, (at, size, cost) in enumerate(messages)]
        heapify(self._due)
        self.refused = 0
        self.accepted: list[float] = []
        self.ended = False

    def run(self, late: Callable[[], float] = lambda: 0.0) -> float:
        """Send until all is through. Returns the time of the last message. `late`: seconds of delay for each."""
        now = 0.0
        while self._due and not self.ended:
            now, number, size, cost = heappop(self._due)
            wait = self._bucket.wait(self._rates, now, size, cost)
            if wait:
                self.refused += 1
                self.ended = self._bucket.exhausted
                heappush(self._due, (now + wait + late(), number, size, cost))
            else:
                self.accepted.append(now)
        return now


@pytest.mark.parametrize("count", [1, 21, 200, 5_000, 20_000])
@pytest.mark.parametrize(("rate", "burst"), [(20.0, 20.0), (200.0, 400.0), (3.0, 1.0), (0.5, 1.0)])
def test_a_client_that_obeys_gets_everything_through(count: int, rate: float, burst: float) -> None:
    """Any number of messages at once needs its number divided by the rate, and each is refused at most once."""
    client = Polite(Rates(rate, burst), [(0.0, 100, 1.0)] * count)
    assert client.run() == pytest.approx(max(0.0, (count - burst) / rate), abs=1e-3)
    assert not client.ended
    assert client.refused == max(0, count - burst)


@pytest.mark.parametrize(("rate", "burst"), [(20.0, 20.0), (200.0, 400.0), (200.0, 1.0), (1000.0, 1.0)])
def test_timers_and_networks_may_be_late(rate: float, burst: float) -> None:
    """Delays of up to 50 ms cost an obeying client little, also where only one message may come at once."""
    uniform = random.Random(7).uniform
    client = Polite(Rates(rate, burst), [(0.0, 100, 1.0)] * 2000)
    assert client.run(lambda: uniform(0.0, 0.05)) <= (2000 - burst) / rate * 1.1 + 0.5
    assert not client.ended


def test_messages_of_different_kinds_and_times_all_come_through() -> None:
    """Cheap, costly and long messages that come in waves share the rate, and none of them waits for ever."""
    waves = [
        (float(wave), size, cost)
        for wave in range(6)
        for size, cost in [(100, 1.0)] * 300 + [(64 * KIB, 1.0)] * 20 + [(500, 10.0)] * 30
    ]
    client = Polite(Rates(200, 400, 1024 * KIB, 64 * KIB), waves)
    # 1,800 + 120 + 1,800 messages' worth at 200 a second, and 7.5 MiB at one a second, are 18.6 and 7.5 seconds.
    assert client.run() < 20
    assert not client.ended


def test_bytes_are_limited_and_their_promises_add_up() -> None:
    """A hundred messages of the full size take as long as their bytes."""
    client = Polite(Rates(200, 400, 1024 * KIB, 64 * KIB), [(0.0, 64 * KIB, 1.0)] * 100)
    # The first second's worth is there at the start, and the last message may exceed what is left.
    assert client.run() == pytest.approx((100 - 16 - 1) / 16, abs=0.01)
    assert client.refused == 100 - 16 - 1


def test_a_limit_of_zero_is_none() -> None:
    """Messages and bytes are limited each on its own."""
    for rates in (Rates(0, 400, 0), Rates(0, 1, 2**40, 1), Rates(1e12, 1e12, 0, 1)):
        client = Polite(rates, [(0.0, 64 * KIB, 1.0)] * 10_000)
        client.run()
        assert client.refused == 0


def test_a_client_that_gave_up_is_told_a_short_time_again() -> None:
    """Promises that nobody fetches are forgotten, once the bucket was full for more than a second."""
    rates = Rates(20, 20)
    bucket = TokenBucket(rates, 0.0)
    waits = [bucket.wait(rates, 0.0) for _ in range(1020)]
    assert waits[-1] == pytest.approx(50)
    waits = [bucket.wait(rates, 3.0) for _ in range(21)]
    assert waits[-1] == pytest.approx(0.05)


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=200))
def test_no_window_holds_more_than_burst_and_rate(gaps: list[float]) -> None:
    """The limit holds for any spacing of the messages."""
    rates, now = Rates(10.0, 5.0), 0.0
    bucket = TokenBucket(rates, now)
    allowed: list[float] = []
    for gap in gaps:
        now += gap
        if bucket.wait(rates, now) == 0:
            allowed.append(now)
    for at, start in enumerate(allowed):
        for count, end in enumerate(allowed[at:], start=1):
            assert count <= 5.0 + 10.0 * (end - start + _LATE) + 1e-3


def flood(rate_sent: float, seconds: float, at_once: int = 1) -> tuple[int, float | None]:
    """Send where 200 a second are allowed, and ignore all refusals. How many passed, and when that was ended."""
    rates = Rates(200, 400)
    bucket, passed = TokenBucket(rates, 0.0), 0
    for number in range(int(rate_sent * seconds)):
        now = number // at_once * at_once / rate_sent
        passed += bucket.wait(rates, now, 100) == 0
        if bucket.exhausted:
            return passed, now
    return passed, None


@pytest.mark.parametrize("at_once", [1, 20, 100])
@pytest.mark.parametrize("rate_sent", [500, 2_000, 10_000])
def test_a_flood_gets_the_rate_and_is_ended(rate_sent: float, at_once: int) -> None:
    """A client that ignores the refusals gets no more than burst and rate, and is ended after a few seconds."""
    passed, ended = flood(rate_sent, 60, at_once)
    assert ended is not None
    assert ended < 2.5 * MAX_EXCESS
    assert passed <= 400 + 200 * ended + 1


def test_a_greater_flood_is_ended_sooner() -> None:
    """What refusals cost is bounded: fifty thousand of them in a second end the connection within two."""
    _, ended = flood(50_000, 10)
    assert ended is not None
    assert ended < 2.0


def test_long_refused_messages_count_more() -> None:
    """Refused messages of the full size end a connection after some hundreds, because they cost more to read."""
    rates = Rates(200, 400, 1024 * KIB, 64 * KIB)
    bucket = TokenBucket(rates, 0.0)
    sent = 0
    while not bucket.exhausted:
        bucket.wait(rates, sent / 1000, 64 * KIB)
        sent += 1
    assert sent < 1500


def test_a_moderate_excess_is_refused_in_part_and_never_ended() -> None:
    """A client that is a quarter too fast gets the whole rate, and is not ended."""
    passed, ended = flood(250, 60)
    assert ended is None
    assert passed > 200 * 60


def test_excess_is_forgiven() -> None:
    """A client that floods for a few seconds now and then, and obeys in between, is not ended."""
    rates, now = Rates(200, 400), 0.0
    bucket = TokenBucket(rates, now)
    for _ in range(10):
        for _ in range(3000):
            now += 1 / 1000
            bucket.wait(rates, now)
        now += 8.0
    assert not bucket.exhausted


COSTS = [
    ({"type": "ping"}, 1),
    ({"type": "broadcast", "room": "a", "payload": 1}, 1),
    ({"type": "join", "room": "a"}, 1),
    ({"type": "join", "rooms": [{"room": "a"}, {"room": "no room"}, 5]}, 3),
    ({"type": "bind", "room": "a", "payload": {"type": 1}}, 1),
    ({"type": "leave", "room": "told"}, 11),
    ({"type": "auth", "payload": {"token": "x"}}, 20),
    ({"type": "history", "room": "a"}, 3),
    ({"type": "history", "room": "a", "limit": 1000}, 21),
    ({"type": "presence", "room": "a", "limit": 10}, 1),
    ({"type": "jion"}, 1),
    ({"type": "jion", "x": "x" * 65_000}, 32),
]


@pytest.mark.parametrize(("request_", "cost"), COSTS, ids=lambda one: str(one)[:40])
async def test_what_costs_more_counts_as_more(request_: dict[str, object], cost: int) -> None:
    """Each request takes as many messages of the rate as the protocol's page says."""
    core = Core(
        Policy("told", presence=True, join_leave=True), message_rate=1e-6, message_burst=100, message_bytes_rate=0
    )
    connection, transport = core.connect()
    core.say(connection, type="join", room="told")
    await passes()
    if request_["type"] == "auth":
        await core.ask(connection, **request_)
    else:
        core.say(connection, **request_)
    core.say(connection, type="ping", id="last")
    while "rate_limited" not in str(transport.heard()[-1]):
        core.say(connection, type="ping")
        await passes()
    pongs = sum(one["type"] == "pong" and one.get("id") is None for one in transport.heard())
    assert 1 + cost + 1 + pongs - (request_["type"] == "ping") == 100
