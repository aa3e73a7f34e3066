"""The whole process: its command line, its signals, and the secrets that it must not print."""

import asyncio
import base64
import json
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.support.gateway import API_KEY, PATIENCE, SECRET, Client, token, upgrade
from tests.support.local_redis import RedisServer
from tests.support.process import KEYS, banner, forestay, serving

# A test starts up to five processes, each of which takes half a second of CPU before its first line.
pytestmark = pytest.mark.timeout(240)

ISSUER = {"FORESTAY_JWKS_URL": "http://127.0.0.1:9/keys", "FORESTAY_JWT_ALGORITHMS": "RS256"}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_sigterm_closes_every_client_and_exits_with_0(how: signal.Signals) -> None:
    """After SIGTERM clients get their pending messages and 1001 with a reason, and the exit status is 0."""
    async with serving(FORESTAY_DRAIN_WINDOW="1") as served:
        clients = [await Client.open(served.port, token(f"user-{number}")) for number in range(50)]
        for client in clients:
            await client.hear("welcome")
        ending = asyncio.ensure_future(served.end(how))
        for client in clients:
            closed = await client.ended()
            assert closed.code == 1001
            assert closed.reason
            await client.close()
        assert await ending == 0
        assert not [line for line in served.log.splitlines() if json.loads(line)["level"] in ("error", "warning")]


async def test_a_second_signal_does_not_wait_for_clients_that_do_not_answer() -> None:
    """A second signal ends the drain at once, and late upgrades are refused."""
    async with serving(FORESTAY_DRAIN_WINDOW="0", FORESTAY_CLOSE_TIMEOUT="60") as served:
        client = await Client.open(served.port, token())
        await client.hear("welcome")
        served.process.send_signal(signal.SIGTERM)
        assert (await client.ended()).code == 1001
        late = await Client.request(served.port, upgrade(token()))
        assert (late.status, "retry-after" in late.headers) == (503, True)
        async with aiohttp.request("GET", f"http://127.0.0.1:{served.internal_port}/readyz") as response:
            assert response.status == 503
        assert await served.end() == 0


async def test_a_client_process_that_is_killed_takes_nothing_with_it() -> None:
    """A hundred sockets that vanish at once do not disturb the gateway."""
    script = (
        "import socket,sys\n"
        "held = []\n"
        "for request in sys.stdin.buffer.read().split(b'\\r\\n\\r\\n')[:-1]:\n"
        "    one = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
        "    one.sendall(request + b'\\r\\n\\r\\n')\n"
        "    held.append((one, one.recv(4096)))\n"
        "print('in', flush=True)\n"
        "import time; time.sleep(60)\n"
    )
    async with serving() as served:
        witness = await Client.open(served.port, token("witness"))
        await witness.hear("welcome")
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(served.port), stdin=pipe, stdout=pipe
        )
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"".join(upgrade(token(f"user-{number}")) for number in range(100)))
        child.stdin.close()
        assert await asyncio.wait_for(child.stdout.readline(), 3 * PATIENCE) == b"in\n"
        child.kill()
        await child.wait()
        url = f"http://127.0.0.1:{served.internal_port}/metrics"
        while True:
            async with aiohttp.request("GET", url) as response:
                if "\nforestay_connections 1.0\n" in await response.text():
                    break
            await asyncio.sleep(0.05)
        assert (await witness.ask({"type": "ping"}))["type"] == "pong"
        await witness.close()
        assert await served.end() == 0
        assert '"error"' not in served.log


async def test_a_token_is_never_shown() -> None:
    """A token is in no log, metric, answer or close reason, whatever happened to its request."""
    canary = token("canary")
    needle = canary.split(".")[2][:20]
    encoded = base64.urlsafe_b64encode(canary.encode()).decode().rstrip("=")
    bad = canary[:-3] + "AAA"
    async with serving(FORESTAY_LOG_LEVEL="DEBUG") as served:
        requests = [
            upgrade(canary),
            upgrade(bad),
            upgrade(None, f"/ws?token={canary}"),
            upgrade(None, f"/ws?access_token={bad}"),
            upgrade(None, f"/nowhere?token={canary}", Connection="close"),
            upgrade(canary, f"/ws?token={bad}"),
            upgrade(None, Sec_WebSocket_Protocol=f"forestay.v1, base64url.bearer.forestay.{encoded}"),
            upgrade(None, Sec_WebSocket_Protocol=f"base64url.bearer.forestay.{encoded}"),
            upgrade(None, Sec_WebSocket_Protocol=f"chat, base64url.bearer.forestay.{encoded}, {canary}"),
            upgrade(None, f"/ws?token={canary}" + "x" * 10_000),
            upgrade(canary + "x" * 10_000),
            upgrade(canary, X_Bad=f"{canary}\x00"),
            f"GET /ws?token={canary} HTTP/9.9\r\n\r\n".encode(),
            f"{canary} nonsense\r\n\r\n".encode(),
        ]
        seen = b""
        for request in requests:
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(request)
            try:
                seen += await asyncio.wait_for(reader.read(4096), PATIENCE)
            except ConnectionError:
                pass
            writer.close()
        client = await Client.open(served.port, canary)
        await client.hear("welcome")
        answer = await client.ask({"type": "auth", "payload": {"token": bad}})
        seen += json.dumps(answer).encode()
        async with aiohttp.request("GET", f"http://127.0.0.1:{served.internal_port}/metrics") as response:
            seen += await response.read()
        await client.close()
        await served.end()
        for secret in (needle, encoded[-40:], SECRET, API_KEY):
            assert secret not in served.log
            assert secret.encode() not in seen


async def test_every_bad_setting_is_named_at_once(tmp_path: Path) -> None:
    """All wrong settings are listed at once with the problem and a remedy, and without secrets."""
    status, _, error = await forestay(
        "check",
        FORESTAY_PORT="99999",
        FORESTAY_JWT_SECRET="hunter2",
        FORESTAY_ALLOWED_ORIGINS="example.com",
        FORESTAY_DRIAN_WINDOW="5",
    )
    assert status == 2
    for variable in (
        "FORESTAY_PORT",
        "FORESTAY_JWT_SECRET",
        "FORESTAY_ALLOWED_ORIGINS",
        "FORESTAY_DRIAN_WINDOW is not",
    ):
        assert variable in error
    assert "openssl" in error
    assert "hunter2" not in error
    rooms = tmp_path / "rooms.toml"
    rooms.write_text('[[rooms]]\npattern = "*"\nechoo = true\n')
    status, _, error = await forestay("check", **KEYS, FORESTAY_ROOMS_FILE=str(rooms))
    assert status == 2
    assert "echoo" in error
    rooms.write_text('[[room]]\npattern = "*"\n')
    status, _, error = await forestay("check", **KEYS, FORESTAY_ROOMS_FILE=str(rooms))
    assert status == 2
    assert "unknown room" in error
    assert "[[rooms]]" in error


async def test_the_message_names_the_setting_that_is_wrong(tmp_path: Path) -> None:
    """An error names its own setting, the default as it is, and a file by its path."""
    rooms, secret = tmp_path / "rooms.toml", tmp_path / "secret"
    _, _, error = await forestay("check", **KEYS, FORESTAY_DEFAULT_RIGHTS="chat", FORESTAY_ROOMS_FILE=str(rooms))
    assert "FORESTAY_DEFAULT_RIGHTS: 'chat' has no rights" in error
    assert f"FORESTAY_ROOMS_FILE: cannot read {rooms}: No such file or directory; check" in error
    rooms.write_text("rooms = [")
    _, _, error = await forestay(
        "check", FORESTAY_JWKS_URL="http://issuer.example/keys", FORESTAY_ROOMS_FILE=str(rooms)
    )
    assert "FORESTAY_JWKS_URL: the JWKS URL is plain http" in error
    assert f"FORESTAY_ROOMS_FILE: {rooms} is not TOML" in error
    secret.write_bytes(b"\xff" * 40)
    _, _, error = await forestay("check", FORESTAY_JWT_SECRET_FILE=str(secret), FORESTAY_BUS_URL="http://redis")
    assert f"FORESTAY_JWT_SECRET_FILE: {secret} is not text" in error
    assert error.rstrip().endswith("default memory://")


async def test_serving_without_a_key_is_refused() -> None:
    """Without a key the gateway does not start, and names the three ways to give one."""
    status, _, error = await forestay("serve", "--port", "0", "--internal-port", "0")
    assert status == 2
    for word in ("JWT_SECRET", "JWT_PUBLIC_KEY", "JWKS_URL"):
        assert word in error


async def test_a_folder_without_a_key_is_named(tmp_path: Path) -> None:
    """If the folder of secrets has no token key, the error says which file is expected there."""
    (tmp_path / "jwt_secret").write_text(SECRET)
    status, _, error = await forestay("check", FORESTAY_SECRETS_DIR=str(tmp_path))
    assert status == 2
    assert f"put the file jwt-secret or jwt-public-key into {tmp_path}" in error
    assert "in the chart: a key of that name into the Secret of auth.existingSecret" in error


async def test_check_accepts_good_settings_and_points_at_slips(tmp_path: Path) -> None:
    """`check` accepts a secret from a file, and warns of a variable that is not a setting."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    doors = {"FORESTAY_SOCKETIO": "on", "FORESTAY_SOCKETIO_TRANSPORTS": "websocket", "FORESTAY_PATH_PREFIX": "/chat"}
    status, out, _ = await forestay("check", FORESTAY_JWT_SECRET_FILE=str(secret), FORESTAY_MAX_CONECTIONS="5", **doors)
    assert status == 0
    assert "FORESTAY_MAX_CONECTIONS" in out
    assert "clients connect to /chat/ws on port 8080" in out
    assert "Socket.IO clients connect to /chat/socket.io/ by websocket\n" in out
    assert "event streams are at /chat/stream" in out
    assert "drain budget" in out


async def test_a_minted_token_is_accepted() -> None:
    """A minted token has the requested rights and lifetime; wrong rights are named."""
    arguments = ("token", "--user", "alice", "--rooms", "chat.*:rw", "--ttl", "5m")
    status, out, _ = await forestay(*arguments, **KEYS)
    assert status == 0
    async with serving() as served:
        alice = await Client.open(served.port, out.strip())
        await alice.hear("welcome")
        assert (await alice.ask({"type": "join", "room": "chat.a"}))["type"] == "joined"
        assert (await alice.ask({"type": "join", "room": "news"}))["payload"]["code"] == "forbidden"
        await alice.close()
    status, _, error = await forestay("token", "--user", "alice", "--rooms", "chat", **KEYS)
    assert status == 2
    assert "pattern:letters" in error


async def test_ping_goes_through_the_gateway_and_back() -> None:
    """`ping` exits with 0 and the duration, or with 1 and the stage that failed."""
    async with serving() as served:
        url = f"ws://127.0.0.1:{served.port}/ws"
        status, out, _ = await forestay("ping", url, **KEYS)
        assert (status, out.split(" in ")[0]) == (0, f"pong from {url}")
        status, _, error = await forestay("ping", url, "--token", token(rooms={"a": "r"}), "--room", "a")
        assert status == 1
        assert "forbidden" in error
        status, _, error = await forestay("ping", url, "--token", "nonsense")
        assert status == 1
        assert "401" in error
    status, _, error = await forestay("ping", url, **KEYS)
    assert status == 1
    assert "connecting" in error
    status, _, error = await forestay("ping", url)
    assert status == 2
    assert "FORESTAY_JWT_SECRET" in error


async def test_a_ping_of_a_room_that_cannot_be_names_what_a_room_is() -> None:
    """A name that no token can have rights to ends with 2 and one line, and not with a traceback."""
    status, _, error = await forestay("ping", "ws://127.0.0.1:9/ws", "--room", "a b", **KEYS)
    assert (status, error.count("\n")) == (2, 1)
    assert error.startswith("forestay: a pattern is segments of a room name")


async def test_a_taken_port_is_named() -> None:
    """A taken port is named, with what to do about it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, _, error = await forestay(
            "serve", "--host", "127.0.0.1", "--port", port, "--internal-port", "0", **KEYS
        )
    assert status == 1
    assert port in error


@pytest.mark.parametrize("password", ["", ":wr%3Fong@", "ada:wrong@"])
async def test_a_redis_that_refuses_the_password_is_one_line(password: str, own_redis: RedisServer) -> None:
    """A password that Redis refuses ends the start with one line that names the remedy, and without a traceback."""
    own_redis.do("CONFIG", "SET", "requirepass", "right")
    url = own_redis.url.replace("//", f"//{password}")
    arguments = ("serve", "--host", "127.0.0.1", "--port", "0", "--internal-port", "0")
    status, _, error = await forestay(*arguments, **KEYS, FORESTAY_BUS_URL=url)
    assert status == 1
    assert "Traceback" not in error
    # The log has a thread of its own, and its last line may come later.
    [told] = [line for line in error.splitlines() if not line.startswith("{")]
    assert told.startswith("forestay: the bus cannot be used: ")
    assert "in the bus URL" in told
    assert "ong@" not in error


async def test_a_bus_that_was_never_reached_is_not_ready() -> None:
    """A wrong host is a warning with its reason. The log and the probes do not say `ready`, and the pod waits."""
    url = "redis://redis.invalid:6379"
    async with serving(FORESTAY_BUS_URL=url, FORESTAY_BUS_TIMEOUT="2") as served:
        async with aiohttp.request("GET", f"http://127.0.0.1:{served.internal_port}/readyz") as response:
            body = await response.json()
            assert (response.status, body["state"], body["failing"]) == (503, "starting", ["starting"])
        assert await served.end() == 0
    events = [json.loads(line) for line in served.log.splitlines()]
    assert "ready" not in {event["event"] for event in events}
    [unreachable] = [event for event in events if event["event"] == "bus unreachable"]
    assert "redis.invalid" in unreachable["reason"]
    assert "Traceback" not in served.log


async def test_equal_ports_are_one_clear_error() -> None:
    """The two ports must differ; `check` and `serve` name both settings."""
    for verb in ("check", "serve"):
        status, _, error = await forestay(verb, **KEYS, FORESTAY_PORT="9000", FORESTAY_INTERNAL_PORT="9000")
        assert status == 2
        assert "FORESTAY_PORT and FORESTAY_INTERNAL_PORT are both 9000" in error


async def test_development_mode_binds_the_loopback_and_says_that_it_is_insecure() -> None:
    """`--dev` warns that it is insecure, and refuses any address but loopback."""
    status, _, error = await forestay("serve", "--dev", "--host", "0.0.0.0", "--port", "0")
    assert status == 2
    assert "loopback" in error


async def test_development_mode_takes_the_keys_that_are_there() -> None:
    """`--dev` uses configured keys instead of those that it keeps, and prints an IPv6 address as a URL."""
    async with banner("--host", "::1", **ISSUER) as printed:
        assert "http://[::1]:" in printed
        assert "token     <token>" in printed
