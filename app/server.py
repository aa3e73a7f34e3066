"""Builds every part, runs until told to stop, drains, exits: the composition root.

This is the one place where the parts meet; none of them reads a setting or builds another.
"""

import asyncio
import gc
import signal
import tomllib
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from aiohttp import web

from app.assembly import Links, assemble, new_id
from app.bus.memory import MemoryBus
from app.bus.memory_registry import MemoryRegistry
from app.bus.redis import RedisBus
from app.bus.redis_registry import RedisRegistry
from app.core.lifecycle import State
from app.core.policies import SHIPPED, Policies, Policy, parse_policy
from app.core.ports import BusLost, Observer, Verifier
from app.edge.api import Api
from app.edge.auth import TokenVerifier
from app.edge.auth_keys import Keys
from app.edge.demo_page import demo_answers
from app.edge.handshake import Door, Handshake
from app.edge.listener import PublicServer
from app.edge.origins import Origins
from app.ops.drain import drain
from app.ops.health import Health
from app.ops.metrics import Metrics
from app.settings import MEMORY, PREFIX, Settings, SettingsError, variable_of

log = structlog.get_logger(__name__)

# The kernel caps it at net.core.somaxconn. With less, a storm of reconnecting clients waits for SYN retransmissions.
_BACKLOG = 4096

# A full garbage collection walks every connection, a pause that grows with their number, and connections are not
# garbage. Young objects are collected rarely too: nearly all of ours die by reference count.
_GC_THRESHOLDS = (50_000, 20, 100)

# Seconds that the registry has to hear that the pod is gone.
_GOODBYE = 2.0


@dataclass(frozen=True, slots=True)
class Parts:
    """What is made from settings that can be wrong, before anything runs."""

    verifier: Verifier
    policies: Policies


def prepare(settings: Settings, otherwise: Policy = SHIPPED) -> Parts:
    """Make what may fail. `otherwise`: the policy of rooms that no pattern names. Raises SettingsError."""
    problems: list[str] = []
    verifier = policies = None
    try:
        verifier = _verifier(settings)
    except ValueError as error:
        problems.append(f"{PREFIX}JWT_…: {error}")
    try:
        policies = _read_policies(settings, otherwise)
    except (ValueError, OSError) as error:
        problems.append(f"{variable_of('rooms_file')}: {error}")
    if verifier is None or policies is None:
        raise SettingsError(problems)
    return Parts(verifier, policies)


def _verifier(settings: Settings) -> Verifier:
    secret, public_key = settings.jwt_secret, settings.jwt_public_key
    if not (secret or public_key or settings.jwks_url):
        either = ", ".join(variable_of(name) for name in ("jwt_secret", "jwt_public_key", "jwks_url"))
        raise ValueError(f"no token key: set one of {either}; or try it out with: forestay serve --dev")
    keys = Keys(
        secret=secret.get_secret_value().encode() if secret else None,
        public_key=public_key.get_secret_value() if public_key else None,
        jwks_url=settings.jwks_url,
        algorithms=settings.jwt_algorithms,
    )
    return TokenVerifier(
        keys, default_rights=settings.default_rights, audience=settings.jwt_audience, issuer=settings.jwt_issuer
    )


def _read_policies(settings: Settings, otherwise: Policy) -> Policies:
    if settings.rooms_file is None:
        return Policies((), otherwise)
    document = tomllib.loads(settings.rooms_file.read_text())
    unknown = sorted(document.keys() - {"rooms"})
    if unknown:
        raise ValueError(f"unknown {', '.join(unknown)}; rooms are written as [[rooms]] tables")
    tables = document.get("rooms", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ValueError("rooms are written as [[rooms]] tables")
    return Policies([parse_policy(table, otherwise) for table in tables], otherwise)


def _links(settings: Settings, observer: Observer) -> Links:
    pod, url = f"p{new_id()}", settings.bus_url.get_secret_value()
    if url == MEMORY:
        memory = MemoryBus()
        return Links(pod, memory, MemoryRegistry(pod, memory))
    redis = RedisBus(
        url,
        timeout=settings.bus_timeout,
        probe_interval=settings.bus_probe_interval,
        observer=observer,
        new_id=new_id,
    )
    return Links(pod, redis, RedisRegistry(pod, redis))


class CannotListen(Exception):
    """A port is taken or not ours to take; the message says which and what to do."""


class Server:
    """One pod on its two ports."""

    def __init__(self, settings: Settings, parts: Parts) -> None:
        self._settings = settings
        self._verifier = parts.verifier
        # What can be asked is asked when scraped, long after the pod is there.
        self._metrics = Metrics(lambda: len(self._pod.roster), lambda: len(self._pod.rooms))
        links = _links(settings, self._metrics)
        self._bus = links.bus
        self._pod = assemble(settings, parts.policies, links, parts.verifier, self._metrics)
        door = Door(
            max_connections=settings.max_connections,
            max_handshakes=settings.handshakes,
            query_token=settings.query_token,
            send_buffer=settings.send_buffer_bytes,
            close_timeout=settings.close_timeout,
        )
        origins = Origins(settings.allowed_origins)
        pod = self._pod
        self._handshake = Handshake(door, origins, pod.verifier, pod.lifecycle, pod.gateway, self._metrics)
        self._public = web.ServerRunner(self._public_server(), shutdown_timeout=1.0)
        self._internal = web.AppRunner(self._internal_app(), access_log=None, shutdown_timeout=1.0)
        self._chores: list[asyncio.Task[None]] = []
        self.port = settings.port
        self.internal_port = settings.internal_port

    async def start(self) -> None:
        """Listen on both ports, the internal one first. Raises CannotListen."""
        await self._bus.start()
        pod = self._pod
        pod.peers.start()
        try:
            # What was revoked is known before anybody comes.
            await pod.lease.beat()
        except BusLost:
            pass
        self._chores = [asyncio.create_task(chore) for chore in (pod.continuity.check_forever(), pod.lease.keep())]
        self.internal_port = await _listen(self._internal, self._settings.host, self._settings.internal_port)
        self.port = await _listen(self._public, self._settings.host, self._settings.port)
        self._pod.lifecycle.move(State.READY)
        log.info("ready", host=self._settings.host, port=self.port, internal_port=self.internal_port)

    async def stop(self, hurry: asyncio.Event) -> None:
        """Drain and let go of everything; `hurry` set ends the waiting."""
        lifecycle = self._pod.lifecycle
        if lifecycle.open:
            await drain(lifecycle, self._pod.reception)
            await self._handshake.conversations_over(self._settings.close_timeout, hurry)
        await self._public.cleanup()
        self._pod.reception.close()
        self._pod.interest.close()
        for chore in self._chores:
            chore.cancel()
        await self._pod.continuity.stop()
        await self._retire()
        self._pod.peers.close()
        await self._bus.close()
        await self._verifier.close()
        await self._internal.cleanup()
        lifecycle.move(State.STOPPED)
        log.info("stopped")

    async def _retire(self) -> None:
        """Say goodbye to the other pods; if the bus is lost, the end of our lease does."""
        try:
            async with asyncio.timeout(_GOODBYE):
                await self._pod.lease.retire(self._settings.presence_grace)
        except (BusLost, TimeoutError):
            pass

    def _public_server(self) -> PublicServer:
        return PublicServer({"/ws": self._handshake.serve} | (demo_answers() if self._settings.demo else {}))

    def _full(self) -> bool:
        return len(self._pod.roster) >= self._settings.max_connections

    def _internal_app(self) -> web.Application:
        settings, pod = self._settings, self._pod
        api_key = settings.api_key.get_secret_value() if settings.api_key else ""
        app = web.Application()
        app.add_routes(Api(pod.backend, api_key, settings.max_message_bytes, settings.json_depth).routes())
        app.add_routes(Health(pod.lifecycle, self._full, self._metrics.render).routes())
        return app


async def _listen(runner: web.BaseRunner, host: str, port: int) -> int:
    await runner.setup()
    site = web.TCPSite(runner, host, port, backlog=_BACKLOG)
    try:
        await site.start()
    except OSError as error:
        raise CannotListen(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another port or stop who has it"
        ) from None
    address = runner.addresses[0]
    return int(address[1])


async def serve(settings: Settings, parts: Parts, started: Callable[[int, int], None]) -> None:
    """Run a pod until SIGTERM or SIGINT; a second signal ends the drain at once.

    `started` is called with both ports when the pod is ready. Raises CannotListen.
    """
    loop = asyncio.get_running_loop()
    asked, hurry = asyncio.Event(), asyncio.Event()

    def signalled() -> None:
        (hurry if asked.is_set() else asked).set()

    server = Server(settings, parts)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled)
    try:
        await server.start()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        started(server.port, server.internal_port)
        await asked.wait()
    finally:
        await server.stop(hurry)
