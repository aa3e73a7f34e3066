"""What a Redis server shows of itself before and after each thing that can happen to a master.

`python -m tests.servers --table` prints it for each server; this module alone for one.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.local_redis import QUICK, SHARDED, Cluster, RedisServer, Sentinel

NO_ID: Final = "0" * 40


class Facts(NamedTuple):
    """What INFO says of one server."""

    id: str
    """`master_replid`."""
    former: str
    """`master_replid2`."""
    process: str
    """`run_id`."""
    taken: str
    """`total_net_repl_input_bytes`: what the process has taken from masters; empty where the server does not say it."""


def facts(server: RedisServer) -> Facts:
    lines = "\n".join(server.text("INFO", section) for section in ("replication", "server", "stats")).splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    names = ("master_replid", "master_replid2", "run_id", "total_net_repl_input_bytes")
    return Facts(*(fields.get(name, "") for name in names))


class Seen(NamedTuple):
    """Facts of the master before and after, and whether all acknowledged writes were there afterwards."""

    before: Facts
    after: Facts
    kept: bool

    @property
    def shown(self) -> tuple[str, str, str, str, str]:
        """The same in words: id, former id, process, what was taken, writes."""
        before, after = self.before, self.after
        former = "zeros" if after.former == NO_ID else "the id before" if after.former == before.id else "another"
        taken = "not shown" if not after.taken else "the same" if after.taken == before.taken else "another"
        return (
            "the same" if after.id == before.id else "new",
            former,
            "the same" if after.process == before.process else "new",
            taken,
            "all there" if self.kept else "some lost",
        )


def first_replica(folder: Path) -> Seen:
    with _server(folder / "a") as master:
        _write(master)
        before = facts(master)
        with _replica(folder / "b", master):
            return Seen(before, facts(master), _has(master))


def backlog_expired(folder: Path) -> Seen:
    with _server(folder / "a", "--repl-backlog-ttl", "1") as master:
        with _replica(folder / "b", master):
            _write(master)
            before = facts(master)
        _until(lambda: facts(master).id != before.id)
        return Seen(before, facts(master), _has(master))


def promotion(folder: Path) -> Seen:
    with _server(folder / "a") as master, _replica(folder / "b", master) as replica:
        _write(master)
        master.do("WAIT", 1, 5000)
        before = facts(master)
        master.kill()
        replica.do("REPLICAOF", "NO", "ONE")
        return Seen(before, facts(replica), _has(replica))


def lossy_promotion(folder: Path) -> Seen:
    with _server(folder / "a") as master, _replica(folder / "b", master) as replica:
        before = facts(master)
        # Nothing listens there: the replica keeps what it has.
        replica.do("REPLICAOF", "127.0.0.1", "1")
        _write(master)
        master.kill()
        replica.do("REPLICAOF", "NO", "ONE")
        return Seen(before, facts(replica), _has(replica))


def there_and_back(folder: Path) -> Seen:
    """The master becomes a replica of one that lacks its last write, and is promoted again. Both end alone."""
    with _server(folder / "a", "--repl-backlog-ttl", "1") as one, _server(folder / "b") as two:
        _write(one)
        before = facts(one)
        one.do("REPLICAOF", "127.0.0.1", str(two.port))
        one.await_master()
        one.do("REPLICAOF", "NO", "ONE")
        after = facts(one)
        _until(lambda: facts(one).id != after.id)
        return Seen(before, facts(one), _has(one))


def restart_empty(folder: Path) -> Seen:
    with _server(folder / "a") as master:
        _write(master)
        before = facts(master)
        master.kill()
        master.start()
        return Seen(before, facts(master), _has(master))


def restart_with_data(folder: Path) -> Seen:
    with _server(folder / "a") as master, _replica(folder / "b", master):
        _write(master)
        before = facts(master)
        # It is refused while the first sync of the replica has its process.
        _until(lambda: master.do("SAVE") == b"OK")
        master.kill()
        master.start()
        _until(lambda: master.do("PING") == b"PONG")
        return Seen(before, facts(master), _has(master))


def cluster_failover(folder: Path) -> Seen:
    cluster = Cluster(folder, 3, 1)
    with closing(cluster):
        cluster.start()
        master, replica = cluster.servers[0], cluster.servers[3]
        before = facts(master)
        replica.do("CLUSTER", "FAILOVER")
        _until(lambda: _is_master(replica))
        return Seen(before, facts(replica), kept=True)


def sentinel_failover(folder: Path) -> Seen:
    with _server(folder / "a") as master, _replica(folder / "b", master) as replica:
        sentinel = Sentinel(folder / "s", master.port)
        with closing(sentinel):
            sentinel.start()
            sentinel.await_replica()
            _write(master)
            master.do("WAIT", 1, 5000)
            before = facts(master)
            _until(lambda: sentinel.do("SENTINEL", "FAILOVER", "main") == b"OK")
            _until(lambda: _is_master(replica))
            return Seen(before, facts(replica), _has(replica))


CASES: Final[dict[str, Callable[[Path], Seen]]] = {
    "its first replica attaches": first_replica,
    "its last replica is away for `repl-backlog-ttl`": backlog_expired,
    "its replica is promoted": promotion,
    "its replica is promoted without the last writes": lossy_promotion,
    "it becomes a replica, is promoted again, and is alone for `repl-backlog-ttl`": there_and_back,
    "it starts again without its data": restart_empty,
    "it starts again with its data": restart_with_data,
    "`CLUSTER FAILOVER`": cluster_failover,
    "`SENTINEL FAILOVER`": sentinel_failover,
}
"""What happens to a master, each in an empty folder."""


@contextmanager
def _server(folder: Path, *options: str) -> Iterator[RedisServer]:
    server = RedisServer(folder, *QUICK, *options)
    with closing(server):
        server.start()
        yield server


@contextmanager
def _replica(folder: Path, master: RedisServer) -> Iterator[RedisServer]:
    with _server(folder, "--replicaof", "127.0.0.1", str(master.port)) as replica:
        replica.await_master()
        yield replica


def _write(server: RedisServer) -> None:
    server.do("SET", "written", "1")


def _has(server: RedisServer) -> bool:
    return server.do("GET", "written") == b"1"


def _is_master(server: RedisServer) -> bool:
    try:
        return "role:master" in server.text("INFO", "replication")
    except OSError:
        # A sentinel that promotes a server ends its connections.
        return False


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.02)


_HEAD: Final = ("What happens to a master", "its id", "former id", "process", "taken from masters", "writes")


def _print() -> None:
    print(f"| {' | '.join(_HEAD)} |\n|{' --- |' * len(_HEAD)}")
    for name, case in CASES.items():
        if "CLUSTER" in name and not SHARDED:
            continue
        with tempfile.TemporaryDirectory() as folder:
            print(f"| {' | '.join((name, *case(Path(folder)).shown))} |", flush=True)


if __name__ == "__main__":
    _print()
