"""The servers of others: how each is installed, started, and spoken to."""

import json
import platform
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.crowd import SECRET
from bench.dialects import CENTRIFUGO, NATS, NATS_TOKEN, PLAIN, SOCKETIO, Dialect
from bench.installs import PINS, cache, go, node, program, python

SCRIPTS = Path(__file__).with_name("scripts")
REDIS = "BENCH_REDIS"
"""The variable with the address of the Redis that a script joins its servers by."""
_FOREVER = "1h"
_GLIBC = tuple(int(part) for part in platform.libc_ver()[1].split(".") if part.isdigit())
_UWS = "uws" if _GLIBC >= (2, 38) else "uws-older"


@dataclass(frozen=True, slots=True)
class Peer:
    """One server of others."""

    is_what: str
    """For the page: what it is, and what it leaves out."""
    command: Callable[[int, int], list[str]]
    """The command for a port and another free port. Installs what it needs first, and raises NotInstalled."""
    pins: tuple[str, str] | None = None
    """The table of bench/versions.toml."""
    dialect: Dialect = PLAIN
    environ: Callable[[int], dict[str, str]] = lambda _: {}
    """Environment variables, for the port."""
    redis: Callable[[str], dict[str, str]] | None = None
    """The environment that joins several of them by a Redis, if it can do that."""

    def version(self) -> str:
        """What is installed, for the page."""
        if self.pins is None:
            return "as the tests lock it"
        kind, name = self.pins
        return ", ".join(f"{package} {version}" for package, version in PINS[kind][name].items())


def _in_node(pins: str, script: str, port: int, other: int) -> list[str]:
    """A script of Node, copied to the packages that it imports, and what the scripts share beside it."""
    folder = node(pins)
    shutil.copy2(SCRIPTS / "token.mjs", folder)
    return [program("node"), str(shutil.copy2(SCRIPTS / script, folder)), str(port), SECRET]


def _uws(port: int, other: int) -> list[str]:
    [package] = PINS["npm"][_UWS]
    return [*_in_node(_UWS, "uws.mjs", port, other), package]


def _in_python(pins: str, script: str, port: int, other: int) -> list[str]:
    return [str(python(pins) / "python"), str(SCRIPTS / script), str(port), SECRET]


def _plain(port: int, other: int) -> list[str]:
    return [sys.executable, str(SCRIPTS / "plain_aiohttp.py"), str(port), SECRET]


def _centrifugo(port: int, other: int) -> list[str]:
    return [str(go("centrifugo"))]


def _centrifugo_environ(port: int) -> dict[str, str]:
    options = {
        "http_server.port": str(port),
        "http_server.address": "127.0.0.1",
        "client.token.hmac_secret_key": SECRET,
        "channel.without_namespace.allow_subscribe_for_client": "true",
        "channel.without_namespace.allow_publish_for_client": "true",
        # The crowd of the benches never answers a ping.
        "client.ping_interval": _FOREVER,
        "log.level": "error",
    }
    return {f"CENTRIFUGO_{key.upper().replace('.', '_')}": value for key, value in options.items()}


def _nats(port: int, other: int) -> list[str]:
    file = cache() / f"nats-{port}.conf"
    options = {
        "host": "127.0.0.1",
        "port": other,
        "authorization": {"token": NATS_TOKEN},
        # The crowd of the benches never answers a ping.
        "ping_interval": _FOREVER,
        "websocket": {"host": "127.0.0.1", "port": port, "no_tls": True},
    }
    file.write_text(json.dumps(options))
    return [str(go("nats-server")), "-c", str(file)]


PEERS: Mapping[str, Peer] = {
    "uws": Peer(
        "uWebSockets.js: a WebSocket server in C++ with its own publish and subscribe, driven by a script of Node. "
        "One process; no gateway around it. It is in no registry itself; this is a copy of its releases on npm.",
        _uws,
        ("npm", _UWS),
    ),
    "picows": Peer(
        "A WebSocket library for asyncio in Cython, on uvloop. One process; rooms are a dict in the script.",
        partial(_in_python, "picows", "picows_server.py"),
        ("pypi", "picows"),
    ),
    "ws": Peer(
        "The WebSocket library that most of Node's servers use. One process; rooms are a map in the script.",
        partial(_in_node, "ws", "ws.mjs"),
        ("npm", "ws"),
    ),
    "centrifugo": Peer(
        "A gateway in Go, on all cores: JWT, history, presence, many pods by Redis.",
        _centrifugo,
        ("go", "centrifugo"),
        CENTRIFUGO,
        _centrifugo_environ,
        lambda url: {"CENTRIFUGO_ENGINE_TYPE": "redis", "CENTRIFUGO_ENGINE_REDIS_ADDRESS": url},
    ),
    "nats-server": Peer(
        "A message broker in Go, on all cores, with its WebSocket port. It checks a token that all clients share, no "
        "JWT of a user. Several servers form a cluster without Redis, so it has no row there.",
        _nats,
        ("go", "nats-server"),
        NATS,
    ),
    "socket.io": Peer(
        "Node's Socket.IO server, by WebSocket alone: rooms, acks; many processes by its Redis adapter.",
        partial(_in_node, "socketio", "socketio.mjs"),
        ("npm", "socketio"),
        SOCKETIO,
        redis=lambda url: {REDIS: url},
    ),
    "python-socketio": Peer(
        "Socket.IO's server for Python, on aiohttp: rooms, acks; many processes by its Redis manager.",
        partial(_in_python, "socketio", "python_socketio.py"),
        ("pypi", "socketio"),
        SOCKETIO,
        redis=lambda url: {REDIS: url},
    ),
    "fastapi": Peer(
        "The connection manager of FastAPI's tutorial, with rooms, on uvicorn with uvloop. One process.",
        partial(_in_python, "fastapi", "fastapi_server.py"),
        ("pypi", "fastapi"),
    ),
    "plain": Peer(
        "An aiohttp loop as its tutorial writes it: our own library without our gateway. One process.", _plain
    ),
}
