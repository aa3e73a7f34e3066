"""The parts of the client that need no socket: delays, verdicts, tokens, inbox and outbox."""

import asyncio
import base64
import json
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestay.protocol import codes
from forestay_client import DisconnectedError, Message, RefusedError, UnknownOutcomeError
from forestay_client.backoff import Backoff
from forestay_client.codes import after_close, after_status
from forestay_client.events import Handlers
from forestay_client.inbox import Inbox
from forestay_client.outbox import Outbox, Request
from forestay_client.pace import Limits, Pace
from forestay_client.sentences import write
from forestay_client.token import Tokens, expiry


def test_the_client_does_what_the_protocol_says_after_each_close() -> None:
    """After each close code the client does what the gateway's table says."""
    differ = [code for code in range(1000, 5000) if after_close(code).value != codes.verdict(code).value]
    assert differ == []


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(400, "stop"), (401, "come back once, with a new token"), (403, "stop"), (404, "stop"), (431, "stop")]
    + [(status, "come back, with jitter") for status in (408, 429, 500, 502, 503, 504)],
)
def test_the_client_does_what_the_protocol_says_after_each_status(status: int, verdict: str) -> None:
    """After each handshake status the client does what the protocol says, also for those of proxies."""
    assert after_status(status).value == verdict


@given(st.floats(0, 1), st.integers(1, 200))
def test_waits_grow_within_their_bounds(die: float, tries: int) -> None:
    """The first delay is within the spread, and later ones are within the minimum and the maximum."""
    backoff = Backoff(0.1, 30.0, 2.0, lambda: die)
    waits = [backoff.next() for _ in range(tries)]
    assert 0.1 <= waits[0] <= 2.0
    assert waits == sorted(waits)
    assert waits[-1] <= 30.0
    backoff.reset()
    assert backoff.next() == waits[0]


def jwt(**claims: object) -> str:
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.sig"


@pytest.mark.parametrize(
    ("token", "expires"),
    [(jwt(exp=12), 12.0), (jwt(exp="soon"), None), (jwt(), None), ("opaque", None), ("a.b.c", None)],
)
def test_expiry_is_read_where_it_can_be(token: str, expires: float | None) -> None:
    """The expiry of a JWT is read; another token is used until it is refused."""
    assert expiry(token) == expires


async def test_a_token_is_asked_for_only_when_one_is_needed() -> None:
    """A token is used until it expires or is refused, and concurrent callers share one call."""
    given = iter([jwt(exp=10), jwt(exp=20), jwt(exp=30)])
    now = 0.0
    tokens = Tokens(lambda: next(given), lambda: now)
    assert [await tokens.get(), await tokens.get()] == [jwt(exp=10)] * 2
    now = 10.0
    assert set(await asyncio.gather(tokens.get(), tokens.get())) == {jwt(exp=20)}
    assert tokens.refused()
    assert await tokens.get() == jwt(exp=30)
    assert not tokens.refused()
    tokens.accepted()
    assert tokens.refused()


async def test_a_token_that_comes_too_late_is_not_seen() -> None:
    """A caller that times out returns at once, even if the application's function ignores cancellation."""
    release = asyncio.Event()

    async def stubborn() -> str:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    asking = asyncio.ensure_future(Tokens(stubborn).get())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asking, 5)
    release.set()


def messages(*payloads: object) -> Sequence[Message]:
    return [Message("r", payload) for payload in payloads]


async def test_a_full_inbox_loses_the_oldest_and_says_where() -> None:
    """A full inbox drops the oldest; the next message has the gap, announced once until it is read."""
    inbox = Inbox(2)
    inbox.open()
    inbox.add(messages(0)[0])
    await inbox.take()
    assert [inbox.add(message) for message in messages(1, 2, 3, 4)] == [False, False, True, False]
    taken = [await inbox.take(), await inbox.take()]
    assert [(one.payload, one.gap) for one in taken if one is not None] == [(3, "overflow"), (4, None)]


async def test_an_inbox_without_a_loop_drops_messages_silently() -> None:
    """An inbox without a loop keeps few messages without a warning; a late loop sees the gap."""
    inbox = Inbox(2)
    inbox.open()
    assert sum(inbox.add(message) for message in messages(*range(5))) == 0
    first = await inbox.take()
    assert first is not None
    assert first.gap == "overflow"


async def test_an_inbox_ends_after_what_is_in_it() -> None:
    """After the end the remaining messages are read; then the loop ends, or raises the error."""
    inbox = Inbox(2)
    inbox.open()
    inbox.add(messages("last")[0])
    inbox.close(DisconnectedError(4403, "access revoked"))
    assert await inbox.take() is not None
    with pytest.raises(DisconnectedError):
        await inbox.take()
    inbox.close()
    assert await inbox.take() is None


async def test_an_outbox_is_bounded() -> None:
    """A request beyond the bound is refused at once and never sent."""
    outbox = Outbox(1)
    outbox.add(Request({"type": "broadcast"}))
    with pytest.raises(RefusedError) as refused:
        outbox.add(Request({"type": "broadcast"}))
    assert refused.value.code == "unavailable"


async def test_what_breaks_with_the_connection_is_told_apart() -> None:
    """After a loss sent requests are unknown or, if safe, repeated first; unsent requests wait."""
    outbox = Outbox(3)
    published, asked, waiting = (
        Request({"type": "broadcast"}),
        Request({"type": "history"}, repeatable=True),
        Request({"type": "broadcast"}),
    )
    published.written_on = asked.written_on = object()
    outbox.add(waiting)
    outbox.lost([published, asked])
    assert isinstance(published.answer.exception(), UnknownOutcomeError)
    assert [outbox.take(), outbox.take(), outbox.take()] == [asked, waiting, None]


@pytest.mark.parametrize("payload", [float("nan"), object(), "\ud800"])
def test_what_json_has_no_word_for_is_the_callers_error(payload: object) -> None:
    """A value that JSON cannot express raises at the caller, and not on the shared connection."""
    with pytest.raises((TypeError, ValueError)):
        write({"type": "broadcast", "payload": payload})


def test_a_handler_that_raises_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """After a handler raised, the next one is called, and the log has the traceback."""
    heard: list[object] = []
    handlers = Handlers("message")
    handlers.add("message", lambda _: 1 / 0)
    remove = handlers.add("message", heard.append)
    handlers.emit("message", 1)
    remove()
    handlers.emit("message", 2)
    assert heard == [1]
    assert "ZeroDivisionError" in caplog.text


def test_a_coroutine_handler_is_refused() -> None:
    """A coroutine function is refused as a handler, and so is an unknown event."""

    async def handler(_: object) -> None: ...

    handlers = Handlers("message")
    with pytest.raises(TypeError, match="plain function"):
        handlers.add("message", handler)
    with pytest.raises(ValueError, match="there are message"):
        handlers.add("messages", print)


def test_a_token_that_never_expires_lasts() -> None:
    """An opaque token is used until the gateway refuses it."""
    assert Tokens(lambda: "").remaining("opaque") > time.time()


def test_a_bucket_is_never_overdrawn() -> None:
    """Whatever is asked at whatever time, a gateway with the same limits has a token for it."""
    pace, now, tokens, at = Pace(Limits(rate=10, burst=4), 0.0), 0.0, 4.0, 0.0
    for step in range(200):
        now += (step % 7) * 0.03
        now += pace.wait(1, now)
        pace.spend(1, now)
        tokens, at = min(4.0, tokens + (now - at) * 10), now
        assert tokens >= 1
        tokens -= 1
    assert now < 200 / 10 * 1.2


def test_what_is_larger_than_the_bucket_goes_when_it_is_full() -> None:
    """A message of more bytes than a second's worth waits for a full bucket, and leaves a debt."""
    pace = Pace(Limits(bytes_rate=1000), 0.0)
    assert pace.wait(5000, 0.0) == 0.0
    pace.spend(5000, 0.0)
    assert pace.wait(1, 0.0) > 4.0
