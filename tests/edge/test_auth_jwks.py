"""A document at an address, fetched, kept and renewed."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from forestay.edge.tokens.jwks import MAX_BYTES, PACE, JwksCache, Pace
from forestay.protocol.codes import ErrorCode, Refusal
from tests.support.jwks import Endpoint, endpoint
from tests.support.tasks import PlainTasks


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class Hanging:
    """An answer that does not come until it is let go."""

    def __init__(self, told: Endpoint) -> None:
        self._then = told.answer
        self.reached = asyncio.Event()
        self.let_go = asyncio.Event()
        self.given_up = 0
        told.answer = self

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.reached.set()
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        return await self._then(request)


def read(body: bytes) -> str:
    if body.startswith(b"bad"):
        raise ValueError("garbage")
    return body.decode()


@pytest.fixture
async def issuer() -> AsyncIterator[Endpoint]:
    async with endpoint() as told:
        told.say("one")
        yield told


@pytest.fixture
def clock() -> Clock:
    return Clock()


Make = Callable[..., JwksCache[str]]


@pytest.fixture
async def make(issuer: Endpoint, clock: Clock) -> AsyncIterator[Make]:
    """Makes caches on the test's clock, and closes them in the end. Timers, and they alone, run in real time."""
    made = []

    def make(url: str = issuer.url, pace: Pace = PACE) -> JwksCache[str]:
        made.append(JwksCache(url, read, PlainTasks(), pace, clock))
        return made[-1]

    yield make
    for each in made:
        await each.close()


async def unavailable(asking: Awaitable[str]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await asking
    assert caught.value.code is ErrorCode.UNAVAILABLE
    assert caught.value.retry_after is not None
    assert caught.value.retry_after >= 1
    return caught.value


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens in the background; the test's own timeout is the limit."""
    while not condition():
        await asyncio.sleep(0.005)


async def test_it_asks_once_for_json_and_remembers(issuer: Endpoint, make: Make) -> None:
    """The first who asks waits for an answer, the others have it."""
    cache = make()
    assert issuer.asked == []
    assert [await cache.get() for _ in range(5)] == ["one"] * 5
    [headers] = issuer.asked
    assert headers["Accept"] == "application/json"
    assert "Cookie" not in headers


async def test_many_who_ask_at_once_make_one_request(issuer: Endpoint, make: Make) -> None:
    """A crowd that arrives before the first answer waits for the same one."""
    cache, hanging = make(), Hanging(issuer)
    crowd = [asyncio.ensure_future(cache.get()) for _ in range(100)]
    await hanging.reached.wait()
    crowd += [asyncio.ensure_future(cache.renewed()) for _ in range(100)]
    await asyncio.sleep(0)
    hanging.let_go.set()
    assert set(await asyncio.gather(*crowd)) == {"one"}
    assert len(issuer.asked) == 1


async def test_who_gives_up_leaves_the_request_to_the_others(issuer: Endpoint, make: Make) -> None:
    """A cancelled handshake, even that which caused the request, neither cancels it nor fails the other ones."""
    cache, hanging = make(), Hanging(issuer)
    first, second = asyncio.ensure_future(cache.get()), asyncio.ensure_future(cache.get())
    await hanging.reached.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    hanging.let_go.set()
    assert await second == "one"
    assert (len(issuer.asked), hanging.given_up) == (1, 0)


async def test_a_request_that_all_gave_up_is_still_good(issuer: Endpoint, make: Make) -> None:
    """Its answer is there for whoever comes next."""
    cache, hanging = make(), Hanging(issuer)
    only = asyncio.ensure_future(cache.get())
    await hanging.reached.wait()
    only.cancel()
    hanging.let_go.set()
    assert await cache.get() == "one"
    assert len(issuer.asked) == 1


async def test_an_endpoint_that_hangs_is_given_up(issuer: Endpoint, make: Make) -> None:
    """Waiting for the first answer has an end, and the connection is not left behind."""
    cache, hanging = make(pace=Pace(timeout=0.05)), Hanging(issuer)
    await unavailable(cache.get())
    await until(lambda: hanging.given_up == 1)


async def test_an_endpoint_that_trickles_is_given_up(issuer: Endpoint, make: Make) -> None:
    """The time is for the whole answer: one byte now and then does not prolong it."""

    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    issuer.answer = trickle
    await unavailable(make(pace=Pace(timeout=0.1)).get())


async def test_where_nobody_listens_the_answer_comes_at_once(make: Make) -> None:
    """A refused connection is an unavailable issuer, not an error of ours."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    await unavailable(make(f"http://127.0.0.1:{port}/keys").get())


FAULTS: dict[str, dict[str, Any]] = {
    "500": {"body": "one", "status": 500},
    "404": {"body": "one", "status": 404},
    "204": {"body": "", "status": 204},
    "203": {"body": "one", "status": 203},
    "301": {"body": "one", "status": 301, "headers": {"Location": "/elsewhere"}},
    "307": {"body": "one", "status": 307, "headers": {"Location": "/elsewhere"}},
    "garbage": {"body": "bad"},
    "too big": {"body": b"x" * (MAX_BYTES + 1)},
    "too big when unpacked": {"body": gzip.compress(b"x" * 50_000_000), "headers": {"Content-Encoding": "gzip"}},
    "falsely packed": {"body": "one", "headers": {"Content-Encoding": "gzip"}},
    "no UTF-8": {"body": b"\xff"},
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_bad_answer_is_no_answer(issuer: Endpoint, make: Make, fault: dict[str, Any]) -> None:
    """Without an answer before it nothing can be checked; nothing else is asked, where an answer points or not."""
    issuer.say(**fault)
    await unavailable(make().get())
    assert len(issuer.asked) == 1


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_bad_answer_does_not_undo_a_good_one(
    issuer: Endpoint, make: Make, clock: Clock, fault: dict[str, Any]
) -> None:
    """What is known goes on working; only who misses something in it is told to come back."""
    cache = make()
    await cache.get()
    clock.now += PACE.cooldown
    issuer.say(**fault)
    await unavailable(cache.renewed())
    assert await cache.get() == "one"
    assert len(issuer.asked) == 2


async def test_the_biggest_answer_is_read(issuer: Endpoint, make: Make) -> None:
    """The limit itself is allowed, packed or not."""
    body = b"x" * MAX_BYTES
    issuer.say(gzip.compress(body), headers={"Content-Encoding": "gzip"})
    assert len(await make().get()) == MAX_BYTES


async def test_what_is_missed_is_asked_for_once_per_cooldown(issuer: Endpoint, make: Make, clock: Clock) -> None:
    """However many miss something, and however long it goes on, there is one request in each cooldown."""
    cache = make()
    await cache.get()
    for second in range(1, 91):
        clock.now = float(second)
        assert set(await asyncio.gather(*(cache.renewed() for _ in range(20)))) == {"one"}
    assert len(issuer.asked) == 1 + 3


async def test_what_is_missed_is_there_afterwards(issuer: Endpoint, make: Make, clock: Clock) -> None:
    """Who asks again has the new answer, and so has everybody else."""
    cache = make()
    await cache.get()
    issuer.say("two")
    clock.now = PACE.cooldown - 0.001
    assert await cache.renewed() == "one"
    clock.now = PACE.cooldown
    assert await cache.renewed() == "two"
    assert await cache.get() == "two"


async def test_nobody_waits_while_it_is_renewed(issuer: Endpoint, make: Make, clock: Clock) -> None:
    """The known answer serves everybody while somebody who misses something waits for the next."""
    cache = make()
    await cache.get()
    clock.now = PACE.cooldown
    issuer.say("two")
    hanging = Hanging(issuer)
    missing = asyncio.ensure_future(cache.renewed())
    await hanging.reached.wait()
    assert await cache.get() == "one"
    hanging.let_go.set()
    assert await missing == "two"


async def test_it_is_renewed_before_its_time_is_up(issuer: Endpoint, make: Make) -> None:
    """In the background, again and again, without anybody asking."""
    cache = make(pace=Pace(lifetime=0.02))
    await cache.get()
    issuer.say("two")
    await until(lambda: len(issuer.asked) >= 4)
    assert await cache.get() == "two"


async def test_an_endpoint_that_was_down_is_found_again(issuer: Endpoint, make: Make) -> None:
    """After a failure it is tried again in the background, and works as if nothing had been."""
    issuer.say("down", status=503)
    cache = make(pace=Pace(retry=0.01, cooldown=0.02))
    await unavailable(cache.get())
    await until(lambda: len(issuer.asked) >= 3)
    issuer.say("two")
    asked = len(issuer.asked)
    await until(lambda: len(issuer.asked) > asked)
    assert await cache.renewed() == "two"


async def test_a_crowd_at_a_dead_endpoint_is_no_crowd(issuer: Endpoint, make: Make) -> None:
    """Between two tries everybody is refused without a request, and told when to come back."""
    issuer.say("down", status=503)
    cache = make(pace=replace(PACE, retry=20.0))
    for _ in range(50):
        refusal = await unavailable(cache.get())
    assert refusal.retry_after == 20.0
    assert len(issuer.asked) == 1


async def test_retries_slow_down(issuer: Endpoint, make: Make, clock: Clock) -> None:
    """The wait doubles with every failure, up to the cooldown."""
    issuer.say("down", status=503)
    cache = make(pace=Pace(retry=4.0))
    waits = []
    for _ in range(6):
        waits.append((await unavailable(cache.renewed())).retry_after)
        clock.now += PACE.cooldown
    assert waits == [4, 8, 16, 30, 30, 30]


async def test_an_answer_stands_in_for_a_day_and_not_longer(issuer: Endpoint, make: Make, clock: Clock) -> None:
    """An issuer that stays away is trusted for a while; afterwards nobody is let in by keys that may be withdrawn."""
    cache = make()
    await cache.get()
    issuer.say("down", status=503)
    clock.now = PACE.stale
    await unavailable(cache.renewed())
    assert await cache.get() == "one"
    clock.now += 1
    await unavailable(cache.get())
    issuer.say("two")
    clock.now += PACE.cooldown
    assert await cache.renewed() == "two"
    assert await cache.get() == "two"


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [
        (None, 300),
        ("", 300),
        ("no-store", 300),
        ("max-age=600", 600),
        ("public, max-age=600, must-revalidate", 600),
        ("public,MAX-AGE=600", 600),
        ('max-age="600"', 600),
        ("max-age=0", 60),
        ("max-age=59", 60),
        ("max-age=3601", 3600),
        ("max-age=999999999", 3600),
        ("max-age=99999999999999999999999", 3600),
        ("max-age=-1", 300),
        ("max-age=soon", 300),
        ("max-age", 300),
        ("s-maxage=600", 300),
        ("x-max-age=600", 300),
    ],
)
async def test_the_answer_says_how_long_it_is_good(
    issuer: Endpoint, make: Make, cache_control: str | None, seconds: float
) -> None:
    """`max-age` counts within bounds; what cannot be read is not there."""
    issuer.say("one", headers=None if cache_control is None else {"Cache-Control": cache_control})
    cache = make()
    await cache.get()
    assert cache._next_at == pytest.approx(0.8 * seconds)


async def test_the_request_belongs_to_nobody(issuer: Endpoint, make: Make) -> None:
    """The first who asks does not lend it a trace or a log context, which would live as long as the process."""
    mine: ContextVar[str] = ContextVar("mine")
    mine.set("a handshake")
    seen = []

    def look(body: bytes) -> str:
        seen.append(mine.get("nobody"))
        return body.decode()

    cache = JwksCache(issuer.url, look, PlainTasks(), Pace(lifetime=0.01))
    await cache.get()
    await until(lambda: len(seen) >= 2)
    await cache.close()
    assert set(seen) == {"nobody"}


async def test_a_failure_is_logged_without_the_address(issuer: Endpoint, make: Make) -> None:
    """The operator learns which host failed and why, and nothing that may be a secret in the address."""
    issuer.say("down", status=503)
    with capture_logs() as logged:
        await unavailable(make(f"{issuer.url}?key=canary").get())
    [line] = logged
    assert (line["log_level"], line["host"]) == ("warning", "127.0.0.1")
    assert "503" in line["error"]
    assert "canary" not in repr(line)


async def test_closing_ends_the_request_and_answers_who_waits(issuer: Endpoint, make: Make) -> None:
    """Whoever still waits is refused, not cancelled and not left hanging."""
    cache, hanging = make(pace=Pace(cooldown=0.01)), Hanging(issuer)
    waiting = [asyncio.ensure_future(each) for each in (cache.get(), cache.renewed())]
    await hanging.reached.wait()
    await cache.close()
    for each in waiting:
        await unavailable(each)
    await until(lambda: hanging.given_up == 1)
    await unavailable(cache.get())
    await asyncio.sleep(0.05)
    assert len(issuer.asked) == 1


async def test_closing_at_once_is_fine(issuer: Endpoint, make: Make) -> None:
    """Before anybody asked, twice, and just after the request was decided on but not yet begun."""
    await make().close()
    cache = make()
    asking = asyncio.ensure_future(cache.get())
    await asyncio.sleep(0)
    await cache.close()
    await cache.close()
    await unavailable(asking)
    assert issuer.asked == []


async def test_what_is_known_outlives_closing(issuer: Endpoint, make: Make) -> None:
    """Handshakes that are still under way are served, but nothing is asked any more."""
    cache = make(pace=Pace(lifetime=0.01, cooldown=0.0))
    await cache.get()
    await cache.close()
    asked = len(issuer.asked)
    assert await cache.renewed() == "one"
    await asyncio.sleep(0.05)
    assert len(issuer.asked) == asked
