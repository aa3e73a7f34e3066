"""Published keys are fetched, kept and renewed."""

import asyncio
import gzip
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from forestay.edge.tokens.jwks import TIMES, JwksCache, KeySetAddress, RenewalTimes
from forestay.edge.tokens.key_set_client import MAX_BYTES
from forestay.protocol.codes import ErrorCode, Refusal
from tests.support.jwks import Endpoint, endpoint
from tests.support.tasks import PlainTasks


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


class Hanging:
    """A response that does not come until it is released."""

    def __init__(self, issuer: Endpoint) -> None:
        self._then = issuer.answer
        self.reached = asyncio.Event()
        self.released = asyncio.Event()
        self.given_up = 0
        issuer.answer = self

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.reached.set()
        try:
            await self.released.wait()
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
    async with endpoint() as issuer:
        issuer.say("one")
        yield issuer


@pytest.fixture
def clock() -> Clock:
    return Clock()


Make = Callable[..., JwksCache[str]]
Work = Callable[[], Coroutine[object, object, None]]


@pytest.fixture
async def make(issuer: Endpoint, clock: Clock) -> AsyncIterator[Make]:
    """Makes caches with the test's clock, and closes them at the end. Only timers run in real time."""
    made = []

    def make(url: str = issuer.url, times: RenewalTimes = TIMES) -> JwksCache[str]:
        made.append(JwksCache(KeySetAddress(url, times=times), read, PlainTasks(), clock))
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
    """Wait until something has happened in the background, at most the timeout of the test."""
    while not condition():
        await asyncio.sleep(0.005)


async def test_the_keys_are_fetched_once_and_kept(issuer: Endpoint, make: Make) -> None:
    """The first caller waits for the request. Later callers get the kept keys."""
    cache = make()
    assert issuer.asked == []
    assert [await cache.get() for _ in range(5)] == ["one"] * 5
    [headers] = issuer.asked
    assert headers["Accept"] == "application/json"
    assert "Cookie" not in headers


async def test_callers_at_the_same_time_share_one_request(issuer: Endpoint, make: Make) -> None:
    """Callers before the first response wait for the same request."""
    cache, hanging = make(), Hanging(issuer)
    crowd = [asyncio.ensure_future(cache.get()) for _ in range(100)]
    await hanging.reached.wait()
    crowd += [asyncio.ensure_future(cache.renewed(None)) for _ in range(100)]
    await asyncio.sleep(0)
    hanging.released.set()
    assert set(await asyncio.gather(*crowd)) == {"one"}
    assert len(issuer.asked) == 1


async def test_a_cancelled_caller_does_not_cancel_the_request(issuer: Endpoint, make: Make) -> None:
    """The other callers get its result, also where the first caller is cancelled."""
    cache, hanging = make(), Hanging(issuer)
    first, second = asyncio.ensure_future(cache.get()), asyncio.ensure_future(cache.get())
    await hanging.reached.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    hanging.released.set()
    assert await second == "one"
    assert (len(issuer.asked), hanging.given_up) == (1, 0)


async def test_a_request_without_callers_is_completed(issuer: Endpoint, make: Make) -> None:
    """Its result serves the next caller."""
    cache, hanging = make(), Hanging(issuer)
    only = asyncio.ensure_future(cache.get())
    await hanging.reached.wait()
    only.cancel()
    hanging.released.set()
    assert await cache.get() == "one"
    assert len(issuer.asked) == 1


async def test_a_request_to_a_hanging_endpoint_times_out(issuer: Endpoint, make: Make) -> None:
    """The caller is refused, and the connection is closed."""
    cache, hanging = make(times=RenewalTimes(timeout=0.05)), Hanging(issuer)
    await unavailable(cache.get())
    await until(lambda: hanging.given_up == 1)


async def test_a_request_to_a_slow_endpoint_times_out(issuer: Endpoint, make: Make) -> None:
    """The timeout is for the whole response: single bytes do not extend it."""

    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    issuer.answer = trickle
    await unavailable(make(times=RenewalTimes(timeout=0.1)).get())


async def test_a_refused_connection_is_an_unavailable_issuer(make: Make) -> None:
    """It is not an internal error."""
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
async def test_a_bad_response_counts_as_a_failed_request(issuer: Endpoint, make: Make, fault: dict[str, Any]) -> None:
    """Without earlier keys the caller is refused. Redirects are not followed."""
    issuer.say(**fault)
    await unavailable(make().get())
    assert len(issuer.asked) == 1


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_bad_response_does_not_replace_good_keys(
    issuer: Endpoint, make: Make, clock: Clock, fault: dict[str, Any]
) -> None:
    """Known keys stay in use. A caller that misses a key is told to retry."""
    cache = make()
    await cache.get()
    clock.now += TIMES.longest_retry
    issuer.say(**fault)
    await unavailable(cache.renewed(None))
    assert await cache.get() == "one"
    assert len(issuer.asked) == 2


async def test_the_largest_response_is_read(issuer: Endpoint, make: Make) -> None:
    """A response of exactly the limit is read, compressed or not."""
    body = b"x" * MAX_BYTES
    issuer.say(gzip.compress(body), headers={"Content-Encoding": "gzip"})
    assert len(await make().get()) == MAX_BYTES


async def test_callers_that_miss_a_key_share_a_request(issuer: Endpoint, make: Make) -> None:
    """Any number of callers with unknown keys at the same time cause one request."""
    cache = make()
    await cache.get()
    assert set(await asyncio.gather(*(cache.renewed(f"k{n}") for n in range(200)))) == {"one"}
    assert len(issuer.asked) == 2


async def test_missing_keys_cause_few_requests(issuer: Endpoint, make: Make) -> None:
    """One caller after the other with another unknown key: some requests at once, and then one in each interval."""
    times = RenewalTimes(burst=3, refill=0.2)
    cache = make(times=times)
    await cache.get()
    started = time.monotonic()
    for n in range(6):
        assert await cache.renewed(f"k{n}") == "one"
    # The clock of the test stands still, so the budget fills only while a caller waits for it: once for each request.
    assert time.monotonic() - started >= 3 * times.refill
    assert len(issuer.asked) == 1 + 6


async def test_the_budget_fills_with_time(issuer: Endpoint, make: Make, clock: Clock) -> None:
    """After a pause, the same number of requests may come at once again, and not more."""
    cache = make(times=RenewalTimes(burst=2, refill=10.0))
    await cache.get()
    for n in range(2):
        await cache.renewed(f"a{n}")
    clock.now += 1000
    for n in range(2):
        await cache.renewed(f"b{n}")
    assert len(issuer.asked) == 1 + 4
    waiting = asyncio.ensure_future(cache.renewed("c"))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    assert len(issuer.asked) == 1 + 4
    await cache.close()
    assert await waiting == "one"


async def test_a_key_that_was_not_found_is_not_looked_for_again_at_once(
    issuer: Endpoint, make: Make, clock: Clock
) -> None:
    """One bad token that comes again and again does not use up the requests of others."""
    cache = make()
    await cache.get()
    for _ in range(50):
        assert await cache.renewed("stranger") == "one"
    assert len(issuer.asked) == 2
    issuer.say("two")
    assert await cache.renewed("genuine") == "two"
    clock.now += TIMES.missed
    await cache.renewed("stranger")
    assert len(issuer.asked) == 4


async def test_the_memory_of_unknown_keys_is_bounded(issuer: Endpoint, make: Make) -> None:
    """Strangers can name any number of keys. Only the latest are remembered."""
    cache = make(times=RenewalTimes(refill=0.0))
    await cache.get()
    for batch in range(12):
        await asyncio.gather(*(cache.renewed(f"{batch}-{n}") for n in range(100)))
    assert 0 < len(cache._missed) <= 1024
    asked = len(issuer.asked)
    await cache.renewed("11-99")
    assert len(issuer.asked) == asked
    await cache.renewed("0-0")
    assert len(issuer.asked) == asked + 1


async def test_the_callers_that_wait_are_bounded(issuer: Endpoint, make: Make) -> None:
    """When strangers have used up the requests, they cannot make more than some handshakes wait for the next one."""
    cache = make(times=RenewalTimes(burst=1, refill=0.5))
    await cache.get()
    await cache.renewed("first")
    crowd = [asyncio.ensure_future(cache.renewed(f"k{n}")) for n in range(300)]
    while len(refused := [each for each in crowd if each.done()]) < 300 - 256:
        await asyncio.sleep(0)
    for each in refused:
        await unavailable(each)
    assert set(await asyncio.gather(*(each for each in crowd if each not in refused))) == {"one"}
    assert len(issuer.asked) == 3


async def test_a_crowd_with_a_new_key_is_served_by_one_request(issuer: Endpoint, make: Make) -> None:
    """After a change of keys everybody may come at once, before the request and while it is under way."""
    cache = make()
    await cache.get()
    issuer.say("two")
    hanging = Hanging(issuer)
    crowd = [asyncio.ensure_future(cache.renewed("new")) for _ in range(1000)]
    await hanging.reached.wait()
    crowd += [asyncio.ensure_future(cache.renewed("new")) for _ in range(1000)]
    await asyncio.sleep(0)
    hanging.released.set()
    assert set(await asyncio.gather(*crowd)) == {"two"}
    assert len(issuer.asked) == 2


async def test_a_request_that_began_before_the_caller_came_does_not_rule_its_key_out(
    issuer: Endpoint, make: Make, clock: Clock
) -> None:
    """The key may have been published meanwhile, so the next token with it causes a request."""
    cache = make()
    await cache.get()
    hanging = Hanging(issuer)
    first = asyncio.ensure_future(cache.renewed("a"))
    await hanging.reached.wait()
    clock.now += 0.001
    late = asyncio.ensure_future(cache.renewed("b"))
    await asyncio.sleep(0)
    hanging.released.set()
    assert [await first, await late] == ["one", "one"]
    issuer.say("two")
    assert await cache.renewed("a") == "one"
    assert await cache.renewed("b") == "two"


async def test_a_new_key_is_known_after_the_next_request(issuer: Endpoint, make: Make) -> None:
    """The caller that asked and all later ones get the new keys."""
    cache = make()
    await cache.get()
    issuer.say("two")
    assert await cache.renewed("new") == "two"
    assert await cache.get() == "two"


async def test_known_keys_serve_while_a_request_is_under_way(issuer: Endpoint, make: Make, clock: Clock) -> None:
    """Only the caller that misses a key waits."""
    cache = make()
    await cache.get()
    clock.now = TIMES.longest_retry
    issuer.say("two")
    hanging = Hanging(issuer)
    missing = asyncio.ensure_future(cache.renewed(None))
    await hanging.reached.wait()
    assert await cache.get() == "one"
    hanging.released.set()
    assert await missing == "two"


async def test_keys_are_renewed_before_they_expire(issuer: Endpoint, make: Make) -> None:
    """The renewal runs in the background without a caller."""
    cache = make(times=RenewalTimes(lifetime=0.02))
    await cache.get()
    issuer.say("two")
    await until(lambda: len(issuer.asked) >= 4)
    assert await cache.get() == "two"


async def test_the_renewal_recovers_after_failures(issuer: Endpoint, make: Make) -> None:
    """Failed requests are repeated in the background until one succeeds."""
    issuer.say("down", status=503)
    cache = make(times=RenewalTimes(retry=0.01, longest_retry=0.02, refill=0.0))
    await unavailable(cache.get())
    await until(lambda: len(issuer.asked) >= 3)
    issuer.say("two")
    asked = len(issuer.asked)
    await until(lambda: len(issuer.asked) > asked)
    assert await cache.renewed(None) == "two"


async def test_callers_add_no_requests_to_an_endpoint_that_is_down(issuer: Endpoint, make: Make) -> None:
    """Between two attempts each caller is refused with a time to retry."""
    issuer.say("down", status=503)
    cache = make(times=replace(TIMES, retry=20.0))
    for _ in range(50):
        refusal = await unavailable(cache.get())
    assert refusal.retry_after == 20.0
    assert len(issuer.asked) == 1


async def test_the_time_between_retries_doubles(issuer: Endpoint, make: Make, clock: Clock) -> None:
    """It grows with each failure, up to a bound."""
    issuer.say("down", status=503)
    cache = make(times=RenewalTimes(retry=4.0))
    waits = []
    for _ in range(6):
        waits.append((await unavailable(cache.renewed(None))).retry_after)
        clock.now += TIMES.longest_retry
    assert waits == [4, 8, 16, 30, 30, 30]


async def test_keys_are_used_for_a_day_while_the_endpoint_fails(issuer: Endpoint, make: Make, clock: Clock) -> None:
    """After that, tokens are refused: the keys may be withdrawn."""
    cache = make()
    await cache.get()
    issuer.say("down", status=503)
    clock.now = TIMES.stale
    await unavailable(cache.renewed(None))
    assert await cache.get() == "one"
    clock.now += 1
    await unavailable(cache.get())
    issuer.say("two")
    clock.now += TIMES.longest_retry
    assert await cache.renewed(None) == "two"
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
async def test_the_response_sets_the_lifetime_of_the_keys(
    issuer: Endpoint, make: Make, cache_control: str | None, seconds: float
) -> None:
    """`max-age` counts within bounds. A malformed one counts as missing."""
    issuer.say("one", headers=None if cache_control is None else {"Cache-Control": cache_control})
    cache = make()
    await cache.get()
    assert cache._next_at == pytest.approx(0.8 * seconds)


async def test_the_renewal_runs_in_an_empty_context(issuer: Endpoint, make: Make) -> None:
    """It does not keep the trace and the log context of the first caller for the life of the process."""
    mine: ContextVar[str] = ContextVar("mine")
    mine.set("a handshake")
    seen = []

    def look(body: bytes) -> str:
        seen.append(mine.get("empty"))
        return body.decode()

    cache = JwksCache(KeySetAddress(issuer.url, times=RenewalTimes(lifetime=0.01)), look, PlainTasks())
    await cache.get()
    await until(lambda: len(seen) >= 2)
    await cache.close()
    assert set(seen) == {"empty"}


async def test_a_failure_is_logged_without_the_address(issuer: Endpoint, make: Make) -> None:
    """The line has the host and the error. The rest of the address may be a secret."""
    issuer.say("down", status=503)
    with capture_logs() as logged:
        await unavailable(make(f"{issuer.url}?key=canary").get())
    [line] = logged
    assert (line["log_level"], line["host"]) == ("error", "127.0.0.1")
    assert "503" in line["error"]
    assert "canary" not in repr(line)


async def test_closing_cancels_the_request_and_refuses_its_callers(issuer: Endpoint, make: Make) -> None:
    """Callers that wait are refused. They are not cancelled and do not hang."""
    cache, hanging = make(times=RenewalTimes(refill=0.0)), Hanging(issuer)
    waiting = [asyncio.ensure_future(each) for each in (cache.get(), cache.renewed(None))]
    await hanging.reached.wait()
    await cache.close()
    for each in waiting:
        await unavailable(each)
    await until(lambda: hanging.given_up == 1)
    await unavailable(cache.get())
    await asyncio.sleep(0.05)
    assert len(issuer.asked) == 1


async def test_closing_works_before_the_first_request(issuer: Endpoint, make: Make) -> None:
    """Also twice, and after a caller asked but before the request began."""
    await make().close()
    cache = make()
    asking = asyncio.ensure_future(cache.get())
    await asyncio.sleep(0)
    await cache.close()
    await cache.close()
    await unavailable(asking)
    assert issuer.asked == []


async def test_known_keys_serve_after_closing(issuer: Endpoint, make: Make) -> None:
    """Handshakes under way are served, and no request is made."""
    cache = make(times=RenewalTimes(lifetime=0.01, refill=0.0))
    await cache.get()
    await cache.close()
    asked = len(issuer.asked)
    assert await cache.renewed(None) == "one"
    await asyncio.sleep(0.05)
    assert len(issuer.asked) == asked


class Renewals(PlainTasks):
    """Remembers the names of tasks that are kept, and starts each of them again after a failure."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def keep(self, name: str, work: Work, *, restart: bool = True) -> asyncio.Task[None]:
        self.names.append(name)

        async def again() -> None:
            while True:
                try:
                    await work()
                except RuntimeError:
                    await asyncio.sleep(0)

        return self.once(name, again())


class Resting(PlainTasks):
    """Does not start a failed task again for now."""

    def keep(self, name: str, work: Work, *, restart: bool = True) -> asyncio.Task[None]:
        async def rest() -> None:
            try:
                await work()
            except RuntimeError:
                await asyncio.Event().wait()

        return self.once(name, rest())


async def test_one_task_makes_all_requests(issuer: Endpoint, clock: Clock) -> None:
    """The first caller starts it by the name that its failures are counted under."""
    tasks = Renewals()
    cache = JwksCache(KeySetAddress(issuer.url, times=RenewalTimes(refill=0.0)), read, tasks, clock)
    assert tasks.names == []
    for _ in range(3):
        await cache.renewed(None)
    await cache.close()
    assert (len(issuer.asked), tasks.names) == (3, ["jwks_renewal"])


async def test_a_bug_leaves_no_caller_waiting(issuer: Endpoint, clock: Clock) -> None:
    """A request that ends with an internal error releases its callers, and the next one works."""
    bugs = [RuntimeError("a bug")]

    def broken(body: bytes) -> str:
        if bugs:
            raise bugs.pop()
        return body.decode()

    cache = JwksCache(KeySetAddress(issuer.url), broken, Renewals(), clock)
    await unavailable(cache.get())
    clock.now += TIMES.longest_retry
    assert await cache.renewed(None) == "one"
    await cache.close()


async def test_a_caller_does_not_wait_for_a_renewal_that_rests(issuer: Endpoint, clock: Clock) -> None:
    """While the task waits for its restart, callers are refused after the timeout of a request."""

    def broken(body: bytes) -> str:
        raise RuntimeError("a bug")

    cache = JwksCache(KeySetAddress(issuer.url, times=RenewalTimes(timeout=0.5, refill=0.0)), broken, Resting(), clock)
    await unavailable(cache.get())
    await unavailable(cache.renewed(None))
    assert len(issuer.asked) == 1
    await cache.close()
