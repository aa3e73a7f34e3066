"""The hook `broadcast`: what the application says about a message decides what becomes of it."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from forestay.core.fanout.connection import Connection
from forestay.core.ports.hook_events import BroadcastEvent, HookEvent
from forestay.core.ports.hooks import Allow, HookFailed, Refuse, Replace, Result
from forestay.core.ports.observer import Client, Observer
from forestay.core.rules.hooks import Hook
from forestay.core.rules.policies import Policy
from forestay.protocol.codes import ENDINGS, CloseCode, Ending
from forestay.protocol.requests import Binary
from tests.support.core import Core, RecordingTransport, passes
from tests.support.hook_form import AskedForm, Gate, application

ASKED = Policy(pattern="asked.*", hooks=frozenset({Hook.BROADCAST}))
UNASKED = Policy(pattern="free.*")


class Reports(Observer):
    """Keeps what is reported about hooks."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []
        self.causes: list[str] = []

    def hook(self, hook: Hook, outcome: str, seconds: float) -> None:
        self.outcomes.append(outcome)

    def hook_failed(self, hook: Hook, failure: str, cause: str) -> None:
        self.causes.append(cause)


class Silent(Refuse):
    """A refusal of the application's own that says less than it must."""

    def __init__(self) -> None:
        self.code, self.message = "silent", ""


class Unreadable(KeyboardInterrupt):
    def __str__(self) -> str:
        raise SystemExit


class Exiting(Allow):
    """An answer that exits when it is read."""

    __slots__ = ()

    @property
    def rooms(self) -> list[str]:
        raise Unreadable

    @rooms.setter
    def rooms(self, value: object) -> None:
        """Take what the constructor sets."""


class Word(str):
    """A text of the application's own, such as one that is translated. It says something else where it is printed."""

    __slots__ = ()

    def __str__(self) -> str:
        raise KeyboardInterrupt


def answering(
    answer: object, observer: Observer | None = None, *, immediate: bool = False, **given: Any
) -> tuple[Core, AskedForm]:
    """A pod whose application gives this answer, or raises it. `immediate`: without a task."""

    async def give(event: HookEvent) -> object:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    form = AskedForm(give)
    asked = replace(application(form), immediate=frozenset({Hook.BROADCAST} if immediate else ()))
    return Core(ASKED, UNASKED, application=asked, observer=observer, **given), form


async def publish(core: Core, payload: object = "hello", **more: object) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the sender hears, and the messages that a member hears."""
    _, member = core.join("asked.a", "bob")
    sender, transport = core.connect("alice")
    await passes()
    await core.ask(sender, type="broadcast", id="1", room="asked.a", payload=payload, **more)
    await passes()
    [answer] = [heard for heard in transport.heard() if heard.get("id") == "1"]
    return answer, [heard for heard in member.heard() if heard["type"] == "broadcast"]


async def test_a_message_that_the_application_allows_is_published_as_it_is() -> None:
    """The payload keeps the sender's bytes, and the application has seen who says what to which room."""
    core, form = answering(Allow())
    answer, [message] = await publish(core, {"text": "hello", "n": 1.50})
    assert (answer["type"], message["payload"], message["from"]) == ("ack", {"text": "hello", "n": 1.5}, "alice")
    [event] = form.asked
    assert isinstance(event, BroadcastEvent)
    assert (event.user, event.room, event.payload["text"], event.event) == ("alice", "asked.a", "hello", None)
    assert event.connection is not None
    assert event.caller.wire == "v1"


async def test_an_answer_of_a_class_of_its_own_allows() -> None:
    """An application may derive its own answers from ours."""

    class Fine(Allow):
        pass

    core, _ = answering(Fine())
    answer, messages = await publish(core)
    assert (answer["type"], len(messages)) == ("ack", 1)


async def test_a_message_that_the_application_refuses_reaches_nobody() -> None:
    """The sender hears the application's own code and its sentence."""
    core, _ = answering(Refuse("muted", "you are muted until noon"))
    answer, messages = await publish(core)
    assert answer["payload"] == {
        "code": "refused_by_application",
        "message": "you are muted until noon",
        "reason": "muted",
    }
    assert (answer["room"], messages) == ("asked.a", [])


@pytest.mark.parametrize("payload", [{"text": "***"}, msgspec.Raw(b'{"text":"***"}')], ids=["object", "json"])
async def test_the_application_can_replace_the_payload(payload: object) -> None:
    """Members get the new payload, and the sender its ack."""
    core, _ = answering(Replace(payload))
    answer, [message] = await publish(core, {"text": "damn"})
    assert (answer["type"], message["payload"], message["from"]) == ("ack", {"text": "***"}, "alice")


async def test_a_binary_message_is_asked_about_and_replaced() -> None:
    """The application sees all bytes, and says others."""
    core, form = answering(Replace(b"\0\0\0\7new"))
    _, member = core.join("asked.a", "bob")
    sender, _ = core.connect("alice")
    await passes()
    work = core.pod.dispatcher.dispatch(sender, Binary(data=b"\0\0\0\7old", room="asked.a"), 7)
    if work is not None:
        await work
    await passes()
    [event] = form.asked
    assert isinstance(event, BroadcastEvent)
    assert (event.binary, event.payload) == (True, b"\0\0\0\7old")
    assert b"\0\0\0\7new" in b"".join(member.writes)
    assert b"\0\0\0\7old" not in b"".join(member.writes)


async def test_a_hook_that_never_waits_is_asked_at_once() -> None:
    """It needs no task, and holds nothing up: there is nothing to await."""
    core, _ = answering(Replace("new"), immediate=True)
    sender, transport = core.join("asked.a", "alice")
    await passes()
    text = b'{"type":"broadcast","room":"asked.a","payload":1}'
    work = core.pod.dispatcher.dispatch(sender, core.pod.wires.plain.reader.read(text), len(text))
    await passes()
    assert (work, transport.heard()[-1]["payload"]) == (None, "new")


async def test_a_hook_that_waits_though_it_never_should_has_failed() -> None:
    """A form that is wrong about it keeps nobody waiting."""
    gate, reports = Gate(), Reports()
    asked = replace(application(AskedForm(gate.wait)), immediate=frozenset({Hook.BROADCAST}))
    core = Core(ASKED, application=asked, observer=reports)
    heard, messages = await publish(core)
    assert (heard["payload"]["code"], messages, reports.outcomes) == ("unavailable", [], ["raised"])


async def test_a_room_without_hooks_is_not_asked_about() -> None:
    """Its messages wait for nothing."""
    core, form = answering(Refuse("no", "no"))
    sender, transport = core.join("free.a", "alice")
    await passes()
    work = core.pod.dispatcher.dispatch(
        sender, core.pod.wires.plain.reader.read(b'{"type":"broadcast","room":"free.a","payload":1}'), 9
    )
    await passes()
    assert (work, form.asked) == (None, [])
    assert transport.heard()[-1]["payload"] == 1


@pytest.mark.parametrize(
    ("answer", "outcome", "cause"),
    [
        (None, "bad_answer", "None"),
        ({"allow": True}, "bad_answer", "dict"),
        (Result(1), "bad_answer", "Result"),
        (Allow(["a.b"]), "bad_answer", "rooms"),
        (Replace(object()), "bad_answer", "no JSON"),
        (Replace(b"bytes"), "bad_answer", "bytes"),
        (Replace(msgspec.Raw(b"{")), "bad_answer", "no JSON"),
        (Replace("\ud800"), "bad_answer", "no JSON"),
        (Replace([[[[[[[[[1]]]]]]]]]), "bad_answer", "deeper"),
        (Replace("x" * 70000), "too_large", "70002 bytes"),
        (Refuse.__new__(Refuse), "bad_answer", "cannot be read: AttributeError"),
        (Silent(), "bad_answer", "the message of a refusal"),
        (KeyError("user"), "raised", "KeyError"),
        (HookFailed("status", "status 500"), "status", "status 500"),
        (asyncio.CancelledError(), "raised", "cancelled"),
        (GeneratorExit(), "raised", "GeneratorExit"),
        (Exiting(), "bad_answer", "cannot be read: Unreadable: its text cannot be read"),
    ],
)
@pytest.mark.parametrize("way", ["in a task", "at once"])
async def test_an_answer_that_is_none_refuses_the_message(answer: object, outcome: str, cause: str, way: str) -> None:
    """The client hears `unavailable` and may try again. The cause is reported, once."""
    reports, immediate = Reports(), way == "at once"
    if immediate and isinstance(answer, KeyError):
        # The form of a module makes this of what a function raises.
        answer = HookFailed("raised", "KeyError: 'user'")
    core, _ = answering(answer, reports, immediate=immediate, json_depth=8)
    heard, messages = await publish(core)
    assert (heard["payload"]["code"], messages, reports.outcomes) == ("unavailable", [], [outcome])
    assert heard["payload"]["retry_after_ms"] == 1000
    assert cause in reports.causes[0]


async def test_texts_of_the_applications_own_are_what_they_say() -> None:
    """The client gets their characters, and nothing of them runs later."""
    core, _ = answering(Refuse(Word("muted"), Word("try it later")))
    heard, _ = await publish(core)
    refusal = heard["payload"]
    assert (refusal["code"], refusal["reason"], refusal["message"]) == (
        "refused_by_application",
        "muted",
        "try it later",
    )


async def test_where_failures_allow_the_message_passes_unchanged() -> None:
    """HOOKS_ON_FAILURE=allow: the failure is reported all the same."""
    reports = Reports()
    core, _ = answering(ValueError("boom"), reports, hooks_on_failure="allow")
    heard, [message] = await publish(core)
    assert (heard["type"], message["payload"], reports.outcomes) == ("ack", "hello", ["raised"])


async def test_a_replaced_event_keeps_the_form_of_events() -> None:
    """An event has an array of arguments. Any other payload for it is no answer, and the message is refused."""
    reports = Reports()
    core, _ = answering(Replace({"not": "a list"}), reports)
    heard, messages = await publish(core, [1], event="moved")
    assert (heard["payload"]["code"], messages) == ("unavailable", [])
    assert reports.outcomes == ["bad_answer"]


async def test_a_hook_that_hangs_is_given_up() -> None:
    """After HOOKS_TIMEOUT the client is answered, and the hook is cancelled."""
    gate, reports = Gate(), Reports()
    form = AskedForm(gate.wait)
    core = Core(ASKED, application=application(form), observer=reports, hooks_timeout=0.05)
    heard, messages = await publish(core)
    assert (heard["payload"]["code"], messages, reports.outcomes) == ("unavailable", [], ["timeout"])
    assert "0.05 s" in reports.causes[0]
    await passes()
    assert form.running == 0
    assert core.pod.hooks is not None
    assert core.pod.hooks.under_way == 0


async def test_a_hook_that_does_not_end_when_it_is_given_up_keeps_its_place() -> None:
    """So that hooks which swallow the cancellation cannot pile up beyond HOOKS_CONCURRENCY."""
    release = asyncio.Event()

    async def stubborn(event: HookEvent) -> object:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return Allow()

    core = Core(ASKED, application=application(AskedForm(stubborn)), hooks_timeout=0.05, hooks_concurrency=1)
    assert core.pod.hooks is not None
    heard, _ = await publish(core)
    assert (heard["payload"]["code"], core.pod.hooks.under_way) == ("unavailable", 1)
    other, transport = core.connect("carol")
    await core.ask(other, type="broadcast", id="2", room="asked.a", payload=1)
    await passes()
    assert "too much at once" in transport.heard()[-1]["payload"]["message"]
    release.set()
    await passes()
    assert core.pod.hooks.under_way == 0


async def started(core: Core, connection: Connection, **request: object) -> "asyncio.Task[None]":
    """A request of the client that waits for its hook."""
    task = asyncio.get_running_loop().create_task(core.ask(connection, **request))
    await passes()
    return task


@pytest.mark.parametrize("on_failure", ["refuse", "allow"])
async def test_beyond_the_concurrency_nothing_waits(on_failure: str) -> None:
    """The next one is refused at once, also where failures allow: a flood must not switch the rules off."""
    gate, reports = Gate(), Reports()
    core = Core(
        ASKED,
        application=application(AskedForm(gate.wait)),
        observer=reports,
        hooks_concurrency=2,
        hooks_on_failure=on_failure,
    )
    clients = [core.connect() for _ in range(3)]
    tasks = [await started(core, one, type="broadcast", id="1", room="asked.a", payload=1) for one, _ in clients]
    assert [task.done() for task in tasks] == [False, False, True]
    assert clients[2][1].heard()[-1]["payload"]["code"] == "unavailable"
    assert reports.outcomes == ["busy"]
    gate.open.set()
    await asyncio.gather(*tasks)
    await passes()
    assert [transport.heard()[-1]["type"] for _, transport in clients] == ["ack", "ack", "error"]


async def test_other_connections_go_on_while_a_hook_is_under_way() -> None:
    """A hanging hook holds its own connection only."""
    gate = Gate()
    core = Core(ASKED, UNASKED, application=application(AskedForm(gate.wait)))
    waiting, _ = core.connect()
    task = await started(core, waiting, type="broadcast", room="asked.a", payload=1)
    other, transport = core.join("free.a")
    await passes()
    await core.ask(other, type="broadcast", id="1", room="free.a", payload=2)
    await passes()
    assert [heard["type"] for heard in transport.heard()[-2:]] == ["ack", "broadcast"]
    assert not task.done()
    gate.open.set()
    await task


async def test_a_connection_that_ends_while_it_is_asked_about_publishes_nothing() -> None:
    """Its client can be told nothing any more. A revoked token, a drain and an expired token end it so."""
    gate = Gate()
    core = Core(ASKED, application=application(AskedForm(gate.wait)))
    _, member = core.join("asked.a", "bob")
    sender, transport = core.connect("alice")
    task = await started(core, sender, type="broadcast", id="1", room="asked.a", payload=1)
    sender.end(ENDINGS[CloseCode.TOKEN_EXPIRED])
    gate.open.set()
    await task
    await passes()
    assert [heard["type"] for heard in member.heard()] == ["welcome", "joined"]
    assert [heard["type"] for heard in transport.heard()] == ["welcome"]


async def test_a_client_is_not_ended_because_it_is_not_read_while_it_is_asked_about() -> None:
    """Its pong may be there, unread. Afterwards it has its time to answer again, and no more."""
    gate, ended = Gate(), asyncio.Event()

    class Ends(Observer):
        def ended(self, client: Client, ending: Ending, seconds: float) -> None:
            ended.set()

    core = Core(
        ASKED,
        application=application(AskedForm(gate.wait)),
        observer=Ends(),
        ping_interval=0.05,
        pong_timeout=0.05,
    )
    sender, _ = core.connect("alice")
    task = await started(core, sender, type="broadcast", room="asked.a", payload=1)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ended.wait(), 0.3)
    gate.open.set()
    await task
    await asyncio.wait_for(ended.wait(), 5)
    assert sender.ended is not None
    assert sender.ended.code == CloseCode.NO_PONG


async def test_a_message_has_the_time_at_which_it_is_published() -> None:
    """One that waited for its hook is not older than those that were published meanwhile."""
    gate = Gate()
    core = Core(ASKED, UNASKED, application=application(AskedForm(gate.wait)))
    member, transport = core.join("asked.a", "bob")
    core.say(member, type="join", room="free.a")
    sender, _ = core.connect("alice")
    task = await started(core, sender, type="broadcast", room="asked.a", payload="late")
    await asyncio.sleep(0.005)
    await core.ask(member, type="broadcast", room="free.a", payload="early")
    gate.open.set()
    await task
    await passes()
    heard = {json.dumps(each["payload"]): each["timestamp"] for each in _broadcasts(transport)}
    assert heard['"early"'] <= heard['"late"']


def _broadcasts(transport: RecordingTransport) -> list[dict[str, Any]]:
    return [heard for heard in transport.heard() if heard["type"] == "broadcast"]
