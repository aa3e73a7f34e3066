"""The HTTP form of hooks against real sockets: what is asked, which answers are believed, and which are failures."""

import asyncio
import base64
import itertools
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw
from structlog.testing import capture_logs

from forestay.core.ports.hook_events import (
    BroadcastEvent,
    Caller,
    CallEvent,
    ConnectEvent,
    DisconnectEvent,
    HookEvent,
    JoinEvent,
    LeaveEvent,
)
from forestay.core.ports.hooks import Allow, HookAnswer, HookFailed, Refuse, Replace, Result
from forestay.outbound.hooks.breaker import FIRST_REST, THRESHOLD
from forestay.outbound.hooks.http_hooks import Bounds, HookRuntime, HttpHooks
from forestay.outbound.receiver import Receiver
from forestay.outbound.signature import parse_secret
from forestay.protocol.trace import TraceContext
from tests.support.hook_receiver import Answer, Application, always, application, hang, http, say
from tests.support.local_redis import Authority
from tests.support.webhook_receiver import SECRET

OLD_SECRET = "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="
ALICE = Caller("alice", b'{"sub":"alice","plan":"pro"}', "c1")
TRACE = TraceContext("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "vendor=1")
CONNECT = ConnectEvent(ALICE, TRACE, origin="https://app.example", address="192.0.2.7")
JOIN = JoinEvent(ALICE, "chat.a")
BROADCAST = BroadcastEvent(ALICE, "chat.a", b'{"text":  "hi"}')
CALL = CallEvent(ALICE, "orders.place", b"[1,2]")
LEAVE = LeaveEvent(ALICE, "chat.a", disconnected=True)
DISCONNECT = DisconnectEvent(ALICE, 1006, "", by_client=True, seconds=1.23456)
EVENTS = (CONNECT, JOIN, BROADCAST, CALL, LEAVE, DISCONNECT)
ASKED = (CONNECT, JOIN, BROADCAST, CALL)
TOLD = (LEAVE, DISCONNECT)


def by_hook(event: HookEvent) -> str:
    return event.hook.value


@asynccontextmanager
async def asking(
    app: Application,
    patience: float = 5.0,
    ca: Path | None = None,
    secrets: Sequence[str] = (SECRET,),
    monotonic: Callable[[], float] = time.monotonic,
) -> AsyncIterator[HttpHooks]:
    """The HTTP form, which asks `app`. `monotonic`: the clock of its breakers."""
    ids = itertools.count(1)
    hooks = HttpHooks(
        Receiver(app.url, tuple(map(parse_secret, secrets)), patience, ca),
        Bounds(concurrency=64, payload=1000, depth=10),
        HookRuntime(time.time, monotonic, lambda: f"{next(ids)}", random.uniform),
    )
    try:
        yield hooks
    finally:
        await hooks.close()


async def failure(app: Application, event: HookEvent) -> HookFailed:
    """Why `event` gets no answer."""
    async with asking(app) as hooks:
        with pytest.raises(HookFailed) as caught:
            await asyncio.wait_for(hooks.ask(event), 10)
        return caught.value


async def test_a_question_is_signed_json_with_a_trace() -> None:
    """The public library verifies it; it has an id, a time, and what the event says; the payload stays as it came."""
    async with application() as app, asking(app) as hooks:
        for event in EVENTS:
            await hooks.ask(event)
    assert app.unsigned == []
    client = {"user": "alice", "claims": {"sub": "alice", "plan": "pro"}, "connection": "c1", "wire": "v1"}
    assert {question.type: question.data for question in app.questions} == {
        "connect": client | {"origin": "https://app.example", "address": "192.0.2.7"},
        "join": client | {"room": "chat.a"},
        "broadcast": client | {"room": "chat.a", "payload": {"text": "hi"}},
        "call": client | {"method": "orders.place", "payload": [1, 2]},
        "leave": client | {"room": "chat.a", "disconnected": True},
        "disconnect": client | {"code": 1006, "reason": "", "by_client": True, "seconds": 1.235},
    }
    assert b'{"text":  "hi"}' in app.questions[2].body
    first = app.questions[0]
    assert first.json["id"] == first.headers["webhook-id"] == "ask_1"
    assert first.json["timestamp"].endswith("Z")
    assert (first.headers["traceparent"], first.headers["tracestate"]) == TRACE
    assert first.headers["content-type"] == "application/json"
    assert first.headers["user-agent"].startswith("forestay/")
    assert first.headers["accept-encoding"] == "identity"
    assert "traceparent" not in app.questions[1].headers
    assert {question.connection for question in app.questions} == {1}


@pytest.mark.parametrize("known", [SECRET, OLD_SECRET])
async def test_while_keys_are_turned_each_of_them_verifies(known: str) -> None:
    """A question has a signature by each key."""
    async with application() as app, asking(app, secrets=(SECRET, OLD_SECRET)) as hooks:
        app.secret = known
        await hooks.ask(JOIN)
    assert (len(app.questions), app.unsigned) == (1, [])


async def test_another_key_does_not_verify_a_question() -> None:
    """The library says so."""
    async with application() as app, asking(app, secrets=(OLD_SECRET,)) as hooks:
        await hooks.ask(JOIN)
    assert len(app.unsigned) == 1


async def test_binary_messages_and_events_are_told_apart() -> None:
    """A binary message has `binary`, base64, in place of `payload`; a message with an event has its name."""
    async with application() as app, asking(app) as hooks:
        await hooks.ask(BroadcastEvent(ALICE, "a", b"\0\0\0\1\xff", binary=True))
        await hooks.ask(BroadcastEvent(ALICE, "a", b"[]", event="typed"))
    binary, event = (question.data for question in app.questions)
    assert base64.b64decode(binary["binary"]) == b"\0\0\0\1\xff"
    assert "payload" not in binary
    assert (event["event"], event["payload"]) == ("typed", [])


MUTED = {"allow": False, "code": "muted", "message": "You are muted."}


@pytest.mark.parametrize(
    ("event", "answer", "means"),
    [
        *((event, {"allow": True}, (Allow, [])) for event in (CONNECT, JOIN, BROADCAST)),
        *((event, None, (Allow, [])) for event in (CONNECT, JOIN, BROADCAST)),
        *((event, MUTED, (Refuse, "muted", "You are muted.")) for event in ASKED),
        (CONNECT, {"rooms": ["a", "b.c"]}, (Allow, ["a", "b.c"])),
        (CONNECT, {"allow": True, "rooms": ["a"]}, (Allow, ["a"])),
        (BROADCAST, {"payload": {"text": "**"}}, (Replace, {"text": "**"})),
        (BROADCAST, {"allow": True, "payload": None}, (Replace, None)),
        (BROADCAST, {"binary": "AAAAAf8="}, (Replace, b"\0\0\0\1\xff")),
        (CALL, {"result": {"order": 7}}, (Result, {"order": 7})),
        (CALL, {"result": None}, (Result, None)),
        (CALL, {"allow": True}, (Result, None)),
        (CALL, None, (Result, None)),
    ],
    ids=str,
)
async def test_an_answer_is_understood(event: HookEvent, answer: object, means: tuple[object, ...]) -> None:
    """Status 204 allows; JSON allows, refuses, replaces a payload, adds rooms, or answers a call."""
    async with application(always(http(204) if answer is None else say(answer))) as app, asking(app) as hooks:
        assert parts(await hooks.ask(event)) == means


def parts(answer: HookAnswer | None) -> tuple[object, ...]:
    """The type of an answer, and what it says."""
    match answer:
        case Allow(rooms=rooms):
            return Allow, list(rooms)
        case Refuse(code=code, message=message):
            return Refuse, code, message
        case Replace(payload=payload) | Result(payload=payload):
            return type(answer), msgspec.json.decode(payload) if isinstance(payload, Raw) else payload
        case _:
            return (None,)


async def test_a_refusal_needs_no_words() -> None:
    """`{"allow": false}` refuses, with a code and a sentence of the gateway."""
    async with application(always(say({"allow": False}))) as app, asking(app) as hooks:
        assert parts(await hooks.ask(JOIN)) == (Refuse, "refused", "the application refused this")


@pytest.mark.parametrize("written", [http(204), say({"allow": False}), http(200, b"<html>", Content_Type="text/html")])
@pytest.mark.parametrize("event", TOLD, ids=by_hook)
async def test_what_is_told_needs_no_answer(event: HookEvent, written: bytes) -> None:
    """Only the status counts, and nothing that is said refuses it."""
    async with application(always(written)) as app, asking(app) as hooks:
        assert await hooks.ask(event) is None


def json_answer(body: bytes, kind: str = "application/json") -> bytes:
    return http(200, body, Content_Type=kind)


DEEP = b'{"payload":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize(
    ("event", "written", "failed", "cause"),
    [
        (JOIN, http(500), "status", "status 500 instead of 200 or 204"),
        (JOIN, http(410), "status", "status 410"),
        (JOIN, http(403, b'{"allow":false}', Content_Type="application/json"), "status", "status 403"),
        (JOIN, http(201), "status", "status 201"),
        (JOIN, b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "status", "status 101"),
        (JOIN, http(302, Location="http://127.0.0.1:1/"), "status", "redirects are not followed"),
        (JOIN, http(307, Location="/elsewhere"), "status", "redirects are not followed"),
        (JOIN, json_answer(b'{"allow":true}', "text/html"), "bad_answer", "not application/json"),
        (JOIN, json_answer(b'{"allow":true}', ""), "bad_answer", "not application/json"),
        (JOIN, json_answer(b'{"allow":true}', "application/json\r\nContent-Type: text/html"), "bad_answer", "not appl"),
        (JOIN, json_answer(b""), "bad_answer", "not JSON"),
        (JOIN, json_answer(b"{"), "bad_answer", "not JSON"),
        (JOIN, json_answer(b"null"), "bad_answer", "object"),
        (JOIN, json_answer(b"true"), "bad_answer", "object"),
        (JOIN, json_answer(b'{"allow":true,"message":"\xff"}'), "bad_answer", "not UTF-8"),
        (JOIN, json_answer(b'{"allow":true} x'), "bad_answer", "not JSON"),
        (JOIN, json_answer(b"{}"), "bad_answer", "says nothing"),
        (JOIN, json_answer(b'{"allow":"yes"}'), "bad_answer", "allow"),
        (JOIN, json_answer(b'{"allow":1}'), "bad_answer", "allow"),
        (JOIN, json_answer(b'{"allow":false,"allow":true}'), "bad_answer", "`allow` is there twice"),
        (JOIN, json_answer(b'{"allow":true,"\\u0061llow":true}'), "bad_answer", "`allow` is there twice"),
        (CONNECT, json_answer(b'{"allow":true,"rooms":[],"rooms":["a"]}'), "bad_answer", "`rooms` is there twice"),
        (BROADCAST, json_answer(b'{"payload":1,"payload":2}'), "bad_answer", "`payload` is there twice"),
        (CALL, json_answer(b'{"result":1,"result":2}'), "bad_answer", "`result` is there twice"),
        (JOIN, json_answer(b'{"permit":false}'), "bad_answer", "permit"),
        (JOIN, json_answer(b'{"rooms":["a"]}'), "bad_answer", "`rooms` does not answer join"),
        (JOIN, json_answer(b'{"payload":1}'), "bad_answer", "`payload` does not answer join"),
        (JOIN, json_answer(b'{"allow":true,"code":"a"}'), "bad_answer", "`code` does not answer join"),
        (JOIN, json_answer(b'{"allow":false,"code":"a b"}'), "bad_answer", "code of a refusal"),
        (JOIN, json_answer(b'{"allow":false,"message":""}'), "bad_answer", "message of a refusal"),
        (JOIN, json_answer(b'{"allow":false,"rooms":[]}'), "bad_answer", "beside a refusal"),
        (CONNECT, json_answer(b'{"rooms":"a"}'), "bad_answer", "rooms"),
        (CONNECT, json_answer(b'{"rooms":[1]}'), "bad_answer", "rooms"),
        (BROADCAST, json_answer(b'{"payload":1,"binary":"AAAA"}'), "bad_answer", "both"),
        (BROADCAST, json_answer(b'{"binary":"?"}'), "bad_answer", "base64"),
        (BROADCAST, json_answer(b'{"payload":[[[[[[[[[[[1]]]]]]]]]]]}'), "bad_answer", "deeper than 10"),
        (BROADCAST, json_answer(b'{"payload":' + b"[" * 20_000 + b"}"), "bad_answer", "deeper than 10"),
        (BROADCAST, json_answer(DEEP), "too_large", "more than 67536 bytes"),
        (CALL, json_answer(b'{"payload":1}'), "bad_answer", "`payload` does not answer call"),
        (JOIN, http(200, b"x", Content_Type="application/json", Content_Encoding="gzip"), "bad_answer", "compressed"),
        (JOIN, b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "bad_answer", "not HTTP"),
        (JOIN, b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", "bad_answer", "not HTTP"),
    ],
)
async def test_what_is_no_answer_is_a_failure(event: HookEvent, written: bytes, failed: str, cause: str) -> None:
    """It has a reason of the closed set, and a cause that is short."""
    async with application(always(written)) as app:
        found = await failure(app, event)
        assert len(app.questions) == 1
    assert (found.failure, cause in str(found), len(str(found)) < 300) == (failed, True, True), str(found)


def then_close(written: bytes) -> Answer:
    """Writes this to the first question, closes then, and allows what comes after it."""
    asked = 0

    async def answer(question: Any) -> bytes:
        nonlocal asked
        asked += 1
        return written if asked == 1 else http(204)

    return answer


@pytest.mark.parametrize(
    ("fields", "chunk"),
    [
        ("Content-Length: 10485760", bytes(65536)),
        ("Transfer-Encoding: chunked", b"10000\r\n" + bytes(65536) + b"\r\n"),
    ],
    ids=["length", "chunked"],
)
async def test_an_answer_of_ten_megabytes_is_not_read(fields: str, chunk: bytes) -> None:
    """Neither one that says how long it is, nor one that does not; the connection is closed."""
    written = 0
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{fields}\r\n\r\n".encode())
        try:
            for _ in range(160):
                writer.write(chunk)
                await writer.drain()
                written += len(chunk)
        except ConnectionError:
            closed.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    app = Application(hang, port=server.sockets[0].getsockname()[1])
    async with server:
        assert (await failure(app, JOIN)).failure == "too_large"
        await asyncio.wait_for(closed.wait(), 10)
    assert written < 8 * 2**20


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ("Content-Length: 100", b'{"allow":true}'),
        ("Transfer-Encoding: chunked", b'e\r\n{"allow":true}\r\n'),
        ("Transfer-Encoding: chunked", b"zz\r\n"),
    ],
)
async def test_half_a_body_is_a_failure(fields: str, body: bytes) -> None:
    """A connection that closes before the end of the body allows nothing, whatever came before."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{fields}\r\n\r\n".encode()
    found = await failure_of_bytes(head + body)
    assert (found.failure, "the answer broke off" in str(found)) == ("bad_answer", True)


async def failure_of_bytes(written: bytes, event: HookEvent = JOIN) -> HookFailed:
    """Why there is no answer where each connection gets these bytes and ends."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(written)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        return await failure(Application(hang, port=server.sockets[0].getsockname()[1]), event)


@pytest.mark.parametrize(
    ("head", "drop"),
    [(b"HTTP/1.1 200 OK\r\nX: ", b"x"), (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", b" ")],
    ids=["head", "body"],
)
async def test_the_time_is_for_all_of_an_answer(head: bytes, drop: bytes) -> None:
    """One that comes byte by byte is too late, in its head and in its body."""
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        while not writer.is_closing() and not reader.at_eof():
            writer.write(drop)
            await asyncio.sleep(0.02)
        closed.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    app = Application(hang, port=server.sockets[0].getsockname()[1])
    async with server, asking(app, patience=0.3) as hooks:
        with pytest.raises(HookFailed, match=r"no answer within 0\.3 s") as caught:
            await asyncio.wait_for(hooks.ask(JOIN), 10)
        assert caught.value.failure == "timeout"
        await asyncio.wait_for(closed.wait(), 10)


async def test_half_a_head_is_no_answer() -> None:
    """A connection that closes within the head of an answer."""
    assert (await failure_of_bytes(b"HTTP/1.1 20")).failure == "unreachable"


async def test_nothing_that_listens_is_unreachable() -> None:
    """The cause says so."""
    async with application() as app:
        port = app.port
    found = await failure(Application(hang, port=port), JOIN)
    assert (found.failure, "no connection" in str(found)) == ("unreachable", True)


async def test_a_certificate_of_a_stranger_is_not_trusted(tmp_path: Path) -> None:
    """The cause names the setting; with the authority the question is asked."""
    authority = Authority(tmp_path)
    async with application(tls=authority.tls()) as app:
        found = await failure(app, JOIN)
        assert (found.failure, "FORESTAY_HOOKS_CA" in str(found), app.questions) == ("unreachable", True, [])
        async with asking(app, ca=authority.ca) as hooks:
            assert isinstance(await hooks.ask(JOIN), Allow)


@pytest.mark.parametrize("idle", [False, True])
async def test_what_nobody_asked_for_answers_no_question(*, idle: bool) -> None:
    """A second answer, in one piece with the first one or later: the next question goes over another connection."""
    stray = say({"allow": False})
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(size)
        writer.write(http(204) + (b"" if idle else stray))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    app = Application(hang, port=server.sockets[0].getsockname()[1])
    async with server, asking(app) as hooks:
        for number in range(3):
            assert parts(await hooks.ask(JOIN)) == (Allow, [])
            assert len(writers) == number + 1
            if idle:
                writers[-1].write(stray)
                for _ in range(10):
                    # It has come already; a turn of the loop reads it.
                    await asyncio.sleep(0)
    for writer in writers:
        writer.close()


@pytest.mark.parametrize("event", [CONNECT, JOIN, BROADCAST, LEAVE, DISCONNECT], ids=by_hook)
async def test_a_question_without_an_answer_is_asked_once_more(event: HookEvent) -> None:
    """With the same id, where the connection closed before any byte of an answer: then it is as if asked once."""
    async with application(then_close(b"")) as app, asking(app) as hooks:
        await hooks.ask(event)
    first, second = app.questions
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.connection != second.connection


async def test_a_question_is_asked_twice_at_most() -> None:
    """An application that closes each connection without an answer."""
    async with application(always(b"")) as app:
        assert (await failure(app, JOIN)).failure == "unreachable"
        assert len(app.questions) == 2


async def test_a_call_is_asked_once() -> None:
    """It may have changed something before the connection broke."""
    async with application(then_close(b"")) as app:
        assert (await failure(app, CALL)).failure == "unreachable"
        assert len(app.questions) == 1


async def test_a_question_that_is_cancelled_frees_its_connection() -> None:
    """The connection to the application that hangs is closed, and other questions are answered."""
    async with application(hang) as app, asking(app) as hooks:
        waiting = asyncio.create_task(hooks.ask(JOIN))
        await app.until(lambda: bool(app.questions))
        app.answer = always(http(204))
        assert isinstance(await hooks.ask(JOIN), Allow)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert isinstance(await hooks.ask(JOIN), Allow)


def broken(hooks: HttpHooks) -> list[str]:
    """The hooks that are not asked now."""
    return [hook for hook, is_broken in hooks.broken().items() if is_broken]


class Clock:
    """Seconds that a test lets pass."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_the_breaker_opens_and_closes() -> None:
    """After failures in a row nothing is asked; after a rest one question is, and then all are again."""
    clock = Clock()
    async with application(always(http(503))) as app, asking(app, monotonic=clock) as hooks:
        with capture_logs() as lines:
            for _ in range(THRESHOLD):
                with pytest.raises(HookFailed, match="status 503"):
                    await hooks.ask(JOIN)
            with pytest.raises(HookFailed) as caught:
                await hooks.ask(JOIN)
            assert (caught.value.failure, broken(hooks), len(app.questions)) == ("circuit_open", ["join"], THRESHOLD)
            app.answer = always(http(204))
            assert isinstance(await hooks.ask(CONNECT), Allow)
            clock.now += FIRST_REST
            assert isinstance(await hooks.ask(JOIN), Allow)
            assert broken(hooks) == []
        assert isinstance(await hooks.ask(JOIN), Allow)
    assert [(line["log_level"], line["event"], line["hook"]) for line in lines] == [
        ("warning", "hook not asked for a while, because it failed again and again", "join"),
        ("info", "the application answers hooks again", "join"),
    ]
    assert lines[0]["reason"] == "status 503 instead of 200 or 204"


async def test_the_breaker_opens_where_nobody_waits_any_longer() -> None:
    """Questions that are cancelled when their time is over count; those of clients that go early do not."""
    clock, patience = Clock(), 30.0
    async with application(hang) as app, asking(app, patience, monotonic=clock) as hooks:

        async def ask_and_go_after(seconds: float) -> None:
            app.questions.clear()
            asking = [asyncio.create_task(hooks.ask(JOIN)) for _ in range(10)]
            await app.until(lambda: len(app.questions) == 10)
            clock.now += seconds
            for one in asking:
                one.cancel()
            await asyncio.wait(asking)

        await ask_and_go_after(patience / 4)
        assert broken(hooks) == []
        await ask_and_go_after(0.95 * patience)
        assert broken(hooks) == ["join"]


async def test_one_user_with_bad_questions_does_not_stop_the_others() -> None:
    """Answers that one user's questions may have broken leave the breaker closed."""
    async with application(always(http(500))) as app, asking(app) as hooks:
        for _ in range(3 * THRESHOLD):
            with pytest.raises(HookFailed, match="status 500"):
                await hooks.ask(CALL)
        assert broken(hooks) == []
