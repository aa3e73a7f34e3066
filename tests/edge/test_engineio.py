"""Engine.IO sessions against clients that vanish, flood, lie, or are slow, and against a pod that ends."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from aiohttp import ClientSession

from forestay.core.ports.observer import Observer
from forestay.core.ports.verifier import Ticket
from forestay.core.rules.access import Identity, Rights
from forestay.core.rules.lifecycle import State
from forestay.edge.engineio.application import Listener, Opening, Session
from forestay.edge.engineio.session import EngineSession
from forestay.edge.handshake.origins import Origins
from forestay.protocol.codes import ABNORMAL_CLOSURE, ENDINGS, CloseCode
from forestay.protocol.engineio.packets import Times
from forestay.protocol.websocket.writing import BINARY, frame, text_frame
from tests.conformance.engine_client import PATIENCE, Browser, code_of, hear, hear_close, moved, polled
from tests.conformance.engine_echo import PATH, Echo, EchoApplication, engine_server, quick
from tests.support.even_machine import again_if_uneven
from tests.support.gateway import frame as client_frame
from tests.support.gateway import upgrade

PATIENT = Times(30.0, 30.0)


@asynccontextmanager
async def served(
    application: EchoApplication | None = None,
    origins: Origins | None = None,
    observer: Observer | None = None,
    **changes: Any,
) -> AsyncIterator[Browser]:
    """A client of a server that echoes. `changes`: of its limits."""
    limits = quick(**({"times": PATIENT} | changes))
    async with (
        engine_server(application or EchoApplication(), limits, origins=origins, observer=observer) as server,
        ClientSession() as http,
    ):
        yield Browser(server, http)


def of(browser: Browser, sid: str) -> EngineSession:
    """The session with this id."""
    session = browser.server.engine.sessions.find(sid)
    assert session is not None
    return session


def _rest(one: socket.socket) -> bytes:
    """The last frame that comes before the end of the connection, after the handshake and the open packet."""
    one.settimeout(PATIENCE)
    received = b""
    while part := one.recv(4096):
        received += part
    return received.partition(b"}")[2]


async def ended(application: EchoApplication, number: int = 1) -> list[int]:
    """The codes with which sessions have ended, once there are `number` of them."""
    async with asyncio.timeout(PATIENCE):
        while len(application.ends) < number:
            await asyncio.sleep(0.01)
    return [ending.code for ending in application.ends]


def asked(browser: Browser, method: str, sid: str, body: bytes = b"", *, announced: int | None = None) -> socket.socket:
    """A connection on which a request of the session was sent. `announced`: the length that it says."""
    one = socket.create_connection(("127.0.0.1", browser.server.port))
    size = len(body) if announced is None else announced
    target = f"{PATH}?EIO=4&transport=polling&sid={sid}"
    one.sendall(f"{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode() + body)
    return one


async def test_a_session_ends_when_its_poll_breaks_off() -> None:
    """The client of a pending poll goes: its session is over at once, nothing of it is left, and it is no bug."""
    application = EchoApplication()
    with structlog.testing.capture_logs() as lines:
        async with served(application) as browser:
            sid = await browser.open()
            with asked(browser, "GET", sid):
                await polled(browser.server, sid)
            assert await ended(application) == [ABNORMAL_CLOSURE]
            assert len(browser.server.engine.sessions) == 0
    assert [line for line in lines if line["log_level"] == "error"] == []


@again_if_uneven(5)
async def test_a_client_that_polls_and_vanishes_is_gone_after_the_ping_timeout() -> None:
    """It takes a ping, and answers it no more. What was kept for it goes with it."""
    application = EchoApplication()
    async with served(application, times=Times(0.05, 0.1)) as browser:
        sid = await browser.open()
        assert await browser.get(sid) == (200, "2")
        application.sessions[0].write(text_frame(b"4" + bytes(10_000)))
        assert await ended(application) == [CloseCode.NO_PONG]
        assert len(browser.server.engine.sessions) == 0
        assert browser.server.engine.sessions._checks._by_subject == {}


async def test_pings_come_in_each_interval_while_none_is_answered() -> None:
    """The time to answer is longer than the interval, and no proxy in between may see silence for longer than that."""
    async with served(times=Times(0.05, 30.0)) as browser:
        ws = await browser.begin()
        assert [await hear(ws) for _ in range(4)] == ["2", "2", "2", "2"]


async def test_a_client_that_does_not_poll_is_kept_one_ping() -> None:
    """Several pings that wait for the same poll say no more than one."""
    async with served(times=Times(0.05, 30.0)) as browser:
        sid = await browser.open()
        session = of(browser, sid)
        async with asyncio.timeout(PATIENCE):
            first = session.ping_at
            while session.ping_at < first + 0.15:
                await asyncio.sleep(0.01)
        assert await browser.get(sid) == (200, "2")


class Unused(EchoApplication):
    """Connects no namespace in any session, and says how each ends."""

    def opened(self, session: Session, opening: Opening, /) -> Listener:
        self.sessions.append(session)
        listener = Echo.__new__(Echo)
        listener.session, listener._ends = session, self.ends
        return listener


class Slow:
    """An Identifier that waits for keys."""

    def __init__(self) -> None:
        self.keys = asyncio.Event()

    async def verify(self, shown: str | Ticket, /) -> Identity:
        await self.keys.wait()
        return Identity("anybody", Rights({}), expires_at=float("inf"))


async def test_a_client_that_goes_while_its_token_is_checked_keeps_no_place() -> None:
    """The place would never be given back: its session is gone already."""
    application, verifier = EchoApplication(), Slow()
    async with served(application) as browser:
        browser.server.admission._verifier = verifier
        ws = await browser.begin()
        admission = asyncio.create_task(application.sessions[0].admit("token"))
        await ws.close()
        await ended(application)
        verifier.keys.set()
        await admission
        assert (browser.server.admission.sockets, browser.server.admission._handshakes) == (0, 0)


async def test_a_session_has_one_place_for_all_its_namespaces() -> None:
    """The second token is checked too, and takes no further place. The end of the session gives it back."""
    application = EchoApplication()
    async with served(application) as browser:
        ws = await browser.begin()
        for _ in range(3):
            await application.sessions[0].admit("token")
        assert browser.server.admission.sockets == 1
        await ws.close()
        await ended(application)
        assert browser.server.admission.sockets == 0


@pytest.mark.parametrize("transport", ["polling", "websocket"])
@again_if_uneven(5)
async def test_a_session_without_a_namespace_ends(transport: str) -> None:
    """It is a handshake under way until then, and has a short time."""
    application = Unused()
    async with served(application, serve_within=0.1) as browser:
        if transport == "polling":
            await browser.open()
        else:
            ws = await browser.begin()
        assert browser.server.admission._handshakes == 1
        if transport == "websocket":
            assert await hear_close(ws) == CloseCode.NO_PONG
        await ended(application)
        assert browser.server.admission._handshakes == 0


async def test_a_session_whose_last_namespace_has_left_has_the_same_time() -> None:
    """A session that is served lives on; when it is no longer served, its time begins again."""
    application = EchoApplication()
    async with served(application, serve_within=0.05) as browser:
        ws = await browser.begin()
        await asyncio.sleep(0.1)
        await ws.send_str("4there")
        assert await hear(ws) == "4there"
        application.sessions[0].served(served=False)
        assert await hear_close(ws) == CloseCode.NO_PONG


async def test_a_flood_of_opened_sessions_is_bounded() -> None:
    """The oldest sessions without a namespace go for new ones, and the rest of the handshakes stay free."""
    application = Unused()
    async with served(application, most_unused=5) as browser:
        sids = [await browser.open() for _ in range(20)]
        assert await ended(application, 15) == [CloseCode.TRY_AGAIN_LATER] * 15
        assert browser.server.admission._handshakes == 5
        assert code_of(await browser.get(sids[0])) == (400, 1)
        application.sessions[-1].served(served=True)
        for _ in range(5):
            await browser.open()
        assert len(browser.server.engine.sessions) == 6


async def test_a_stranger_that_answers_nothing_holds_no_socket() -> None:
    """A WebSocket without a namespace that has to go is closed at once, whether its client answers or not."""
    application = Unused()
    async with served(application, most_unused=1, close_timeout=30.0) as browser:
        with socket.create_connection(("127.0.0.1", browser.server.port)) as silent:
            silent.sendall(upgrade(None, f"{PATH}?EIO=4&transport=websocket"))
            async with asyncio.timeout(PATIENCE):
                while not application.sessions:
                    await asyncio.sleep(0.01)
            await browser.open()
            assert await ended(application) == [ABNORMAL_CLOSURE]
            assert (await asyncio.to_thread(_rest, silent)).startswith(b"\x88")


async def test_a_pod_that_drains_opens_no_session() -> None:
    """It says so before the first packet, and its sessions go on."""
    async with served() as browser:
        sid = await browser.open()
        browser.server.lifecycle.move(State.DRAINING)
        assert (await browser.get())[0] == 503
        assert await browser.handshake({"EIO": "4", "transport": "websocket"}) == 503
        assert await browser.post(sid, "4hello") == (200, "ok")
        assert await browser.get(sid) == (200, "4hello")


async def test_a_foreign_page_gets_nothing() -> None:
    """A page that may not connect can open no session, and use none. It may read why."""
    async with served(origins=Origins(["https://good.example"])) as browser:
        foreign = {"Origin": "https://evil.example"}
        query = {"EIO": "4", "transport": "polling"}
        assert code_of(await browser.request("GET", query, headers=foreign)) == (403, 4)
        sid = await browser.open()
        assert code_of(await browser.request("GET", query | {"sid": sid}, headers=foreign)) == (403, 4)
        assert code_of(await browser.request("POST", query | {"sid": sid}, "4a", foreign)) == (403, 4)
        assert of(browser, sid).ending is None


@pytest.mark.parametrize("origin", ["https://good.example", "https://evil.example", None])
async def test_a_page_can_read_each_answer(origin: str | None) -> None:
    """Answers name the page's origin. Only to pages that may connect they allow credentials."""
    async with served(origins=Origins(["https://good.example"])) as browser:
        sid = await browser.open()
        await browser.post(sid, "4hello")
        url = f"http://127.0.0.1:{browser.server.port}{PATH}"
        headers = {} if origin is None else {"Origin": origin}
        for method, query, body in (
            ("GET", {"EIO": "4", "transport": "polling"}, ""),
            ("GET", {"EIO": "4", "transport": "polling", "sid": sid}, ""),
            ("POST", {"EIO": "4", "transport": "polling", "sid": sid}, "4a"),
            ("OPTIONS", {"EIO": "4", "transport": "polling"}, ""),
            ("GET", {"EIO": "4", "transport": "polling", "sid": "unknown"}, ""),
            ("POST", {"EIO": "4", "transport": "polling", "sid": sid}, "nonsense"),
            ("GET", {"EIO": "4", "transport": "polling"}, "full"),
        ):
            if body == "full":
                browser.server.lifecycle.move(State.DRAINING)
            async with browser.http.request(method, url, params=query, data=body, headers=headers) as answer:
                assert answer.headers.get("Access-Control-Allow-Origin") == origin
                allowed = answer.headers.get("Access-Control-Allow-Credentials")
                assert allowed == ("true" if origin == "https://good.example" else None)
                assert answer.headers["Cache-Control"] == "no-store"


async def test_a_preflight_allows_what_clients_send() -> None:
    """POST, and the headers that the page asks for: clients may be given headers of their own."""
    async with served() as browser:
        url = f"http://127.0.0.1:{browser.server.port}{PATH}"
        headers = {"Origin": "https://a.example", "Access-Control-Request-Headers": "content-type,x-mine"}
        async with browser.http.options(url, headers=headers) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Methods"] == "GET, POST"
            assert answer.headers["Access-Control-Allow-Headers"] == "content-type,x-mine"


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        ("4" + "a" * 2000, {}, 413, "more than 1000 bytes"),
        (b"\x04\x01\x02", {"Content-Type": "application/octet-stream"}, 400, "POST is binary"),
        (b"4\xff", {}, 400, "POST is binary"),
        ("bno base64", {}, 400, "base64"),
        ("", {}, 400, "known type"),
        ("4a\x1e\x1e4b", {}, 400, "known type"),
        ("2", {}, 400, "pings"),
        ("7", {}, 400, "known type"),
    ],
    ids=["large", "octets", "bytes", "base64", "empty", "gap", "ping", "type"],
)
async def test_a_post_that_breaks_the_rules_ends_its_session(
    body: str | bytes, headers: dict[str, str], status: int, words: str
) -> None:
    """It is answered with its status and the reason, the session is over, and another session notices nothing."""
    application = EchoApplication()
    async with served(application, message_bytes=1000) as browser:
        other, sid = await browser.open(), await browser.open()
        answer, text = await browser.post(sid, body, **headers)
        assert (answer, words in json.loads(text)["detail"]) == (status, True), text
        assert await ended(application) == [CloseCode.PROTOCOL_ERROR]
        assert await browser.post(other, "4hello") == (200, "ok")
        assert await browser.get(other) == (200, "4hello")


async def test_a_body_that_does_not_come_is_answered_408() -> None:
    """A POST whose body stops half-way ends its session after the time for a message."""
    application = EchoApplication()
    async with served(application, message_timeout=0.1) as browser:
        sid = await browser.open()
        with asked(browser, "POST", sid, b"4hal", announced=100) as slow:
            assert await ended(application) == [CloseCode.PROTOCOL_ERROR]
            slow.settimeout(PATIENCE)
            assert (await asyncio.to_thread(slow.recv, 100)).startswith(b"HTTP/1.1 408")


async def test_two_posts_at_once_end_the_session() -> None:
    """The packets of a session have one order, so it has one POST at a time."""
    application = EchoApplication()
    async with served(application) as browser:
        sid = await browser.open()
        with asked(browser, "POST", sid, b"4hal", announced=100):
            async with asyncio.timeout(PATIENCE):
                while not of(browser, sid).carrier.posting:  # type: ignore[attr-defined]
                    await asyncio.sleep(0)
            assert (await browser.post(sid, "4hello"))[0] == 400
            assert await ended(application) == [CloseCode.PROTOCOL_ERROR]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"EIO": "3", "transport": "polling"}, 5),
        ({"EIO": "4", "transport": "polling", "j": "0"}, 3),
        ({"EIO": "4", "transport": "webtransport"}, 0),
        ({"EIO": "4", "transport": "websocket"}, 3),
        ({"EIO": "4", "transport": "polling", "sid": "unknown"}, 1),
    ],
    ids=["version", "jsonp", "webtransport", "no upgrade", "unknown"],
)
async def test_a_request_that_cannot_be_served_says_why(query: dict[str, str], code: int) -> None:
    """The body has the code that clients know, and a sentence for a person."""
    async with served() as browser:
        status, text = await browser.request("GET", query)
        assert (status, json.loads(text)["code"]) == (400, code)
        assert len(json.loads(text)["detail"]) > 20


@pytest.mark.parametrize(("offered", "other"), [("websocket", "polling"), ("polling", "websocket")])
async def test_only_the_transports_of_the_settings_are_served(offered: str, other: str) -> None:
    """Another one is refused with code 0, and no upgrade to it is offered."""
    async with served(transports=(offered,)) as browser:
        if offered == "polling":
            _, text = await browser.get()
            assert json.loads(text[1:])["upgrades"] == []
            assert await browser.handshake({"EIO": "4", "transport": "websocket"}) == 400
        else:
            await browser.begin()
            assert code_of(await browser.get()) == (400, 0)


async def test_packets_that_are_no_messages_are_bounded() -> None:
    """No rate of messages counts pongs, so a session that sends many of them ends."""
    application = EchoApplication()
    async with served(application) as browser:
        sid = await browser.open()
        assert (await browser.post(sid, "\x1e".join("3" * 100)))[0] == 400
        ws = await browser.begin()
        for _ in range(100):
            await ws.ping()
        assert await hear_close(ws) == CloseCode.RATE_LIMITED
        assert (await ended(application, 2))[0] == CloseCode.RATE_LIMITED


async def test_the_packets_of_one_post_give_others_their_turn() -> None:
    """While a POST of many packets is taken, the loop runs other things many times."""
    async with served() as browser:
        sid = await browser.open()
        turns, over = 0, False

        async def count() -> None:
            nonlocal turns
            while not over:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        session = of(browser, sid)
        status = await session.carrier._take("\x1e".join(["4a"] * 6400).encode())  # type: ignore[attr-defined]
        over = True
        await counting
        assert status is None
        assert turns >= 100


async def test_a_poll_during_an_upgrade_ends_by_itself() -> None:
    """A client that polls again before it upgrades gets a noop after a moment, as often as it does so."""
    async with served() as browser:
        sid = await browser.open()
        ws = await browser.socket(sid)
        await ws.send_str("2probe")
        assert await hear(ws) == "3probe"
        assert [await browser.get(sid) for _ in range(3)] == [(200, "6")] * 3
        await ws.send_str("5")
        await ws.send_str("4hello")
        assert await hear(ws) == "4hello"


async def test_what_was_kept_for_a_poll_goes_over_the_websocket() -> None:
    """Nothing is lost or turned round by an upgrade."""
    application = EchoApplication()
    async with served(application) as browser:
        sid = await browser.open()
        ws = await browser.socket(sid)
        await ws.send_str("2probe")
        assert await hear(ws) == "3probe"
        application.sessions[0].write(text_frame(b"4one") + frame(BINARY, b"two"))
        application.sessions[0].write(text_frame(b"4three"))
        await ws.send_str("5")
        await ws.send_str("4four")
        assert [await hear(ws) for _ in range(4)] == ["4one", b"two", "4three", "4four"]


@pytest.mark.parametrize("packet", ["5", "4hello", "2", "nonsense"])
async def test_a_failed_upgrade_leaves_the_session_polling(packet: str) -> None:
    """A WebSocket that sends anything but a probe is closed, and the session goes on."""
    async with served() as browser:
        sid = await browser.open()
        ws = await browser.socket(sid)
        await ws.send_str(packet)
        assert await hear_close(ws) == CloseCode.POLICY_VIOLATION
        assert await browser.post(sid, "4hello") == (200, "ok")
        assert await browser.get(sid) == (200, "4hello")


async def test_a_session_can_try_to_upgrade_again() -> None:
    """After a WebSocket that broke before the upgrade another one succeeds."""
    async with served() as browser:
        sid = await browser.open()
        first = await browser.socket(sid)
        await first.send_str("2probe")
        assert await hear(first) == "3probe"
        await first.close()
        async with asyncio.timeout(PATIENCE):
            while of(browser, sid).upgrading:
                await asyncio.sleep(0.01)
        await moved(browser, sid)


async def test_only_one_websocket_upgrades_at_a_time() -> None:
    """The end of a WebSocket that failed to upgrade does not let a third one in beside the second."""
    async with served() as browser:
        sid = await browser.open()
        target = f"{PATH}?EIO=4&transport=websocket&sid={sid}"
        reader, writer = await asyncio.open_connection("127.0.0.1", browser.server.port)
        writer.write(upgrade(None, target) + client_frame(1, b"nonsense"))
        while b"did not move" not in await reader.read(4096):
            pass
        second = await browser.socket(sid)
        await second.send_str("2probe")
        assert await hear(second) == "3probe"
        writer.write(client_frame(8, b"\x03\xe8"))
        assert await reader.read(4096) == b""
        third = await browser.socket(sid)
        assert await hear_close(third) == CloseCode.POLICY_VIOLATION
        await second.send_str("5")
        await second.send_str("4hello")
        assert await hear(second) == "4hello"
        writer.close()


class Delayed(EchoApplication):
    """Takes the message `slow` only once it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.taking = asyncio.Event()
        self.let_go = asyncio.Event()

    def opened(self, session: Session, opening: Opening, /) -> Listener:
        listener = super().opened(session, opening)
        echo = listener.text

        async def wait(data: str) -> None:
            self.taking.set()
            await self.let_go.wait()
            echo(data)

        listener.text = lambda data: wait(data) if data == "slow" else echo(data)  # type: ignore[method-assign]
        return listener


async def test_the_packets_of_a_post_come_before_those_of_the_websocket() -> None:
    """A client that upgrades while a POST of it is under way is heard in order, one packet after the other."""
    application = Delayed()
    async with served(application) as browser:
        sid = await browser.open()
        ws = await browser.socket(sid)
        await ws.send_str("2probe")
        assert await hear(ws) == "3probe"
        posting = asyncio.create_task(browser.post(sid, "4slow\x1e4two"))
        await application.taking.wait()
        await ws.send_str("5")
        await ws.send_str("4three")
        await ws.send_bytes(b"four")
        async with asyncio.timeout(PATIENCE):
            while of(browser, sid).upgrading:
                await asyncio.sleep(0.01)
        application.let_go.set()
        assert [await hear(ws) for _ in range(4)] == ["4slow", "4two", "4three", b"four"]
        assert await posting == (200, "ok")


async def test_an_upgrade_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A WebSocket that does not complete its upgrade is closed, and the session goes on polling."""
    monkeypatch.setattr("forestay.edge.engineio.socket.UPGRADE_WITHIN", 0.2)
    async with served() as browser:
        sid = await browser.open()
        ws = await browser.socket(sid)
        await ws.send_str("2probe")
        assert await hear_close(ws) == CloseCode.POLICY_VIOLATION
        assert await browser.post(sid, "4hello") == (200, "ok")
        assert await browser.get(sid) == (200, "4hello")


async def test_what_waits_for_a_poll_is_buffered() -> None:
    """A client that does not poll is a slow reader: what waits for it counts, and its packets are not read."""
    application = EchoApplication()
    async with served(application) as browser:
        sid = await browser.open()
        session = application.sessions[0]
        session.write(text_frame(b"4" + bytes(1000)))
        assert session.buffered() > 1000
        session.hold_reading()
        post = asyncio.create_task(browser.post(sid, "4one\x1e4two"))
        async with asyncio.timeout(PATIENCE):
            while session.buffered() < 1010:
                await asyncio.sleep(0.01)
        assert not post.done()
        _, text = await browser.get(sid)
        assert text.endswith("\x1e4one")
        assert await post == (200, "ok")
        assert await browser.get(sid) == (200, "4two")
        assert session.buffered() == 0


async def test_the_stock_python_client_gets_sixteen_packets_at_once() -> None:
    """It would take a larger answer for a broken one. The rest comes with the next poll, in order."""
    application = EchoApplication()
    async with served(application) as browser:
        query = {"EIO": "4", "transport": "polling"}
        _, text = await browser.request("GET", query, headers={"User-Agent": "python-requests/2.32"})
        sid = json.loads(text[1:])["sid"]
        application.sessions[0].write(b"".join(text_frame(f"4{number}".encode()) for number in range(20)))
        application.sessions[0].write(text_frame(b"4last"))
        polls = [await browser.get(sid) for _ in range(2)]
        assert [len(text.split("\x1e")) for _, text in polls] == [16, 5]
        assert [packet for _, text in polls for packet in text.split("\x1e")] == [
            *(f"4{n}" for n in range(20)),
            "4last",
        ]


async def test_an_end_answers_the_pending_poll_with_400() -> None:
    """No close packet: some clients would never come back after one."""
    application = EchoApplication()
    async with served(application) as browser:
        sid = await browser.open()
        poll = asyncio.create_task(browser.get(sid))
        await polled(browser.server, sid)
        application.sessions[0].end(ENDINGS[CloseCode.GOING_AWAY])
        assert code_of(await poll) == (400, 3)
        assert await ended(application) == [CloseCode.GOING_AWAY]


async def test_last_words_wait_for_one_more_poll() -> None:
    """What was written before the end comes with the next poll. The one after that finds no session."""
    application = EchoApplication()
    async with served(application) as browser:
        sid = await browser.open()
        application.sessions[0].write(text_frame(b"41"))
        application.sessions[0].end(ENDINGS[CloseCode.REVOKED])
        assert (await browser.post(sid, "4hello"))[0] == 400
        assert await browser.get(sid) == (200, "41")
        assert code_of(await browser.get(sid)) == (400, 1)
        assert await ended(application) == [CloseCode.REVOKED]


async def test_last_words_wait_for_the_close_timeout_only() -> None:
    """A client that does not take them keeps nothing on the pod."""
    application = EchoApplication()
    async with served(application, close_timeout=0.1) as browser:
        await browser.open()
        application.sessions[0].write(text_frame(b"41"))
        application.sessions[0].end(ENDINGS[CloseCode.REVOKED])
        assert await ended(application) == [ABNORMAL_CLOSURE]
        assert len(browser.server.engine.sessions) == 0


@pytest.mark.parametrize(("cut", "code"), [(False, CloseCode.GOING_AWAY), (True, ABNORMAL_CLOSURE)])
async def test_a_websocket_ends_with_a_close_frame_or_is_cut(*, cut: bool, code: int) -> None:
    """What was written comes before the end, in both ways."""
    application = EchoApplication()
    async with served(application) as browser:
        ws = await browser.begin()
        application.sessions[0].write(text_frame(b"4last"))
        application.sessions[0].end(ENDINGS[CloseCode.GOING_AWAY], cut=cut)
        assert await hear(ws) == "4last"
        assert await hear_close(ws) == code
        await ended(application)


async def test_a_websocket_keeps_the_limits_of_all_websockets() -> None:
    """A message that is too large ends it with 1009, a frame without a mask with 1002, and the log says why."""
    application = EchoApplication()
    with structlog.testing.capture_logs() as lines:
        await _break_both(application)
    reasons = [line["reason"] for line in lines if "broke a rule" in line["event"]]
    assert reasons == ["message too big", "not the WebSocket protocol"]


async def _break_both(application: EchoApplication) -> None:
    async with served(application, message_bytes=1000) as browser:
        ws = await browser.begin()
        await ws.send_str("4" + "a" * 1001)
        assert await hear_close(ws) == CloseCode.MESSAGE_TOO_BIG
        ws = await browser.begin()
        assert ws._writer is not None
        ws._writer.transport.write(b"\x81\x024a")
        assert await hear_close(ws) == CloseCode.PROTOCOL_ERROR
        assert await ended(application, 2) == [ABNORMAL_CLOSURE] * 2


class Buggy(EchoApplication):
    """Breaks at each message."""

    def opened(self, session: Session, opening: Opening, /) -> Listener:
        listener = super().opened(session, opening)
        listener.text = _break  # type: ignore[method-assign]
        return listener


def _break(data: str, /) -> None:
    raise RuntimeError("a bug")


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_a_bug_ends_one_session(transport: str) -> None:
    """The client gets no detail, and the other sessions go on."""
    application = Buggy()
    async with served(application) as browser:
        other = await browser.open()
        if transport == "polling":
            sid = await browser.open()
            assert (await browser.post(sid, "4hello"))[0] == 500
        else:
            ws = await browser.begin()
            await ws.send_str("4hello")
            assert await hear_close(ws) == CloseCode.INTERNAL_ERROR
        await ended(application)
        assert of(browser, other).ending is None


class Counting(Observer):
    """Counts requests for unknown sessions."""

    def __init__(self) -> None:
        self.unknown = 0

    def unknown_session(self) -> None:
        self.unknown += 1


async def test_a_poll_of_another_pod_is_counted_and_logged_without_the_id() -> None:
    """The log says once a while that routing is not sticky, and no id of a session is in it."""
    counting = Counting()
    with structlog.testing.capture_logs() as lines:
        async with served(observer=counting) as browser, served() as elsewhere:
            sid = await elsewhere.open()
            for _ in range(5):
                assert code_of(await browser.get(sid)) == (400, 1)
            await elsewhere.post(sid, "nonsense")
    assert counting.unknown == 5
    hints = [line for line in lines if "not on this pod" in str(line["event"])]
    assert len(hints) == 1
    assert "sticky" not in sid
    assert "route polling clients" in str(hints[0])
    assert sid not in str(lines)


async def test_a_session_is_its_own_when_the_pod_stops() -> None:
    """A pod that stops ends its sessions: a pending poll gets 400, a WebSocket 1001."""
    application = EchoApplication()
    async with served(application) as browser:
        sid = await browser.open()
        poll = asyncio.create_task(browser.get(sid))
        await polled(browser.server, sid)
        ws = await browser.begin()
        await browser.server.engine.sessions.close()
        assert (await poll)[0] == 400
        assert await hear_close(ws) == CloseCode.GOING_AWAY
