"""The receiver hands each message on in order and once, whatever the client and the core do meanwhile."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from forestay.edge.websocket.open_sockets import MessageLimits, OpenSockets
from forestay.edge.websocket.receiver import Receiver
from forestay.edge.websocket.upgrade import Released
from forestay.edge.websocket.websocket import ClientSocket, SocketLimits
from forestay.protocol.codes import Ending
from tests.support.gateway import Client as Stranger
from tests.support.gateway import frame, gateway, token, upgrade

TEXT, CLOSE, PING = 1, 8, 9


class Wire:
    """Stands for asyncio's transport: keeps what is written, and whether the receiver reads."""

    def __init__(self) -> None:
        self.written = b""
        self.reads = True
        self.closing = False
        self.protocol: Receiver | None = None

    def set_protocol(self, protocol: Receiver) -> None:
        self.protocol = protocol

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        """The test calls `pause_writing` itself."""

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closing

    def is_reading(self) -> bool:
        return self.reads

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """The client may hang up now."""

    def close(self) -> None:
        self.closing = True

    abort = close


class Recorder:
    """The Client: keeps what it is told. What a text returns is for the test to choose."""

    name = "recorder"
    ended = False

    def __init__(self, close: Callable[[Ending], None]) -> None:
        self.close = close
        self.heard: list[object] = []
        self.works: dict[bytes, Callable[[], Awaitable[None] | None]] = {}

    def text(self, data: bytes) -> Awaitable[None] | None:
        self.heard.append(data)
        return self.works.get(data, lambda: None)()

    def binary(self, data: bytes) -> None:
        self.heard.append(data)

    def ping(self, data: bytes) -> None:
        self.heard.append(("ping", data))

    def pong(self) -> None:
        self.heard.append("pong")

    def end(self, ending: Ending) -> None:
        self.heard.append(ending.code)
        self.close(ending)

    def lost(self, ending: Ending) -> None:
        self.heard.append(f"lost {ending.code}")


class Line:
    """A receiver between a wire and a recorder."""

    def __init__(self, received: bytes = b"") -> None:
        self.gone = 0
        self.sockets = OpenSockets(MessageLimits(60, 100), self._count)
        self.wire = Wire()
        transport = cast(asyncio.Transport, self.wire)
        self.socket = ClientSocket(transport, 0.1)
        self.client = Recorder(self.socket.close)
        self.receiver = Receiver(
            Released(transport, received, self.sockets), self.socket, SocketLimits(65536, 1000, 0.1)
        )

    def _count(self) -> None:
        self.gone += 1

    def send(self, *texts: bytes) -> None:
        self.receiver.data_received(b"".join(frame(TEXT, text) for text in texts))


async def test_what_comes_before_the_beginning_waits() -> None:
    """Bytes behind the request, and bytes that come while the connection is registered, are read in their order."""
    line = Line(frame(TEXT, b"1")[:5])
    line.receiver.data_received(frame(TEXT, b"1")[5:] + frame(TEXT, b"2"))
    assert line.client.heard == []
    line.receiver.begin(line.client)
    line.send(b"3")
    assert line.client.heard == [b"1", b"2", b"3"]


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_message_that_has_to_wait_holds_those_behind_it(at_once: bool) -> None:  # noqa: FBT001 - a parameter
    """They are kept, a part of them in the kernel where they are many, and follow when it is done."""
    line, done = Line(), asyncio.Event()
    line.client.works[b"slow"] = done.wait  # type: ignore[assignment]  # it returns True
    line.receiver.begin(line.client)
    if at_once:
        line.send(b"slow", b"2", b"3")
    else:
        line.send(b"slow")
        line.send(b"2", b"3")
    await asyncio.sleep(0)
    assert line.client.heard == [b"slow"]
    line.receiver.data_received(frame(TEXT, b"x" * 65535))
    line.receiver.data_received(frame(TEXT, b"y" * 9))
    assert not line.wire.is_reading()
    done.set()
    while len(line.client.heard) < 5:
        await asyncio.sleep(0)
    assert line.client.heard[1:3] == [b"2", b"3"]
    assert line.client.heard[4] == b"y" * 9
    assert line.wire.is_reading()
    line.send(b"4")
    assert line.client.heard[-1] == b"4"


async def test_a_client_that_vanishes_while_it_waits_is_carried_out_and_told_once() -> None:
    """What had come before the connection broke counts, and only then the client is lost."""
    line, done = Line(), asyncio.Event()
    line.client.works[b"slow"] = done.wait  # type: ignore[assignment]
    line.receiver.begin(line.client)
    line.send(b"slow", b"2")
    await asyncio.sleep(0)
    line.receiver.connection_lost(None)
    assert line.client.heard == [b"slow"]
    done.set()
    while len(line.client.heard) < 3:
        await asyncio.sleep(0)
    assert line.client.heard == [b"slow", b"2", "lost 1006"]
    assert line.gone == 1
    await line.sockets.close(0)
    assert line.client.heard[3:] == []


async def test_a_client_that_is_lost_before_the_beginning_is_told() -> None:
    """The connection broke while the registry was asked."""
    line = Line(frame(TEXT, b"1"))
    line.receiver.connection_lost(ConnectionResetError())
    line.receiver.begin(line.client)
    assert line.client.heard == [b"1", "lost 1006"]


async def test_a_client_that_takes_nothing_is_not_read() -> None:
    """It is read on when the transport has written enough."""
    line = Line()
    line.receiver.begin(line.client)
    line.receiver.pause_writing()
    line.socket.hold_reading()
    line.send(b"1")
    line.send(b"2", b"3")
    assert line.client.heard == [b"1"]
    line.receiver.resume_writing()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert line.client.heard == [b"1", b"2", b"3"]
    line.receiver.pause_writing()
    line.socket.hold_reading()
    line.send(b"4", b"5")
    line.receiver.connection_lost(None)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert line.client.heard[3:] == [b"4", b"5", "lost 1006"]


async def test_a_bug_behind_a_wait_ends_the_client() -> None:
    """It hears 1011, and nothing more is taken from it."""
    line = Line()

    async def broken() -> None:
        raise ZeroDivisionError

    line.client.works[b"bug"] = broken
    line.receiver.begin(line.client)
    line.send(b"bug", b"2")
    while 1011 not in line.client.heard:
        await asyncio.sleep(0)
    line.send(b"3")
    line.receiver.connection_lost(None)
    assert line.client.heard == [b"bug", 1011, "lost 1006"]


async def test_a_port_that_closes_ends_what_is_open() -> None:
    """Also a client that waits for an answer. Each is told once."""
    line = Line()

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            line.client.heard.append("cancelled")
            raise

    line.client.works[b"slow"] = slow
    line.receiver.begin(line.client)
    line.send(b"slow", b"2")
    await asyncio.sleep(0)
    await line.sockets.close(0)
    assert line.wire.closing
    line.receiver.connection_lost(None)
    await asyncio.sleep(0)
    assert line.client.heard == [b"slow", "lost 1006", "cancelled"]
    assert line.gone == 1


async def test_nothing_is_taken_behind_a_close_frame() -> None:
    """The client's close is answered, and what follows it in the same packet is dropped."""
    line = Line()
    line.receiver.begin(line.client)
    line.receiver.data_received(frame(TEXT, b"1") + frame(CLOSE, b"\x0f\xa0") + frame(TEXT, b"2") + frame(PING, b""))
    line.send(b"3")
    line.receiver.connection_lost(None)
    assert line.client.heard == [b"1", 4000, "lost 4000"]
    assert line.wire.written == b"\x88\x05\x0f\xa0bye"
    assert line.wire.closing


@pytest.mark.parametrize("waits", ["for nothing", "for its answer", "for the beginning", "for a turn"])
async def test_a_client_that_closes_its_side_is_carried_out_first(waits: str) -> None:
    """All that it sent is handed on. Then it is ended, and the connection is closed without a close frame."""
    line, done = Line(), asyncio.Event()
    line.client.works[b"slow"] = done.wait  # type: ignore[assignment]
    if waits != "for the beginning":
        line.receiver.begin(line.client)
    texts = [b"slow" if waits == "for its answer" else b"1", *[b"2"] * (100 if waits == "for a turn" else 1)]
    line.send(*texts)
    assert line.receiver.eof_received()
    if waits == "for the beginning":
        assert line.client.heard == []
        line.receiver.begin(line.client)
    elif waits == "for its answer":
        assert not line.wire.closing
        done.set()
    while not line.wire.closing:
        await asyncio.sleep(0)
    line.receiver.connection_lost(None)
    assert line.client.heard == [*texts, 1006, "lost 1006"]
    assert (line.wire.written, line.gone) == (b"", 1)


@pytest.mark.parametrize("before", [True, False])
async def test_a_client_that_is_discarded_and_closes_its_side_is_hung_up_on(*, before: bool) -> None:
    """Nothing more can come of it, so nobody waits for the close timeout."""
    line = Line()
    if before:
        line.receiver.eof_received()
    line.receiver.discard()
    assert line.wire.closing is before
    line.receiver.eof_received()
    assert line.wire.closing


async def test_a_client_may_speak_in_the_packet_of_its_request() -> None:
    """It does not wait for the answer to the handshake, and nothing of what it said is lost."""
    async with gateway() as pod:
        ask = [frame(TEXT, json.dumps({"type": "ping", "id": str(at)}).encode()) for at in range(3)]
        client = await Stranger.request(pod.port, upgrade(token()) + b"".join(ask))
        assert client.status == 101
        await client.hear("welcome")
        assert [(await client.hear("pong"))["id"] for _ in range(3)] == ["0", "1", "2"]
