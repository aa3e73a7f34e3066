"""A Redis that refuses connections or commands: the cause is counted, nothing is lost, and the bus comes back alone."""

import asyncio
import datetime as dt
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import structlog.testing

from forestay.bus.redis.registry import RedisRegistry
from forestay.core.cluster.revocations import Revocations
from forestay.core.fanout.hub import Hub
from forestay.core.ports.bus import BusLost, Outcome
from forestay.core.ports.registry import Revocation
from forestay.core.ports.runtime import Runtime
from forestay.core.rules.access import Identity, Rights
from tests.bus.redis_pod import KEPT, NewPod, until
from tests.support.local_redis import Authority, RedisServer, Road, rights
from tests.support.tasks import PlainTasks


async def test_a_redis_without_free_places_is_waited_for(own_redis: RedisServer, new_pod: NewPod) -> None:
    """With `maxclients` reached the pod starts, counts its attempts, and works as soon as there are places."""
    own_redis.do("CONFIG", "SET", "maxclients", 4)
    with ExitStack() as taken:
        for _ in range(4):
            taken.enter_context(socket.create_connection(("127.0.0.1", own_redis.port)))
        pod = new_pod(own_redis.url, timeout=0.5)
        with structlog.testing.capture_logs() as logs:
            await pod.bus.start()
            assert (await pod.publish("early", KEPT)).outcome is Outcome.REFUSED
        await until(lambda: "unreachable" in pod.events)
        assert "bus unreachable" in {line["event"] for line in logs}
    await until(lambda: pod.bus.up)
    assert (await pod.publish("late", KEPT)).outcome is Outcome.ACCEPTED
    assert "misconfigured" not in pod.events


async def test_a_password_that_changes_is_told_and_waited_for(own_redis: RedisServer, new_pod: NewPod) -> None:
    """A running pod whose password is wrong refuses publishes, says what to check, and recovers when it fits again."""
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    with ExitStack() as closing, structlog.testing.capture_logs() as logs:
        own_redis.do("CONFIG", "SET", "requirepass", "another")
        # Connections that were made without a password stay usable, so they are cut.
        cut = closing.enter_context(socket.create_connection(("127.0.0.1", own_redis.port)))
        cut.sendall(b"AUTH another\r\nCLIENT KILL TYPE normal\r\nCLIENT KILL TYPE pubsub\r\n")
        await until(lambda: "misconfigured" in pod.events)
        assert (await pod.publish("refused", KEPT)).outcome is Outcome.REFUSED
        [reason] = {line["reason"] for line in logs if "NOAUTH" in line.get("reason", "")}
        cut.sendall(b"CONFIG SET requirepass ''\r\n")
        await until(lambda: pod.bus.up)
    assert "in the bus URL" in reason
    assert (await pod.publish("accepted", KEPT)).outcome is Outcome.ACCEPTED


async def test_a_right_that_is_taken_away_is_counted(own_redis: RedisServer, new_pod: NewPod) -> None:
    """A command that Redis refuses is a refusal for the sender, and counted by its kind."""
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    own_redis.do("ACL", "SETUSER", "default", "-evalsha")
    assert (await pod.publish("refused", KEPT)).outcome is Outcome.REFUSED
    with pytest.raises(BusLost, match="NOPERM"):
        await pod.top()
    own_redis.do("ACL", "SETUSER", "default", "+evalsha")
    assert (await pod.publish("accepted", KEPT)).outcome is Outcome.ACCEPTED
    assert pod.events.count("refused") == 2


@pytest.mark.parametrize("taken", ["-publish", "resetchannels"])
async def test_a_right_that_a_script_lacks_leaves_the_outcome_open(
    own_redis: RedisServer, new_pod: NewPod, taken: str
) -> None:
    """The message is in the history when the script fails. So nobody is told that it is not, and the log says why."""
    own_redis.do("ACL", "SETUSER", "forestay", "on", ">pw", *rights())
    pod = new_pod(f"redis://forestay:pw@127.0.0.1:{own_redis.port}", probe_interval=60.0)
    await pod.bus.start()
    await pod.publish("before", KEPT)
    own_redis.do("ACL", "SETUSER", "forestay", taken)
    with structlog.testing.capture_logs() as logs:
        assert (await pod.publish("meanwhile", KEPT)).outcome is Outcome.UNKNOWN
    assert "a right that the Redis user does not have" in "".join(line.get("reason", "") for line in logs)
    own_redis.do("ACL", "SETUSER", "forestay", *rights())
    await until(lambda: pod.bus.up)
    assert await pod.kept() == ["before", "meanwhile"]
    assert (await pod.publish("after", KEPT)).outcome is Outcome.ACCEPTED


async def test_a_redis_that_loads_its_data_is_waited_for(tmp_path: Path, new_pod: NewPod) -> None:
    """While Redis answers LOADING the bus is down. Then it is back, with the data, and nothing is twice in it."""
    server = RedisServer(tmp_path / "loading", "--save", "", "--rdbcompression", "no")
    server.start()
    try:
        pod = new_pod(server.url)
        await pod.bus.start()
        await pod.publish("kept", KEPT)
        # It answers once for each KiB that it loads, and waits for 5 ms at each key.
        for number in range(300):
            server.do("SET", f"filler{number}", "x" * 1024)
        server.do("SAVE")
        server.kill()
        server.options += ["--key-load-delay", "5000", "--loading-process-events-interval-bytes", "1024"]
        await until(lambda: not pod.bus.up)
        server.start()
        assert str(server.do("GET", "x")).startswith("LOADING")
        early = (await pod.publish("early", KEPT)).outcome
        await until(lambda: pod.bus.up)
        assert await pod.kept() == (["kept", "early"] if early is Outcome.ACCEPTED else ["kept"])
        assert {"unreachable", "lost"} <= set(pod.events)
    finally:
        server.close()


@pytest.mark.stock_loop  # uvloop resolves names without Python
async def test_a_name_that_cannot_be_resolved_is_waited_for(
    own_redis: RedisServer, new_pod: NewPod, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod starts while DNS fails, and a running one survives it: the address is looked up for each attempt."""
    resolve, known = socket.getaddrinfo, False

    def getaddrinfo(host: object, *args: object, **named: object) -> object:
        if host == "redis.test":
            if not known:
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
            host = "127.0.0.1"
        return resolve(host, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    pod = new_pod(f"redis://redis.test:{own_redis.port}")
    with structlog.testing.capture_logs() as logs:
        await pod.bus.start()
        await until(lambda: "unreachable" in pod.events)
    assert any("redis.test" in line.get("reason", "") for line in logs)
    for known in (True, False, True):
        if known:
            await until(lambda: pod.bus.up)
            assert (await pod.publish("accepted", KEPT)).outcome is Outcome.ACCEPTED
        else:
            own_redis.kill()
            await until(lambda: not pod.bus.up)
            own_redis.start()


async def test_a_certificate_that_runs_out_is_told_and_its_renewal_noticed(
    own_redis: RedisServer, tmp_path: Path, new_pod: NewPod
) -> None:
    """With an expired certificate the pod says so and tries again; with a new one it works without a restart."""
    authority = Authority(tmp_path)
    context = authority.tls()
    road = Road(own_redis.port, context)
    await road.open()
    try:
        pod = new_pod(f"rediss://127.0.0.1:{road.port}?ca={authority.ca}")
        await pod.bus.start()
        await until(lambda: pod.bus.up)
        past = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
        authority._authority.issue_cert("127.0.0.1", not_after=past).configure_cert(context)
        with structlog.testing.capture_logs() as logs:
            road.cut()
            await until(lambda: "misconfigured" in pod.events)
            assert (await pod.publish("refused", KEPT)).outcome is Outcome.REFUSED
        assert any("certificate has expired" in line.get("reason", "") for line in logs)
        authority._authority.issue_cert("127.0.0.1").configure_cert(context)
        await until(lambda: pod.bus.up)
        assert (await pod.publish("accepted", KEPT)).outcome is Outcome.ACCEPTED
    finally:
        await road.close()


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
async def test_a_wall_clock_that_jumps_keeps_leases_and_revocations(
    jump: float, own_redis: RedisServer, new_pod: NewPod
) -> None:
    """Leases are counted by Redis. A revocation follows the wall clock as the tokens do, and comes back with it."""
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    registry, now = RedisRegistry("one", pod.bus), 1_800_000_000.0
    runtime = Runtime(
        asyncio.get_running_loop(), lambda: now, time.perf_counter, lambda: "id", lambda low, _: low, PlainTasks()
    )
    revocations = Revocations(runtime, registry, Hub())
    revocations.learn(Revocation(jti="t1", until=now + 7200))
    identity = Identity("ada", Rights({}), now + 7200, token_id="t1")
    assert revocations.covers(identity)
    now += jump
    assert revocations.covers(identity)
    await registry.heartbeat(30)
    reply = await registry.heartbeat(30)
    assert (reply.known, list(reply.pods), list(reply.expired)) == (True, ["one"], [])
