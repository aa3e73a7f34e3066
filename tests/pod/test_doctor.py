"""`forestay doctor` tries what a gateway needs, and says of each fault what to do."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from aiohttp import web

from forestay.pod.diagnosis.doctor import diagnose
from forestay.pod.diagnosis.findings import Diagnosis, Finding, Status
from forestay.pod.diagnosis.outside import check_cluster, check_keys
from forestay.pod.diagnosis.ports import check_port
from forestay.pod.inputs import prepare
from forestay.pod.tasks import Supervisor
from forestay.settings.settings import PodIdentity, load
from tests.support.gateway import gateway
from tests.support.jwks import Endpoint, endpoint, rsa_signer
from tests.support.kubernetes_api import NAMESPACE, SERVICE, kubernetes_api
from tests.support.local_redis import QUICK, RedisServer, free_port, rights
from tests.support.process import KEYS, forestay

HOOK_SECRET = "whsec_" + "c2VjcmV0" * 4
CANARY = "hunter2canary"
WELL = KEYS | {"FORESTAY_ALLOWED_ORIGINS": "https://app.example", "FORESTAY_PORT": "0", "FORESTAY_INTERNAL_PORT": "0"}


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    one = RedisServer(tmp_path_factory.mktemp("redis"), *QUICK)
    one.start()
    one.do("ACL", "SETUSER", "pod", "on", f">{CANARY}", *rights())
    one.do("ACL", "SETUSER", "poor", "on", f">{CANARY}", *(rule for rule in rights() if rule not in ("+hget", "+xadd")))
    yield one
    one.close()


@pytest.fixture
async def issuer() -> AsyncIterator[Endpoint]:
    async with endpoint() as running:
        running.publish(rsa_signer().jwk())
        yield running


async def examined(**environ: str) -> Diagnosis:
    """What is found with these settings, beside those with which all is well."""
    settings = load(WELL | environ)
    return Diagnosis(await diagnose(settings, prepare(settings, Supervisor(random.uniform)), 5))


def lines(diagnosis: Diagnosis, *checks: str) -> list[tuple[Status, str]]:
    return [(found.status, found.what) for found in diagnosis.findings if found.check in checks]


def only(diagnosis: Diagnosis, check: str) -> Finding:
    [found] = [found for found in diagnosis.findings if found.check == check]
    return found


@asynccontextmanager
async def stranger(said: bytes) -> AsyncIterator[int]:
    """The port of something that answers one request with these bytes. Without any it waits for its end."""
    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(said)
            if not said:
                await reader.read()
            writer.close()
            await writer.wait_closed()
        over.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await over.wait()


async def test_all_is_well(redis: RedisServer, issuer: Endpoint) -> None:
    """With the documented rights, a key set, origins and free ports each line says OK, and none has a secret."""
    url = redis.url.replace("//", f"//pod:{CANARY}@")
    environ = {"FORESTAY_BUS_URL": url, "FORESTAY_JWKS_URL": issuer.url, "FORESTAY_JWT_SECRET": ""}
    narrow = {"FORESTAY_JWT_AUDIENCE": "us", "FORESTAY_DEFAULT_RIGHTS": "lobby:r", "FORESTAY_PORT": str(free_port())}
    found = await examined(**environ, **narrow)
    assert [str(line) for line in found.findings if line.status is not Status.OK] == []
    checks = [line.check for line in found.findings]
    assert checks == ["settings", "origins", "files", "public", "internal", "redis", "rights", "clock", "keys", "clock"]
    assert CANARY not in found.as_text()
    assert found.ok


async def test_the_ports_of_a_running_gateway_are_recognised() -> None:
    """A port that a gateway has is well; a port that something else has is a fault, the other one of a gateway too."""
    async with gateway() as running:
        ports = {"FORESTAY_PORT": str(running.port), "FORESTAY_INTERNAL_PORT": str(running.internal_port)}
        found = await examined(FORESTAY_HOST="127.0.0.1", **ports)
        assert lines(found, "public", "internal") == [
            (Status.OK, f"a gateway answers on port {running.port}"),
            (Status.OK, f"a gateway answers on port {running.internal_port}"),
        ]
        swapped = {"FORESTAY_PORT": str(running.internal_port), "FORESTAY_INTERNAL_PORT": str(running.port)}
        found = await examined(FORESTAY_HOST="127.0.0.1", **swapped)
        assert [status for status, _ in lines(found, "public", "internal")] == [Status.FAIL, Status.FAIL]
        assert not found.ok


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n\r\n" + 5000 * b"["], ids=["nothing", "deep JSON"])
async def test_a_port_of_something_else_is_a_fault(said: bytes) -> None:
    """Something that takes the port and says nothing, or nothing that a gateway would say, is to be stopped."""
    async with stranger(said) as port:
        settings = load(WELL | {"FORESTAY_HOST": "127.0.0.1", "FORESTAY_PORT": str(port)})
        found = await check_port(settings, "port", 0.2)
    assert (found.status, found.what) == (Status.FAIL, f"port {port} is taken by something that is no gateway")


async def test_a_host_that_is_not_of_this_machine_fails_with_any_port() -> None:
    """A gateway with this address would not start, also where it may take any free port."""
    for host in ("192.0.2.1", "no.such.host.invalid"):
        for status, what in lines(await examined(FORESTAY_HOST=host), "public", "internal"):
            assert (status, f"cannot listen on {host}:0: " in what) == (Status.FAIL, True), what


async def test_what_a_server_replies_cannot_fill_or_steer_a_terminal() -> None:
    """Its control characters are escaped, and a long reply is cut."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-\x1b[2J" + b"x" * 50_000 + b"\r\n")
        # Until the other side goes.
        while await reader.read(1000):
            pass
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(reply, "127.0.0.1", 0) as server:
        found = await examined(FORESTAY_BUS_URL=f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    line = str(only(found, "redis"))
    assert "\\x1b[2Jxxx" in line
    assert len(line) < 1500


async def test_missing_rights_are_named_with_the_rule(redis: RedisServer) -> None:
    """The line about rights has the rules to add."""
    found = await examined(FORESTAY_BUS_URL=redis.url.replace("//", f"//poor:{CANARY}@"))
    line = only(found, "rights")
    assert line.status is Status.FAIL
    assert line.remedy == "ACL SETUSER name +hget +xadd"
    assert CANARY not in found.as_text() + found.as_json()


@pytest.mark.parametrize(
    ("user", "words"),
    [("pod:wrong", "check the user and the password"), (f"nobody:{CANARY}", "check the user and the password")],
)
async def test_a_wrong_password_is_told_without_it(redis: RedisServer, user: str, words: str) -> None:
    """A login that Redis refuses fails with the remedy, and repeats neither password."""
    found = await examined(FORESTAY_BUS_URL=redis.url.replace("//", f"//{user}@"))
    assert words in only(found, "redis").what
    assert ".;" not in only(found, "redis").what
    assert CANARY not in found.as_text()
    assert "wrong" not in only(found, "redis").what.lower().replace("wrongpass", "")


async def test_a_redis_that_evicts_or_is_full_is_told(redis: RedisServer) -> None:
    """A policy that evicts is a warning, and a full server a fault."""
    redis.do("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    redis.do("CONFIG", "SET", "maxmemory", "1")
    try:
        found = await examined(FORESTAY_BUS_URL=redis.url)
    finally:
        redis.do("CONFIG", "SET", "maxmemory", "0")
        redis.do("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert [status for status, _ in lines(found, "memory")] == [Status.FAIL, Status.WARN]


async def test_origins_and_files_are_warnings() -> None:
    """Without origins the line says what browsers get; more connections than files is a line with both numbers."""
    found = await examined(FORESTAY_ALLOWED_ORIGINS="", FORESTAY_MAX_CONNECTIONS="100000000")
    assert only(found, "origins").status is only(found, "files").status is Status.WARN
    assert "403" in only(found, "origins").what
    assert "100000000" in only(found, "files").what
    assert found.ok


async def test_a_key_set_without_usable_keys_fails(issuer: Endpoint) -> None:
    """A set whose keys fit no accepted algorithm fails, and a set that is not there too; both name the host."""
    environ = {"FORESTAY_JWT_SECRET": "", "FORESTAY_JWT_AUDIENCE": "us"}
    found = await examined(FORESTAY_JWKS_URL=issuer.url, FORESTAY_JWT_ALGORITHMS="ES256", **environ)
    assert only(found, "keys").status is Status.FAIL
    assert "none of its keys is usable" in only(found, "keys").what
    found = await examined(FORESTAY_JWKS_URL=f"http://127.0.0.1:{free_port()}/{CANARY}", **environ)
    assert "no connection" in only(found, "keys").what
    assert CANARY not in found.as_text()


async def test_an_issuer_that_is_silent_is_named_in_time() -> None:
    """The line has the host of the key set, and the setting to check."""
    async with stranger(b"") as port:
        settings = load(WELL | {"FORESTAY_JWT_SECRET": "", "FORESTAY_JWKS_URL": f"http://127.0.0.1:{port}/{CANARY}"})
        [found] = await check_keys(settings, prepare(settings, Supervisor(random.uniform)).keys, 0.2)
    assert found.status is Status.FAIL
    assert found.what == "the key set of 127.0.0.1 cannot be used: no whole answer within 0.2 s"
    assert "FORESTAY_JWKS_URL" in found.remedy


@pytest.mark.parametrize(
    ("seconds", "status"), [(0, Status.OK), (20, Status.WARN), (-20, Status.WARN), (90, Status.FAIL)]
)
async def test_a_clock_that_differs_is_told(issuer: Endpoint, seconds: int, status: Status) -> None:
    """The issuer's clock is compared with ours: some seconds are a warning, a minute is a fault."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
    issuer.publish(rsa_signer().jwk(), headers={"Date": date})
    found = await examined(FORESTAY_JWKS_URL=issuer.url, FORESTAY_JWT_SECRET="")
    line = only(found, "clock")
    assert line.status is status
    assert ("NTP" in line.remedy) is (status is not Status.OK)


@pytest.mark.parametrize("which", ["HOOKS", "WEBHOOKS"])
async def test_the_application_is_tried(which: str) -> None:
    """An application that answers anything is there; one that is not, or a proxy without one, is a fault."""
    answers = web.Application()
    answers.router.add_get("/{status}", _answered)
    runner = web.AppRunner(answers)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    environ = {f"FORESTAY_{which}_SECRET": HOOK_SECRET}
    try:
        for path, status, words in (("405", Status.OK, "405"), ("502", Status.FAIL, "nothing behind it")):
            found = await examined(**environ, **{f"FORESTAY_{which}_URL": f"http://127.0.0.1:{port}/{path}"})
            assert only(found, which.lower()).status is status
            assert words in only(found, which.lower()).what
    finally:
        await runner.cleanup()
    found = await examined(**environ, **{f"FORESTAY_{which}_URL": f"http://127.0.0.1:{port}/{CANARY}"})
    assert only(found, which.lower()).status is Status.FAIL
    assert CANARY not in found.as_text()


async def _answered(request: web.Request) -> web.Response:
    """The status that the path says."""
    return web.Response(status=int(request.match_info["status"]))


async def test_rights_in_the_cluster_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verbs of the features that are on are asked for by name; nothing is asked where no feature needs it."""
    where = PodIdentity("forestay-1", NAMESPACE, "", SERVICE)
    all_on, none_on = load({"FORESTAY_KUBERNETES_EVENTS": "on"}), load({"FORESTAY_READINESS_BUS": "strict"})
    async with kubernetes_api(tmp_path, monkeypatch) as api:
        [found] = await check_cluster(all_on, where, api.account)
        assert (found.status, api.count("review")) == (Status.OK, 4)
        api.denied = {("watch", "endpointslices.discovery.k8s.io"), ("patch", "events.events.k8s.io")}
        [found] = await check_cluster(all_on, where, api.account)
        assert found.status is Status.FAIL
        assert found.what.endswith("may not watch endpointslices.discovery.k8s.io, patch events.events.k8s.io")
        assert found.remedy.endswith("without them a pod does not know its neighbours, and it writes no Events")
        api.denied = {("patch", "events.events.k8s.io")}
        [found] = await check_cluster(all_on, where, api.account)
        assert found.remedy.endswith("without them it writes no Events")
        assert "rbac.create=true of the chart gives them, or switch off" in found.remedy
        assert "(events.enabled=false)" in found.remedy
        asked = api.count("review")
        [found] = await check_cluster(none_on, where, api.account)
        assert (found.status, api.count("review")) == (Status.OK, asked)
        await api.stop()
        [found] = await check_cluster(all_on, where, api.account)
        assert (found.status, "does not answer" in found.what) == (Status.FAIL, True)
    assert await check_cluster(all_on, PodIdentity("", "", "", "")) == []


async def test_the_command_ends_with_its_status() -> None:
    """A fault ends it with 1, warnings with 0; `--json` is one object; settings that are wrong are faults too."""
    status, out, error = await forestay("doctor", **WELL, FORESTAY_LOGLEVEL="DEBUG")
    assert (status, error) == (0, "")
    assert out.startswith("WARN  settings   FORESTAY_LOGLEVEL is not a setting and is ignored; did you mean")
    status, out, error = await forestay("doctor", "--json", **WELL | {"FORESTAY_PING_INTERVAL": "30 s"})
    assert (status, error) == (1, "")
    told = json.loads(out)
    assert told["ok"] is False
    [found] = told["findings"]
    assert (found["status"], found["check"]) == ("FAIL", "settings")
    assert "leave out the spaces" in found["what"]
