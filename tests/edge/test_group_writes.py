"""Writes that are made beside the loop reach each client whole and in order, and nobody else."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from forestay.core.fanout.rooms import LARGE_ROOM
from forestay.core.ports.group_writer import Group
from forestay.edge.websocket import group_writes
from forestay.edge.websocket.group_writes import GroupWrites
from forestay.edge.websocket.native import NativeSocket
from forestay.protocol.codes import ENDINGS, CloseCode
from forestay.protocol.websocket.writing import close_frame
from tests.support.core import V1, RecordingTransport
from tests.support.gateway import Client, Gateway, frame, gateway, token, upgrade

speedups = pytest.importorskip("forestay.speedups", reason="forestay.speedups is not compiled here")

CLIENTS = 80


class Server(asyncio.Protocol):
    """The server's end of a connection."""

    def __init__(self, connected: "Callable[[Server], None]") -> None:
        self.connected = connected
        self.descriptor_at_the_end = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.socket = NativeSocket(cast(asyncio.Transport, transport), V1, 5.0)
        # The kernel does not take more than this.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        # It is kept, because the transport cannot say it once the connection is lost.
        self.descriptor = transport.get_extra_info("socket").fileno()
        self.connected(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.socket.lost()
        os.fstat(self.descriptor)
        self.descriptor_at_the_end = self.descriptor


class LateThread:
    """A WriterThread that gets its writes when the test says so."""

    def __init__(self) -> None:
        self._thread = speedups.WriterThread()
        self._late: list[Any] | None = None
        self.take_back, self.fileno, self.stop = self._thread.take_back, self._thread.fileno, self._thread.stop

    def hand_in(self, writes: Any) -> None:
        if self._late is None:
            self._thread.hand_in(writes)
        else:
            self._late.append(writes)

    def wait(self) -> None:
        """Let the thread do nothing before `go_on`."""
        self._late = []

    def go_on(self) -> None:
        late, self._late = self._late or [], None
        for writes in late:
            self._thread.hand_in(writes)


@dataclass
class Pairs:
    """Connected pairs of sockets, and a writer for them."""

    servers: list[Server] = field(default_factory=list)
    clients: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.thread = LateThread()
        self.writer = GroupWrites(self.thread)

    def group(self, data: Callable[[int], bytes]) -> Group:
        """A write of `data` of the number of each client."""
        sockets = [server.socket for server in self.servers]
        return Group([*sockets], [data(number) for number in range(len(sockets))])

    async def add(self) -> None:
        """Connect one more client."""
        loop = asyncio.get_running_loop()
        connected: asyncio.Future[Server] = loop.create_future()
        listener = await loop.create_server(lambda: Server(connected.set_result), "127.0.0.1", 0)
        client = socket.socket()
        client.setblocking(False)  # noqa: FBT003
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        await loop.sock_connect(client, listener.sockets[0].getsockname())
        self.clients.append(client)
        self.servers.append(await connected)
        listener.close()

    async def write(self, group: Group) -> Sequence[int]:
        """Write `group`, and wait until it is written. Returns the places that are left to the caller."""
        written: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        left = self.writer.write(group, written.set_result)
        await written
        return left


@asynccontextmanager
async def pairs(count: int = CLIENTS) -> AsyncIterator[Pairs]:
    """Some pairs. All are closed at the end."""
    found = Pairs()
    for _ in range(count):
        await found.add()
    yield found
    for server in found.servers:
        server.socket.abort()
    while any(server.descriptor_at_the_end < 0 for server in found.servers):
        await asyncio.sleep(0)
    for client in found.clients:
        client.close()
    found.writer.close()


async def read(client: socket.socket, size: int) -> bytes:
    """What the client gets: `size` bytes, or less where the connection ends before."""
    data = b""
    async with asyncio.timeout(10):
        while len(data) < size:
            more = await asyncio.get_running_loop().sock_recv(client, size - len(data))
            if not more:
                break
            data += more
    return data


async def test_what_is_written_meanwhile_comes_after_it() -> None:
    """Frames and the close frame wait for the write under way, and are not lost by the close."""
    async with pairs() as found:
        found.thread.wait()
        writing = asyncio.create_task(found.write(found.group(lambda number: b"%d first," % number)))
        await asyncio.sleep(0)
        ending = ENDINGS[CloseCode.GOING_AWAY]
        for server in found.servers:
            server.socket.write(b"second")
            assert server.socket.buffered() > len(b"second")
            server.socket.close(ending)
            server.socket.hang_up()
        found.thread.go_on()
        await writing
        for number, client in enumerate(found.clients):
            assert await read(client, 1000) == b"%d first,second" % number + close_frame(ending)


async def test_what_the_kernel_does_not_take_is_written_by_the_transport() -> None:
    """A client that reads late gets all of it, and what came after."""
    async with pairs() as found:
        size = 1_000_000
        await found.write(found.group(lambda number: b"%2d" % number * (size // 2)))
        for server in found.servers:
            assert 0 < server.socket.buffered() < size
            server.socket.write(b"end")
        for number, client in enumerate(found.clients):
            assert await read(client, size + 3) == b"%2d" % number * (size // 2) + b"end"


async def test_nothing_reaches_a_client_whose_descriptor_belonged_to_another_one() -> None:
    """A write to a connection that was lost is never made: its descriptor may belong to somebody else by then."""
    async with pairs() as found:
        found.thread.wait()
        writing = asyncio.create_task(found.write(found.group(lambda number: b"secret %d" % number)))
        await asyncio.sleep(0)
        lost = found.servers[:40]
        descriptors = {server.descriptor for server in lost}
        for server in lost:
            server.socket.abort()
        while any(server.descriptor_at_the_end < 0 for server in lost):
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        for _ in range(40):
            await found.add()
        newcomers = found.servers[CLIENTS:]
        assert descriptors & {server.descriptor for server in newcomers}
        found.thread.go_on()
        await writing
        for number, client in list(enumerate(found.clients))[40:CLIENTS]:
            assert await read(client, len(b"secret %d" % number)) == b"secret %d" % number
        for server in newcomers:
            server.socket.write(b"hello")
        for client in found.clients[CLIENTS:]:
            assert await read(client, 5) == b"hello"


async def test_a_client_that_is_gone_stops_nobody() -> None:
    """The transport of its connection meets the error, as where the loop writes."""
    async with pairs() as found:
        for client in found.clients[::2]:
            client.close()
        await found.write(found.group(lambda _: b"all"))
        for client in found.clients[1::2]:
            assert await read(client, 3) == b"all"
        while any(server.descriptor_at_the_end < 0 for server in found.servers[::2]):
            await asyncio.sleep(0)


async def test_the_loop_writes_where_there_is_no_thread() -> None:
    """Nothing is lost, and nothing is held for good."""
    async with pairs() as found:
        found.writer.close()
        await found.write(found.group(lambda _: b"all"))
        for server, client in zip(found.servers, found.clients, strict=True):
            server.socket.write(b"later")
            assert await read(client, 8) == b"alllater"


async def test_a_few_writes_are_made_by_the_loop() -> None:
    """The thread would cost more than it saves."""
    async with pairs(3) as found:
        found.thread.wait()
        await found.write(found.group(lambda _: b"few"))
        for client in found.clients:
            assert await read(client, 3) == b"few"


async def test_who_is_not_ready_is_left_to_the_caller() -> None:
    """It is closed, something waits for it, another write holds it, or it is no socket at all. Nothing goes to it."""
    async with pairs() as found:
        closed, waiting, held = (server.socket for server in found.servers[:3])
        closed.close(ENDINGS[CloseCode.GOING_AWAY])
        waiting.write(b"w" * 1_000_000)
        other = speedups.Writes([held], [b"first"])
        group = found.group(lambda _: b"all")
        group.transports[3] = RecordingTransport()
        assert await found.write(group) == [0, 1, 2, 3]
        held.write(b"second")
        other.run()
        other.release()
        assert await read(found.clients[2], 11) == b"firstsecond"
        for client in found.clients[4:]:
            assert await read(client, 3) == b"all"


class Above:
    """A Transport that shares a socket with others."""

    def __init__(self, outlet: object) -> None:
        self.outlet = outlet


async def test_a_transport_above_a_socket_is_written_by_its_outlet() -> None:
    """One that shares the socket with another one is left to the caller, who writes behind that."""
    async with pairs() as found:
        group = found.group(lambda _: b"all")
        shared, polled = found.servers[0].socket, found.servers[1].socket
        group.transports[0] = cast(NativeSocket, Above(shared))
        group.transports[1] = cast(NativeSocket, Above(None))
        group.transports.append(cast(NativeSocket, Above(shared)))
        group.buffers.append(b"again")
        found.thread.wait()
        writing = asyncio.create_task(found.write(group))
        await asyncio.sleep(0)
        shared.write(b"again")
        polled.write(b"polled")
        found.thread.go_on()
        assert await writing == [1, CLIENTS]
        assert await read(found.clients[0], 8) == b"allagain"
        assert await read(found.clients[1], 6) == b"polled"
        for client in found.clients[2:]:
            assert await read(client, 3) == b"all"


async def test_native_and_socketio_members_of_a_room_are_written_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """All WebSockets of a large room are written beside the loop, whatever they speak, and hear all in one order."""
    held: list[int] = []

    def writes(outlets: list[object], buffers: list[bytes]) -> object:
        made = speedups.Writes(outlets, buffers)
        held.append(made.count)
        return made

    monkeypatch.setattr(group_writes, "Writes", writes)
    async with gateway(socketio=True) as running:
        native = [await running.join(f"n{number}", "chat.a") for number in range(LARGE_ROOM)]
        others = [await socketio_member(running, f"s{number}", "chat.a") for number in range(LARGE_ROOM)]
        for number in range(3):
            await native[0].ask({"type": "broadcast", "room": "chat.a", "payload": number, "id": "b"})
        for one in native[1:]:
            assert [(await one.hear("broadcast"))["payload"] for _ in range(3)] == [0, 1, 2]
        for one in others:
            heard: list[bytes] = []
            while len(heard) < 3:
                if (text := await one.raw()).startswith(b'42["message"'):
                    heard.append(text)
            assert [f'"payload":{number}'.encode() in text for number, text in enumerate(heard)] == [True] * 3
    # The sender has its ack before, by the loop.
    assert max(held) >= 2 * LARGE_ROOM - 1


async def socketio_member(running: Gateway, user: str, room: str) -> Client:
    """A client of Socket.IO that is in the room."""
    path = "/socket.io/?EIO=4&transport=websocket"
    client = await Client.request(running.port, upgrade(None, path, Sec_WebSocket_Protocol=None))
    packets = (f'40{{"token":"{token(user)}"}}', f'421["join-room","{room}"]')
    for packet, answer in zip(packets, (b"40", b"431"), strict=True):
        await client.send(frame(1, packet.encode()))
        while not (await client.raw()).startswith(answer):
            pass
    return client


async def test_writes_need_bytes_and_one_buffer_for_each_outlet() -> None:
    """Anything else raises, and nothing is held."""
    async with pairs(1) as found:
        outlet = found.servers[0].socket
        with pytest.raises(ValueError, match="one buffer for each"):
            speedups.Writes([outlet, outlet], [b""])
        with pytest.raises(TypeError):
            speedups.Writes([outlet], [bytearray(b"x")])
        with pytest.raises(TypeError):
            speedups.Writes((outlet,), [b"x"])
        outlet.write(b"x")
        assert await read(found.clients[0], 1) == b"x"
