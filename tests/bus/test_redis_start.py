"""A start ends with an error and a remedy if the bus can never work, and goes on if it may work later."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from structlog.testing import capture_logs

from forestay.bus.redis.client.address import HostPort
from forestay.core.ports.bus import BusLost, Outcome
from tests.bus.redis_pod import KEPT, ROOM, NewPod, until
from tests.support.local_redis import QUICK, Authority, RedisServer, Road, Sentinel, rights

PATIENT = 10.0
"""Seconds for a connection over TLS: both ends of its handshake share this loop, and a busy machine takes its time."""


async def test_a_redis_that_is_away_is_waited_for(own_redis: RedisServer, new_pod: NewPod) -> None:
    """While Redis is away the start returns soon and publishes are refused; later subscriptions are confirmed."""
    own_redis.kill()
    pod = new_pod(own_redis.url)
    began = time.monotonic()
    await pod.bus.start()
    assert time.monotonic() - began < 5
    assert not pod.bus.up
    confirmed = asyncio.Event()
    pod.bus.subscribe(ROOM, pod.subscriber(ROOM, confirmed.set))
    assert (await pod.publish("x")).outcome is Outcome.REFUSED
    with pytest.raises(BusLost):
        await pod.bus.positions([ROOM])
    own_redis.start()
    await until(confirmed.is_set)
    await until(lambda: pod.bus.up)
    assert pod.doubted == []
    assert set(pod.events) == {"unreachable", "connected"}


async def test_a_frozen_redis_does_not_delay_the_start(own_redis: RedisServer, new_pod: NewPod) -> None:
    """The start returns within the timeout if Redis accepts connections and does not reply."""
    own_redis.freeze()
    pod = new_pod(own_redis.url, timeout=0.5)
    began = time.monotonic()
    await pod.bus.start()
    assert time.monotonic() - began < 3
    own_redis.thaw()
    await until(lambda: pod.bus.up)


@pytest.mark.parametrize(
    ("credentials", "remedy"),
    [
        ("", "give user:password@"),
        (":wrong@", "check the user and the password"),
        ("stranger:right@", "check the user and the password"),
        ("quiet:q@", "allow the Redis user our channels"),
        ("mute:m@", "give the Redis user that right"),
    ],
)
async def test_a_lasting_error_ends_the_start(
    credentials: str, remedy: str, own_redis: RedisServer, new_pod: NewPod
) -> None:
    """The error names the remedy for a missing or wrong password, an unknown user, and missing rights."""
    own_redis.do("ACL", "SETUSER", "quiet", "on", ">q", "~*", "+@all", "resetchannels")
    own_redis.do("ACL", "SETUSER", "mute", "on", ">m", "~*", "&*", "+@all", "-script")
    own_redis.do("CONFIG", "SET", "requirepass", "right")
    pod = new_pod(own_redis.url.replace("//", f"//{credentials}"))
    with pytest.raises(BusLost, match=remedy) as raised:
        await pod.bus.start()
    assert "wrong" not in str(raised.value).replace("WRONGPASS", "")


async def test_the_documented_rights_are_enough(own_redis: RedisServer, new_pod: NewPod) -> None:
    """A user with these rights and no others can do everything."""
    own_redis.do("ACL", "SETUSER", "pod", "on", ">pw", *rights())
    pod = new_pod(own_redis.url.replace("//", "//pod:pw@") + "/2")
    await pod.bus.start()
    await pod.subscribe()
    assert (await pod.publish("x", KEPT, key="k")).position == await pod.top()
    assert await pod.kept() == ["x"]
    assert ROOM in await pod.bus.positions([ROOM])
    await until(lambda: pod.heard == ["x"])
    pod.bus.unsubscribe(ROOM)
    await pod.publish("y")
    await pod.subscribe()


async def test_a_database_that_does_not_exist_ends_the_start(own_redis: RedisServer, new_pod: NewPod) -> None:
    """The error says to choose another number; Redis has 16 databases by default."""
    with pytest.raises(BusLost, match="number"):
        await new_pod(own_redis.url + "/99").bus.start()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def secure(own_redis: RedisServer, authority: Authority) -> AsyncIterator[str]:
    """The URL of a Redis behind TLS with a password."""
    own_redis.do("CONFIG", "SET", "requirepass", "pw")
    road = Road(own_redis.port, authority.tls())
    await road.open()
    yield f"rediss://:pw@127.0.0.1:{road.port}"
    await road.close()


async def test_over_tls_everything_works(secure: str, authority: Authority, new_pod: NewPod) -> None:
    """With the file of the authority everything works over TLS, large messages too."""
    # Probes wait behind the large message.
    pod = new_pod(f"{secure}?ca={authority.ca}", PATIENT, probe_interval=PATIENT)
    await pod.bus.start()
    await pod.subscribe()
    big = "x" * 3_000_000
    assert (await pod.publish(big, KEPT)).outcome is Outcome.ACCEPTED
    await until(lambda: pod.heard == [big])
    assert await pod.kept() == [big]


async def test_a_server_with_an_unknown_authority_is_refused(secure: str, new_pod: NewPod) -> None:
    """Without the file of the authority the start fails; a missing file is an error at once."""
    with pytest.raises(BusLost, match=r"\?ca="):
        await new_pod(secure, PATIENT).bus.start()
    with pytest.raises(ValueError, match="no file"):
        new_pod(secure + "?ca=/nowhere")


@pytest.fixture
async def mutual(own_redis: RedisServer, authority: Authority) -> AsyncIterator[Road]:
    """The way to a Redis behind TLS that asks for a certificate."""
    road = Road(own_redis.port, authority.tls(mutual=True))
    await road.open()
    yield road
    await road.close()


async def test_a_server_that_asks_for_a_certificate_gets_ours(
    mutual: Road, authority: Authority, new_pod: NewPod, tmp_path: Path
) -> None:
    """With `cert` and `key` the pod works over mutual TLS; without them it stays without a bus."""
    certificate, key = authority.client(tmp_path)
    url = f"rediss://127.0.0.1:{mutual.port}?ca={authority.ca}"
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    for options in (f"&cert={certificate}&key={key}", f"&cert={both}"):
        pod = new_pod(url + options, PATIENT)
        await pod.bus.start()
        assert (await pod.publish("x", KEPT)).outcome is Outcome.ACCEPTED
    pod = new_pod(url, timeout=0.5)
    await pod.bus.start()
    assert not pod.bus.up


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ("ca={key}", "certificates in PEM form"),
        ("cert={certificate}", "need a certificate and its key"),
        ("cert={ca}&key={key}", "need a certificate and its key"),
        ("cert={certificate}&key={locked}", "without a password"),
        ("cert={certificate}&key={nowhere}", "names no file"),
    ],
)
async def test_wrong_tls_files_end_the_start_at_once(
    options: str, remedy: str, authority: Authority, new_pod: NewPod, tmp_path: Path
) -> None:
    """A file that is missing, locked with a password, or not a pair is an error before any connection."""
    certificate, key = authority.client(tmp_path)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        serialization.load_pem_private_key(key.read_bytes(), None).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    files = {
        "ca": authority.ca,
        "certificate": certificate,
        "key": key,
        "locked": locked,
        "nowhere": tmp_path / "nowhere",
    }
    with pytest.raises(ValueError, match=re.escape(remedy)):
        new_pod("rediss://127.0.0.1?" + options.format(**files))


async def test_a_unix_socket_works(tmp_path: Path, new_pod: NewPod) -> None:
    """Over a Unix socket everything works, with a password and a database; a missing socket is waited for."""
    path = tmp_path / "redis.sock"
    server = RedisServer(tmp_path / "local", *QUICK, "--unixsocket", str(path), "--requirepass", "pw")
    pod = new_pod(f"unix://:pw@{path}?db=3")
    await pod.bus.start()
    assert not pod.bus.up
    server.start()
    try:
        await until(lambda: pod.bus.up)
        await pod.subscribe()
        assert (await pod.publish("x", KEPT)).outcome is Outcome.ACCEPTED
        await until(lambda: pod.heard == ["x"])
        assert await pod.kept() == ["x"]
    finally:
        server.close()


async def test_a_server_that_does_not_answer_is_named(new_pod: NewPod) -> None:
    """The reason has the address. With TLS it asks about TLS: a server without it waits for the rest of a command."""

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            pass
        writer.close()

    server = await asyncio.start_server(wait, "127.0.0.1", 0)
    place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with capture_logs() as log:
        for scheme in ("redis", "rediss"):
            await new_pod(f"{scheme}://{place}", timeout=0.2).bus.start()
        await until(lambda: len(log) >= 2)
    assert [line["reason"] for line in log] == [
        f"{place}: no connection within 0.2 s",
        f"{place}: no connection within 0.2 s; does it speak TLS?",
    ]
    server.close()


async def test_no_reply_of_a_server_puts_the_password_into_an_error(new_pod: NewPod) -> None:
    """Some servers repeat the arguments of a command that they do not know, and so the password of AUTH."""

    async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            words = data.split(b"\r\n")[2::2]
            writer.write(b"-ERR unknown command '%s', with args beginning with: %s\r\n" % (words[0], b" ".join(words)))
        writer.close()

    server = await asyncio.start_server(repeat, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pod = new_pod(f"redis://ada:hunter2@127.0.0.1:{port}")
    with capture_logs() as log:
        await pod.bus.start()
    said = json.dumps(log, default=str)
    assert "unknown command" in said
    assert "hunter2" not in said
    server.close()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer, list[Sentinel]]]:
    """A master, its replica, and a sentinel."""
    master = RedisServer(tmp_path / "master", *QUICK)
    master.start()
    replica = RedisServer(tmp_path / "replica", *QUICK, "--replicaof", "127.0.0.1", str(master.port))
    replica.start()
    replica.await_master()
    sentinel = Sentinel(tmp_path / "sentinel", master.port)
    sentinel.start()
    servers = [sentinel, master, replica]
    yield master, replica, [sentinel]
    for server in servers:
        server.close()


async def test_sentinels_lead_to_the_master(
    watched: tuple[RedisServer, RedisServer, list[Sentinel]], new_pod: NewPod
) -> None:
    """After the master died the pod uses its replica; rooms get a new epoch and are doubted."""
    master, replica, [sentinel] = watched
    pod = new_pod(f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/0?master=main")
    await pod.bus.start()
    await pod.subscribe()
    await pod.publish("before", KEPT)
    before = await pod.top()
    await until(lambda: replica.do("EXISTS", pod.bus.keys.room(ROOM).stream) == 1)
    await until(lambda: "slaves=1" in sentinel.text("INFO", "sentinel"))
    master.kill()
    await until(lambda: not pod.bus.up)
    await until(lambda: pod.bus.up, 20)
    after = await pod.top()
    assert after.offset == before.offset
    assert after.epoch != before.epoch
    assert pod.doubted == [ROOM]
    await pod.publish("after", KEPT)
    assert await pod.kept() == ["before", "after"]
    assert "role:master" in replica.text("INFO", "replication")


async def test_a_planned_failover_is_followed(
    watched: tuple[RedisServer, RedisServer, list[Sentinel]], new_pod: NewPod
) -> None:
    """After a planned failover all connections lead to the new master."""
    _, replica, [sentinel] = watched
    pod = new_pod(f"redis+sentinel://127.0.0.1:{sentinel.port}/0?master=main")
    await pod.bus.start()
    await pod.subscribe()
    await until(lambda: "slaves=1" in sentinel.text("INFO", "sentinel"))
    await until(lambda: sentinel.do("SENTINEL", "FAILOVER", "main") == b"OK")
    [node] = pod.bus._nodes.nodes.values()
    await until(lambda: {link.host for link in node._links} == {HostPort("127.0.0.1", replica.port)}, 20)
    await until(lambda: pod.bus.up)
    await pod.publish("after")
    await until(lambda: pod.heard[-1:] == ["after"])


async def test_a_master_behind_nat_is_reached(
    watched: tuple[RedisServer, RedisServer, list[Sentinel]], new_pod: NewPod
) -> None:
    """With `map` the pod connects to where the announced master can be reached."""
    master, _, [sentinel] = watched
    road = Road(master.port)
    await road.open()
    mapped = f"127.0.0.1:{master.port}->127.0.0.1:{road.port}"
    pod = new_pod(f"redis+sentinel://127.0.0.1:{sentinel.port}/0?master=main&map={mapped}")
    await pod.bus.start()
    [node] = pod.bus._nodes.nodes.values()
    try:
        await until(lambda: {link.host for link in node._links} == {HostPort("127.0.0.1", road.port)})
    finally:
        await pod.bus.close()
        await road.close()


async def test_a_master_that_no_sentinel_knows(
    watched: tuple[RedisServer, RedisServer, list[Sentinel]], new_pod: NewPod
) -> None:
    """The error names the master that the sentinels do not know."""
    _, _, [sentinel] = watched
    with pytest.raises(BusLost, match="'other'"):
        await new_pod(f"redis+sentinel://127.0.0.1:{sentinel.port}/0?master=other").bus.start()
