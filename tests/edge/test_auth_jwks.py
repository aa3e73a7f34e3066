"""Published keys are fetched, kept and renewed."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from forestay.edge.tokens.jwks import MAX_BYTES, TIMES, JwksCache, RenewalTimes
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
        made.append(JwksCache(url, read, PlainTasks(), times, clock))
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
    crowd += [asyncio.ensure_future(cache.renewed()) for _ in range(100)]
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
    clock.now += TIMES.cooldown
    issuer.say(**fault)
    await unavailable(cache.renewed())
    assert await cache.get() == "one"
    assert len(issuer.asked) == 2


async def test_the_largest_response_is_read(issuer: Endpoint, make: Make) -> None:
    """A response of exactly the limit is read, compressed or not."""
    body = b"x" * MAX_BYTES
    issuer.say(gzip.compress(body), headers={"Content-Encoding": "gzip"})
    assert len(await make().get()) == MAX_BYTES


async def test_missing_keys_cause_one_request_per_cooldown(issuer: Endpoint, make: Make, clock: Clock) -> None:
    """Any number of callers with unknown keys causes one request in each cooldown."""
    cache = make()
    await cache.get()
    for second in range(1, 91):
        clock.now = float(second)
        assert set(await asyncio.gather(*(cache.renewed() for _ in range(20)))) == {"one"}
    assert len(issuer.asked) == 1 + 3


async def test_a_new_key_is_known_after_the_next_request(issuer: Endpoint, make: Make, clock: Clock) -> None:
    """The caller that asked and all later ones get the new keys."""
    cache = make()
    await cache.get()
    issuer.say("two")
    clock.now = TIMES.cooldown - 0.001
    assert await cache.renewed() == "one"
    clock.now = TIMES.cooldown
    assert await cache.renewed() == "two"
    assert await cache.get() == "two"


async def test_known_keys_serve_while_a_request_is_under_way(issuer: Endpoint, make: Make, clock: Clock) -> None:
    """Only the caller that misses a key waits."""
    cache = make()
    await cache.get()
    clock.now = TIMES.cooldown
    issuer.say("two")
    hanging = Hanging(issuer)
    missing = asyncio.ensure_future(cache.renewed())
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
    cache = make(times=RenewalTimes(retry=0.01, cooldown=0.02))
    await unavailable(cache.get())
    await until(lambda: len(issuer.asked) >= 3)
    issuer.say("two")
    asked = len(issuer.asked)
    await until(lambda: len(issuer.asked) > asked)
    assert await cache.renewed() == "two"


async def test_callers_add_no_requests_to_an_endpoint_that_is_down(issuer: Endpoint, make: Make) -> None:
    """Between two attempts each caller is refused with a time to retry."""
    issuer.say("down", status=503)
    cache = make(times=replace(TIMES, retry=20.0))
    for _ in range(50):
        refusal = await unavailable(cache.get())
    assert refusal.retry_after == 20.0
    assert len(issuer.asked) == 1


async def test_the_time_between_retries_doubles(issuer: Endpoint, make: Make, clock: Clock) -> None:
    """It grows with each failure, up to the cooldown."""
    issuer.say("down", status=503)
    cache = make(times=RenewalTimes(retry=4.0))
    waits = []
    for _ in range(6):
        waits.append((await unavailable(cache.renewed())).retry_after)
        clock.now += TIMES.cooldown
    assert waits == [4, 8, 16, 30, 30, 30]


async def test_keys_are_used_for_a_day_while_the_endpoint_fails(issuer: Endpoint, make: Make, clock: Clock) -> None:
    """After that, tokens are refused: the keys may be withdrawn."""
    cache = make()
    await cache.get()
    issuer.say("down", status=503)
    clock.now = TIMES.stale
    await unavailable(cache.renewed())
    assert await cache.get() == "one"
    clock.now += 1
    await unavailable(cache.get())
    issuer.say("two")
    clock.now += TIMES.cooldown
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

    cache = JwksCache(issuer.url, look, PlainTasks(), RenewalTimes(lifetime=0.01))
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
    assert (line["log_level"], line["host"]) == ("warning", "127.0.0.1")
    assert "503" in line["error"]
    assert "canary" not in repr(line)


async def test_closing_cancels_the_request_and_refuses_its_callers(issuer: Endpoint, make: Make) -> None:
    """Callers that wait are refused. They are not cancelled and do not hang."""
    cache, hanging = make(times=RenewalTimes(cooldown=0.01)), Hanging(issuer)
    waiting = [asyncio.ensure_future(each) for each in (cache.get(), cache.renewed())]
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
    cache = make(times=RenewalTimes(lifetime=0.01, cooldown=0.0))
    await cache.get()
    await cache.close()
    asked = len(issuer.asked)
    assert await cache.renewed() == "one"
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
    cache = JwksCache(issuer.url, read, tasks, RenewalTimes(cooldown=0.0), clock)
    assert tasks.names == []
    for _ in range(3):
        await cache.renewed()
    await cache.close()
    assert (len(issuer.asked), tasks.names) == (3, ["jwks_renewal"])


async def test_a_bug_leaves_no_caller_waiting(issuer: Endpoint, clock: Clock) -> None:
    """A request that ends with an internal error releases its callers, and the next one works."""
    bugs = [RuntimeError("a bug")]

    def broken(body: bytes) -> str:
        if bugs:
            raise bugs.pop()
        return body.decode()

    cache = JwksCache(issuer.url, broken, Renewals(), RenewalTimes(), clock)
    await unavailable(cache.get())
    clock.now += TIMES.cooldown
    assert await cache.renewed() == "one"
    await cache.close()


async def test_a_caller_does_not_wait_for_a_renewal_that_rests(issuer: Endpoint, clock: Clock) -> None:
    """While the task waits for its restart, callers are refused after the timeout of a request."""

    def broken(body: bytes) -> str:
        raise RuntimeError("a bug")

    cache = JwksCache(issuer.url, broken, Resting(), RenewalTimes(timeout=0.5, cooldown=0.0), clock)
    await unavailable(cache.get())
    await unavailable(cache.renewed())
    assert len(issuer.asked) == 1
    await cache.close()
