"""A price ticker of 1 KiB in a room of a thousand: without compression, with it, and with it for half of them."""

import json
import random
import select
import socket
import time
from dataclasses import dataclass
from functools import partial
from typing import Final

from bench.chart import Bars
from bench.crowd import gate
from bench.idle import settled
from bench.rounds import Case, Figures, measure, options, ratio, report
from bench.servers import Running
from forestay.terminal.crowd import connection, expect, handshake, join, send, text

WARM_UP: Final = 1.0
OFFER: Final = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
SYMBOLS: Final = ("AAPL", "MSFT", "GOOGL", "AMZN", "NVDA", "META", "TSLA")


def ticker(number: int) -> bytes:
    """The broadcast with this number: about 1 KiB, the same in each run, with other prices than each other one."""
    chance = random.Random(number)
    quotes = []
    for symbol in SYMBOLS:
        price = chance.uniform(80, 900)
        quotes.append(
            {
                "symbol": symbol,
                "exchange": "XNAS",
                "currency": "USD",
                "bid": round(price - 0.01, 2),
                "ask": round(price + 0.01, 2),
                "last": round(price, 2),
                "volume": chance.randrange(10**5, 10**7),
                "time": f"2026-11-30T09:{number // 600 % 60:02}:{number // 10 % 60:02}.{chance.randrange(1000):03}Z",
            }
        )
    payload = {"type": "quotes", "sequence": number, "quotes": quotes}
    return json.dumps({"type": "broadcast", "room": "bench", "payload": payload}, separators=(",", ":")).encode()


@dataclass(slots=True)
class _Stream:
    """How far one member was read. Frames are counted by their heads: a mark is not seen in a deflated one."""

    head: bytes = b""
    skip: int = 0


class Members:
    """Members of one room that count messages and bytes."""

    def __init__(self, server: Running, number: int, offering: int) -> None:
        """`offering`: how many of them offer compression."""
        self._epoll = select.epoll()
        self._by_fd: dict[int, tuple[socket.socket, _Stream]] = {}
        self.number = number
        self.messages = self.bytes = 0
        for at in range(number):
            one = self._joined(server, offers=at < offering)
            one.settimeout(0)
            self._by_fd[one.fileno()] = (one, _Stream())
            self._epoll.register(one.fileno(), select.EPOLLIN)

    def _joined(self, server: Running, *, offers: bool) -> socket.socket:
        one = connection(gate(server.port))
        request = handshake(gate(server.port))
        one.sendall(request.removesuffix(b"\r\n") + OFFER + b"\r\n" if offers else request)
        head = expect(one, b'"welcome"')
        if offers and b"permessage-deflate" not in head:
            raise RuntimeError("the server does not compress")
        one.sendall(join("bench"))
        expect(one, b'"joined"')
        return one

    def read(self, wait: float) -> None:
        """Reads the available data, and waits at most `wait` seconds for some."""
        for fd, _ in self._epoll.poll(max(0.0, wait)):
            one, stream = self._by_fd[fd]
            data = one.recv(1 << 18)
            if not data:
                raise RuntimeError("the server closed a connection")
            self.bytes += len(data)
            self._count(stream, data)

    def _count(self, stream: _Stream, data: bytes) -> None:
        at = stream.skip
        if stream.head:
            data, at = stream.head + data, 0
        while len(data) - at >= 4:
            size = data[at + 1]
            long = size == 126
            size = (data[at + 2] << 8 | data[at + 3]) + 4 if long else size + 2
            self.messages += data[at] & 0x0F in (1, 2)
            at += size
        stream.skip = max(0, at - len(data))
        stream.head = data[at:]

    def close(self) -> None:
        for one, _ in self._by_fd.values():
            one.close()
        self._epoll.close()


def publish(members: Members, speaker: socket.socket, rate: float, seconds: float, first: int) -> int:
    """Publish at a steady rate, and read until what was sent has come or is late. Returns the number of messages."""
    sent, total, started = 0, round(rate * seconds), time.monotonic()
    due = members.messages
    while sent < total:
        while sent < min(total, (time.monotonic() - started) * rate):
            send(speaker, text(ticker(first + sent)))
            sent += 1
        members.read(min(0.02, started + sent / rate - time.monotonic()))
    due += sent * members.number
    late = time.monotonic() + 10
    while members.messages < due and time.monotonic() < late:
        members.read(0.05)
    return sent


def fan_out(server: Running, *, number: int, offering: int, rate: float, seconds: float) -> Figures:
    """Publish to all of them, and count what it costs."""
    members = Members(server, number, offering)
    speaker = connection(gate(server.port))
    speaker.sendall(handshake(gate(server.port)))
    expect(speaker, b'"welcome"')
    warm = publish(members, speaker, rate, WARM_UP, 0)
    members.messages = members.bytes = 0
    cpu = server.cpu()
    sent = publish(members, speaker, rate, seconds, warm)
    cpu = server.cpu() - cpu
    lost = sent * number - members.messages
    figures = {
        "us CPU/delivery": cpu / max(1, members.messages) * 1e6,
        "bytes/delivery": members.bytes / max(1, members.messages),
        "server CPU %": cpu / seconds * 100,
        "lost": lost,
    }
    members.close()
    speaker.close()
    return figures


def idle(server: Running, *, number: int, offering: int) -> float:
    """KiB of memory of each connection in the room."""
    warm = Members(server, 50, min(50, offering))
    before = settled(server)
    members = Members(server, number, offering)
    found = (settled(server) - before) / number
    members.close()
    warm.close()
    return found


def main() -> None:
    parser = options(__doc__, "forestay", seconds=6)
    parser.add_argument("--subscribers", type=int, default=1000, help="members of the room (1000)")
    parser.add_argument("--rate", type=float, default=100, help="messages per second (100)")
    given = parser.parse_args()
    idlers = 3000
    if given.quick:
        given.rounds, given.seconds, given.subscribers, idlers = 1, 1.0, 20, 100
    number = given.subscribers

    def both(server: Running, offering: float) -> Figures:
        # First the memory: what others have used before would be used again.
        memory = idle(server, number=idlers, offering=round(idlers * offering))
        load = fan_out(server, number=number, offering=round(number * offering), rate=given.rate, seconds=given.seconds)
        return {**load, "KiB/connection": memory}

    # A crowd that only connects answers no ping.
    quiet = {"FORESTAY_PING_INTERVAL": "3600"}
    on = quiet | {"FORESTAY_COMPRESSION": "on"}
    cases = [
        Case("off", given.servers, partial(both, offering=0), quiet),
        Case("on", given.servers, partial(both, offering=1), on),
        Case("on for half", given.servers, partial(both, offering=0.5), on),
        Case("on, none offers", given.servers, partial(both, offering=0), on),
    ]
    found = measure(cases, given.rounds)
    title = f"Compression: {number:,} members, {given.rate:g} messages/s of 1 KiB"
    middle = report(
        f"compression-{number}", title, found, Bars("bytes/delivery", "bytes of a delivery"), keep=not given.quick
    )
    ratio(middle, "us CPU/delivery", "on", "off")
    ratio(middle, "bytes/delivery", "on", "off")


if __name__ == "__main__":
    main()
