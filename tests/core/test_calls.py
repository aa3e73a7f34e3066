"""Calls: the application is asked, and its answer goes to the client by the id of the call."""

import asyncio
from asyncio import Future
from collections import defaultdict
from collections.abc import AsyncIterator

import msgspec
import pytest

from forestay.core.ports.hook_events import CallEvent, HookEvent
from forestay.core.ports.hooks import HookFailed, Refuse, Result
from forestay.core.rules.hooks import Hook
from forestay.core.sessions.calls import AT_ONCE, MOST_WAITING
from forestay.pod.hooks import Application
from forestay.protocol.codes import CONNECTION_LOST
from tests.support.core import Core, RecordingTransport, passes

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Desk:
    """An application that answers what a test tells it to, when the test says so; `now` is answered at once."""

    def __init__(self) -> None:
        self.asked: list[CallEvent] = []
        self.cancelled = 0
        self._answers: dict[str, Future[object]] = defaultdict(asyncio.get_running_loop().create_future)

    async def ask(self, event: HookEvent, /) -> object:
        assert isinstance(event, CallEvent)
        self.asked.append(event)
        if event.method == "now":
            return Result(event.payload)
        try:
            return await self._answers[event.method]
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def close(self) -> None:
        """There is nothing to close."""

    def answer(self, method: str, answer: object) -> None:
        self._answers[method].set_result(answer)

    def fail(self, method: str, error: Exception) -> None:
        self._answers[method].set_exception(error)

    @property
    def methods(self) -> list[str]:
        return [event.method for event in self.asked]


def office(burst: int = 0, concurrency: int = 64) -> tuple[Core, Desk]:
    """A pod whose application takes calls. `burst`: how many messages a client may send, if not any number."""
    desk = Desk()
    application = Application(desk, frozenset({Hook.CALL}))
    if burst:
        return Core(application=application, message_rate=1, message_burst=burst), desk
    return Core(application=application, hooks_concurrency=concurrency), desk


@pytest.fixture(autouse=True)
async def _nothing_is_left() -> AsyncIterator[None]:
    """What the application still thinks about ends with the test."""
    yield
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


async def settled() -> None:
    """Wait until all is done that waits for nothing but the loop."""
    for _ in range(20):
        await passes()


def answers(transport: RecordingTransport) -> list[tuple[str, str | None, object]]:
    """Of each answer but the welcome its type, its id, and its payload or the code of its refusal."""
    return [
        (one["type"], one.get("id"), one["payload"]["code"] if one["type"] == "error" else one.get("payload"))
        for one in transport.heard()[1:]
    ]


async def test_a_call_that_no_hook_answers_is_refused() -> None:
    """Where the application takes no calls, the client hears so, with the code that a gateway without calls has."""
    core = Core()
    alice, transport = core.connect("alice")
    core.say(alice, type="call", id="1", method="orders.create", payload={})
    await settled()
    assert answers(transport) == [("error", "1", "unknown_type")]
    assert "takes no calls" in transport.heard()[-1]["payload"]["message"]


async def test_calls_take_at_most_half_of_the_places() -> None:
    """So that slow calls keep nobody from what the application decides besides."""
    core, desk = office(concurrency=4)
    transports = []
    for number, user in enumerate(("alice", "bob", "carol")):
        connection, transport = core.connect(user)
        core.say(connection, type="call", id="1", method=f"slow{number}")
        transports.append(transport)
    await settled()
    assert desk.methods == ["slow0", "slow1"]
    assert answers(transports[2]) == [("error", "1", "unavailable")]
    desk.answer("slow0", Result(1))
    await settled()
    core.say(core.connect("dave")[0], type="call", id="1", method="slow3")
    await settled()
    assert desk.methods[-1] == "slow3"


@pytest.mark.parametrize("method", ["", "x" * 129, "a\nb"])
async def test_a_method_that_is_no_name_is_refused(method: str) -> None:
    """The refusal has the id of the call, and the application is not asked."""
    core, desk = office()
    alice, transport = core.connect("alice")
    core.say(alice, type="call", id="1", method=method)
    await settled()
    assert answers(transport) == [("error", "1", "bad_message")]
    assert desk.asked == []


async def test_the_application_learns_who_asks_for_what() -> None:
    """The user, the connection, the method, the payload as it was written, and the trace of the client."""
    core, desk = office()
    alice, _ = core.connect("alice")
    core.say(alice, type="call", id="1", method="now", payload={"n": 1.5}, traceparent=TRACE)
    await settled()
    [event] = desk.asked
    assert (event.user, event.connection, event.caller.wire) == ("alice", alice.id, "v1")
    assert (event.method, event.payload, event.payload_json) == ("now", {"n": 1.5}, b'{"n": 1.5}')
    assert event.trace is not None
    assert event.trace.traceparent == TRACE


async def test_an_answer_is_written_as_the_application_gives_it() -> None:
    """Any JSON, also what a float cannot hold."""
    core, desk = office()
    alice, transport = core.connect("alice")
    core.say(alice, type="call", id="1", method="a")
    await settled()
    desk.answer("a", Result(msgspec.Raw(b'[12345678901234567890.10, null, "\\u00e9"]')))
    await settled()
    assert b'"payload":[12345678901234567890.10, null, "\\u00e9"]' in b"".join(transport.writes)


async def test_answers_come_in_any_order_and_hold_up_nothing() -> None:
    """A call that is not answered holds neither another call nor a request of the same client."""
    core, desk = office()
    alice, transport = core.connect("alice")
    core.say(alice, type="call", id="1", method="slow")
    core.say(alice, type="call", id="2", method="quick")
    core.say(alice, type="ping", id="3")
    core.say(alice, type="call", id="4", method="now", payload=4)
    await settled()
    assert answers(transport) == [("pong", "3", None), ("result", "4", 4)] or answers(transport) == [
        ("result", "4", 4),
        ("pong", "3", None),
    ]
    desk.answer("quick", Result("second"))
    await settled()
    desk.answer("slow", Result("first"))
    await settled()
    assert answers(transport)[2:] == [("result", "2", "second"), ("result", "1", "first")]


async def test_a_refusal_has_the_code_of_the_application() -> None:
    """In `reason`, beside its sentence; the code of the protocol says that it was the application."""
    core, desk = office()
    alice, transport = core.connect("alice")
    core.say(alice, type="call", id="1", method="a")
    await settled()
    desk.answer("a", Refuse("sold_out", "none left"))
    await settled()
    assert transport.heard()[-1]["payload"] == {
        "code": "refused_by_application",
        "reason": "sold_out",
        "message": "none left",
    }


async def test_without_an_id_only_a_refusal_is_sent() -> None:
    """As for a broadcast."""
    core, desk = office()
    alice, transport = core.connect("alice")
    core.say(alice, type="call", method="now")
    core.say(alice, type="call", method="a")
    await settled()
    desk.answer("a", Refuse("no", "no"))
    await settled()
    assert answers(transport) == [("error", None, "refused_by_application")]
    assert desk.methods == ["now", "a"]


@pytest.mark.parametrize("answer", [None, {"a": 1}, Result(object()), Result(b"x")])
async def test_what_is_no_answer_is_a_failure(answer: object) -> None:
    """The client learns that there is no answer, and nothing of what was wrong with it."""
    core, desk = office()
    alice, transport = core.connect("alice")
    core.say(alice, type="call", id="1", method="a")
    await settled()
    desk.answer("a", answer)
    await settled()
    assert answers(transport) == [("error", "1", "unavailable")]


@pytest.mark.parametrize("error", [RuntimeError("the password is hunter2"), HookFailed("status", "500")])
async def test_a_hook_that_fails_tells_the_client_nothing_of_the_cause(error: Exception) -> None:
    """The connection stays open, and the next call is answered."""
    core, desk = office()
    alice, transport = core.connect("alice")
    core.say(alice, type="call", id="1", method="a")
    await settled()
    desk.fail("a", error)
    await settled()
    core.say(alice, type="call", id="2", method="now", payload=2)
    await settled()
    assert answers(transport) == [("error", "1", "unavailable"), ("result", "2", 2)]
    assert b"hunter2" not in b"".join(transport.writes)


async def test_a_connection_asks_about_few_calls_at_once() -> None:
    """The others wait for their turn in their order, up to a number; beyond that they are refused."""
    core, desk = office()
    alice, transport = core.connect("alice")
    bob, _ = core.connect("bob")
    for number in range(AT_ONCE + MOST_WAITING + 1):
        core.say(alice, type="call", id=str(number), method=f"m{number}")
    core.say(bob, type="call", id="b", method="bob")
    await settled()
    assert desk.methods == [*(f"m{number}" for number in range(AT_ONCE)), "bob"]
    assert answers(transport) == [("error", str(AT_ONCE + MOST_WAITING), "unavailable")]
    desk.answer("m3", Result(3))
    desk.answer("m0", Result(0))
    await settled()
    assert desk.methods[AT_ONCE + 1 :] == [f"m{AT_ONCE}", f"m{AT_ONCE + 1}"]
    assert answers(transport)[1:] == [("result", "3", 3), ("result", "0", 0)]


async def test_calls_that_wait_are_all_asked_in_the_end() -> None:
    """Also those that are answered at once when it is their turn."""
    core, desk = office()
    alice, transport = core.connect("alice")
    for number in range(AT_ONCE):
        core.say(alice, type="call", id=f"held{number}", method="held")
    for number in range(MOST_WAITING):
        core.say(alice, type="call", id=str(number), method="now", payload=number)
    await settled()
    assert len(desk.asked) == AT_ONCE
    desk.answer("held", Result("done"))
    await settled()
    assert len(desk.asked) == AT_ONCE + MOST_WAITING
    results = [id for kind, id, _ in answers(transport) if kind == "result"]
    assert sorted(results, key=str) == sorted(
        [*(f"held{n}" for n in range(AT_ONCE)), *(str(n) for n in range(MOST_WAITING))], key=str
    )


async def test_when_a_connection_ends_what_waits_is_never_asked() -> None:
    """What is under way goes on: the application would not know how far it came. Its answer is nobody's."""
    core, desk = office()
    alice, transport = core.connect("alice")
    for number in range(AT_ONCE + 2):
        core.say(alice, type="call", id=str(number), method="held")
    await settled()
    transport.gone = True
    core.pod.sessions.lost(alice, CONNECTION_LOST)
    written = len(transport.writes)
    desk.answer("held", Result("done"))
    await settled()
    assert len(desk.asked) == AT_ONCE
    assert desk.cancelled == 0
    assert len(transport.writes) == written


async def test_a_call_counts_for_the_rate_of_its_client() -> None:
    """Beyond the rate it is refused, and the application is not asked."""
    core, desk = office(burst=2)
    alice, transport = core.connect("alice")
    for number in range(3):
        core.say(alice, type="call", id=str(number), method="now", payload=number)
    await settled()
    assert sorted(answers(transport), key=str) == [
        ("error", "2", "rate_limited"),
        ("result", "0", 0),
        ("result", "1", 1),
    ]
    assert len(desk.asked) == 2
