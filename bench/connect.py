"""Two thousand clients at once: TCP, upgrade, JWT, join."""

import select
import socket
import time
from functools import partial

from bench.chart import Bars
from bench.dialects import Step
from bench.rounds import Figures, each, measure, options, ratio, report
from bench.servers import Running
from bench.sitting import LOST
from forestay.terminal.crowd import handshake

# IP_BIND_ADDRESS_NO_PORT, which Python does not name: the port is chosen for the whole connection.
_PORT_AT_CONNECT = 24


class Storm:
    """Many clients that start at the same moment; each is done when its join is answered."""

    def __init__(self, server: Running, clients: int, *, source: str = "127.0.0.1", rooms: int = 50) -> None:
        """`source`: their own address; each has ports for some 28,000 connections. `rooms`: over which they spread."""
        port, self._dialect = server.port, server.dialect
        self._rooms = rooms
        self._gate = self._dialect.gate(port)
        self._request = handshake(self._gate)
        self._steps: dict[int, list[Step]] = {}
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._heard: dict[int, bytes] = {}
        self.done = self.failed = 0
        for _ in range(clients):
            one = socket.socket()
            one.settimeout(0)
            one.setsockopt(socket.IPPROTO_IP, _PORT_AT_CONNECT, 1)
            one.bind((source, 0))
            one.connect_ex(("127.0.0.1", port))
            self._sockets[one.fileno()] = one
            self._epoll.register(one.fileno(), select.EPOLLOUT)

    def run(self, patience: float) -> None:
        """Connect all of them, in at most `patience` seconds."""
        until = time.monotonic() + patience
        while self.done + self.failed < len(self._sockets) and time.monotonic() < until:
            for fd, event in self._epoll.poll(1.0):
                if event & select.EPOLLIN:
                    self._hear(fd)
                elif fd not in self._heard:
                    self._heard[fd] = b""
                    self._sockets[fd].send(self._request)
                    self._epoll.modify(fd, select.EPOLLIN)

    def close(self) -> None:
        for one in self._sockets.values():
            one.close()

    def _hear(self, fd: int) -> None:
        one, before = self._sockets[fd], self._heard[fd]
        data = one.recv(65536)
        self._heard[fd] = after = before + data
        if not data or not (fd in self._steps or after.startswith(b"HTTP/1.1 101"[: len(after)])):
            self.failed += 1
            self._epoll.unregister(fd)
        elif fd in self._steps:
            self._go_on(fd)
        elif b"\r\n\r\n" in after:
            self._heard[fd] = after.partition(b"\r\n\r\n")[2]
            self._steps[fd] = list(self._dialect.steps(self._gate.bearer, f"bench.{fd % self._rooms}"))
            self._say(fd)
            self._go_on(fd)

    def _say(self, fd: int) -> None:
        if sent := self._steps[fd][0].sent:
            self._sockets[fd].send(sent)

    def _go_on(self, fd: int) -> None:
        """Take the steps whose answers have come. A client is done after the last one."""
        steps = self._steps[fd]
        while steps[0].awaited in self._heard[fd]:
            self._heard[fd] = self._heard[fd].partition(steps.pop(0).awaited)[2]
            if not steps:
                self.done += 1
                self._epoll.unregister(fd)
                break
            self._say(fd)


class Connections:
    """Bursts of `clients`, one in each turn. All clients stay until the end."""

    def __init__(self, server: Running, clients: int) -> None:
        self._server = server
        self._clients = clients
        self._bursts: list[Storm] = []
        self._warm = Storm(self._server, clients)
        self._warm.run(60.0)

    def turn(self, seconds: float) -> None:
        """Run one burst to its end, also beyond the turn."""
        burst = Storm(self._server, self._clients)
        self._bursts.append(burst)
        burst.run(60.0)

    def figures(self, cpu: float) -> Figures:
        done = sum(burst.done for burst in self._bursts)
        return {"us CPU/connection": cpu / max(done, 1) * 1e6, LOST: self._clients * len(self._bursts) - done}

    def close(self) -> None:
        for burst in (self._warm, *self._bursts):
            burst.close()


def storm(server: Running, clients: int) -> Figures:
    """TCP, upgrade, token and join of `clients` at once."""
    cpu, started = server.cpu(), time.monotonic()
    crowd = Storm(server, clients)
    crowd.run(60.0)
    elapsed, cpu = time.monotonic() - started, server.cpu() - cpu
    crowd.close()
    return {"connections/CPU-s": crowd.done / max(cpu, 0.01), "storm s": elapsed, "failed": clients - crowd.done}


def main() -> None:
    given = options(__doc__, "forestay,plain,ws", seconds=0).parse_args()
    clients = 2000
    if given.quick:
        given.rounds, clients = 1, 100
    found = measure(each(given.servers, partial(storm, clients=clients)), given.rounds)
    title = f"Connecting: {clients:,} clients at once, JWT and join"
    middle = report(
        "connect",
        title,
        found,
        Bars("connections/CPU-s", "connections per CPU-second of the server"),
        keep=not given.quick,
    )
    ratio(middle, "connections/CPU-s", "forestay", "plain")


if __name__ == "__main__":
    main()
