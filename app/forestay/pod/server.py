"""Builds every part, runs until told to stop, drains, exits: the composition root.

This is the one place where the parts meet; none of them reads a setting or builds another.
"""

import asyncio
import gc
import random
import signal
import time
from collections.abc import Callable

import structlog
from aiohttp import web

from forestay.core.ports.bus import BusLost
from forestay.core.rules.lifecycle import State
from forestay.edge.api import Api
from forestay.edge.handshake import Door, Handshake
from forestay.edge.listener import PublicServer
from forestay.edge.origins import Origins
from forestay.ops.health.loop_lag import LoopLag
from forestay.ops.health.probes import Health
from forestay.ops.health.readiness import NoNeighbours, Readiness
from forestay.ops.kubernetes.events import Reason
from forestay.ops.metrics.metrics import Metrics
from forestay.ops.moves.balance import Balance
from forestay.ops.moves.drain import Drain, Pace
from forestay.pod.cluster import surroundings
from forestay.pod.inputs import Parts
from forestay.pod.readings import prospect, readings, vitals
from forestay.pod.telemetry import observe
from forestay.pod.wiring import assemble, link
from forestay.settings import Settings, whereabouts
from forestay.web.pages import demo_answers

log = structlog.get_logger(__name__)

# The kernel caps it at net.core.somaxconn. With less, a storm of reconnecting clients waits for SYN retransmissions.
_BACKLOG = 4096

# A full garbage collection walks every connection, a pause that grows with their number, and connections are not
# garbage. Young objects are collected rarely too: nearly all of ours die by reference count.
_GC_THRESHOLDS = (50_000, 20, 100)

# Seconds that a bus which does not answer takes to let go of what is under way: they are part of the flush.
_SETTLING = 2.0
# Seconds for goodbyes, however little the flush may take.
_LEAST_GOODBYE = 0.5


class CannotListen(Exception):
    """A port is taken or not ours to take; the message says which and what to do."""


class Server:
    """One pod on its two ports."""

    def __init__(self, settings: Settings, parts: Parts) -> None:
        self._settings = settings
        self._verifier = parts.verifier
        self._lag = LoopLag()
        self._watched = observe(settings, asyncio.get_running_loop())
        counts = self._watched.counts
        observer = self._watched.observer
        links = link(settings, observer)
        pod = self._pod = assemble(settings, parts.policies, links, parts.verifier, observer, self._watched.tracing)
        where = whereabouts()
        self._around = surroundings(settings, where, counts.cluster)
        self._readiness = Readiness(
            pod.lifecycle,
            vitals(settings, pod, self._lag),
            settings.readiness_bus,
            settings.readiness_grace,
            self._around.neighbours or NoNeighbours(),
            where.pod,
        )
        self._readiness.degraded = self._tell_degraded
        self._balance = self._balanced() if settings.rebalance_shed else None
        door = Door(
            max_connections=settings.max_connections,
            max_handshakes=settings.handshakes,
            query_token=settings.query_token,
            send_buffer=settings.send_buffer_bytes,
            close_timeout=settings.close_timeout,
        )
        origins = Origins(settings.allowed_origins)
        self._handshake = Handshake(door, origins, pod.verifier, pod.lifecycle, pod.dispatcher, observer)
        asked = readings(settings, pod, self._readiness, self._lag, self._handshake, self._balance)
        self._metrics = Metrics(counts, asked)
        over = self._handshake.conversations_over
        self._drain = Drain(pod.lifecycle, pod.hub, pod.relocation, over, random.Random())
        self._public = web.ServerRunner(self._public_server(), shutdown_timeout=1.0)
        self._internal = web.AppRunner(self._internal_app(), access_log=None, shutdown_timeout=1.0)
        self._chores: list[asyncio.Task[None]] = []
        self.port = settings.port
        self.internal_port = settings.internal_port

    async def start(self) -> None:
        """Listen on both ports, the internal one first. Raises CannotListen."""
        settings, pod = self._settings, self._pod
        self.internal_port = await _listen(self._internal, settings.host, settings.internal_port)
        await self._pod.bus.start()
        pod.control.start()
        try:
            # What was revoked is known before anybody comes.
            await pod.heartbeat.heartbeat()
        except BusLost:
            pass
        chores = (
            pod.recovery.check_forever(),
            pod.heartbeat.keep(),
            self._lag.watch(),
            self._readiness.watch(time.time),
        )
        self._chores = [asyncio.create_task(chore) for chore in chores]
        self._around.start(settings)
        if self._balance is not None:
            self._chores.append(asyncio.create_task(self._balance.keep()))
        self.port = await _listen(self._public, settings.host, settings.port)
        pod.lifecycle.move(State.READY)
        self._readiness.look(asyncio.get_running_loop().time(), time.time())
        log.info("ready", host=settings.host, port=self.port, internal_port=self.internal_port)

    async def stop(self, hurry: asyncio.Event, *, paced: bool = False) -> None:
        """Drain and let go of everything; `paced`: over the window. `hurry` set ends the waiting."""
        settings, pod = self._settings, self._pod
        if pod.lifecycle.open:
            window = settings.drain_window if paced else 0.0
            self._tell_draining(window)
            budget = settings.drain_deadline or settings.drain_budget
            closing = max(0.0, budget - settings.flush_timeout)
            await self._drain.run(Pace(window, settings.drain_lead, settings.close_timeout, closing), hurry)
            self._watched.drained(len(pod.hub))
        await self._public.cleanup()
        pod.sessions.close()
        pod.subscriptions.close()
        for chore in self._chores:
            chore.cancel()
        await pod.recovery.stop()
        goodbye = max(_LEAST_GOODBYE, settings.flush_timeout - _SETTLING)
        await asyncio.gather(self._retire(goodbye), self._around.close(goodbye), self._watched.close(goodbye))
        pod.control.close()
        await self._pod.bus.close()
        await self._verifier.close()
        await self._internal.cleanup()
        pod.lifecycle.move(State.STOPPED)
        log.info("stopped")

    def _tell_draining(self, window: float) -> None:
        note = f"{len(self._pod.hub)} connections are asked to move, over {window:g} s"
        self._around.tell(Reason.DRAIN_STARTED, note)
        self._watched.draining(len(self._pod.hub), window)

    def _tell_degraded(self) -> None:
        note = f"the bus is lost; {len(self._pod.hub)} connections stay"
        self._around.tell(Reason.BUS_DEGRADED, note, warning=True)

    def _tell_shed(self, number: int) -> None:
        self._around.tell(Reason.REBALANCE_SHED, f"{number} connections are asked to move: other pods have fewer")

    async def _retire(self, seconds: float) -> None:
        """Say goodbye to the other pods; if the bus is lost, the end of our lease does."""
        try:
            async with asyncio.timeout(seconds):
                await self._pod.heartbeat.retire(self._settings.presence_grace)
        except (BusLost, TimeoutError):
            pass

    def _public_server(self) -> PublicServer:
        return PublicServer({"/ws": self._handshake.serve} | (demo_answers() if self._settings.demo else {}))

    def _internal_app(self) -> web.Application:
        settings, pod = self._settings, self._pod
        api_key = settings.api_key.get_secret_value() if settings.api_key else ""
        app = web.Application()
        observer = self._watched.observer
        app.add_routes(Api(pod.backend, api_key, settings.max_message_bytes, settings.json_depth, observer).routes())
        app.add_routes(Health(pod.lifecycle, self._readiness, self._metrics.render).routes())
        return app

    def _balanced(self) -> Balance | None:
        """Who moves connections to other pods; None where nobody knows of any."""
        neighbours = self._around.neighbours
        if neighbours is None:
            log.warning("connections are not rebalanced: POD_NAME, POD_NAMESPACE and SERVICE_NAME say where we are")
            return None
        asked = prospect(self._settings, self._pod, self._readiness, neighbours)
        balance = Balance(self._pod.hub, self._pod.relocation, asked, random.Random())
        balance.shed = self._tell_shed
        return balance


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
    """Run a pod until SIGTERM, which is a drain over the window, or SIGINT, one without; a second signal ends it.

    `started` is called with both ports when the pod is ready. Raises CannotListen.
    """
    loop = asyncio.get_running_loop()
    asked, hurry = asyncio.Event(), asyncio.Event()
    first: list[int] = []

    def signalled(number: int) -> None:
        first.append(number)
        (hurry if asked.is_set() else asked).set()

    server = Server(settings, parts)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled, number)
    stopping = asyncio.ensure_future(asked.wait())
    starting = asyncio.ensure_future(server.start())
    try:
        # A start that waits for a bus must not outlive the order to stop.
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            gc.freeze()
            gc.set_threshold(*_GC_THRESHOLDS)
            started(server.port, server.internal_port)
            await stopping
    finally:
        starting.cancel()
        await asyncio.wait([starting])
        stopping.cancel()
        await server.stop(hurry, paced=first[:1] == [signal.SIGTERM])
