"""Builds all parts of a pod, starts them, and stops them after a drain: the composition root.

The parts meet only here. None of them reads a setting or builds another part.
"""

import asyncio
import random
import time
from dataclasses import replace
from functools import partial

import structlog

from forestay import build
from forestay.bus.redis.completeness import SETTLING
from forestay.core.ports.bus import BusLost
from forestay.core.rules.lifecycle import State
from forestay.edge.client_address import TrustedProxies
from forestay.edge.engineio.requests import EngineRequests
from forestay.edge.listening.listener import CannotListen
from forestay.edge.websocket.group_writes import group_writer
from forestay.ops.health.loop_lag import LoopLag
from forestay.ops.health.probes import Health
from forestay.ops.health.readiness import BusRule, NoNeighbours, Readiness
from forestay.ops.metrics.metrics import Metrics
from forestay.ops.moves.balance import Balance
from forestay.ops.moves.drain import Drain
from forestay.pod.announcements import Announcements
from forestay.pod.api import make_api
from forestay.pod.closings import Closings, attempt
from forestay.pod.cluster import cluster_parts
from forestay.pod.draining import Draining
from forestay.pod.engine import engine_paths
from forestay.pod.event_loops import name_of
from forestay.pod.file_limit import divide, places, raise_limit
from forestay.pod.hooks import make_application
from forestay.pod.inputs import Parts
from forestay.pod.links import link
from forestay.pod.listeners import InternalPort, PublicPort
from forestay.pod.operating import PodOperating, Running
from forestay.pod.public_paths import make_admission, public_paths
from forestay.pod.readings import Sources, balance_facts, readings, vitals
from forestay.pod.socket_limits import message_limits
from forestay.pod.socketio import make_socketio
from forestay.pod.telemetry import observe
from forestay.pod.webhooks import make_delivery, webhook_source
from forestay.pod.wiring import Observed, assemble
from forestay.settings.settings import Settings, pod_identity

log = structlog.get_logger(__name__)

# Seconds that the bus takes to close when Redis does not answer. They are a part of the flush.
_BUS_CLOSING = 2.0
# The least time in seconds to announce the exit, also when `flush_timeout` is shorter.
_LEAST_ANNOUNCING = 0.5


class CannotStart(Exception):
    """A port or the bus cannot be used, and waiting cannot help. The message says what is wrong and what to do."""


class Server:
    """One pod on its two ports."""

    def __init__(self, settings: Settings, parts: Parts, settling: float = SETTLING) -> None:
        """`settling`: seconds after a loss in which Redis may not know all pods."""
        files = divide(raise_limit())
        settings = settings.model_copy(update={"max_connections": places(files, settings.max_connections)})
        self._settings = settings
        self._tasks = parts.tasks
        self._verifier, self._keys = parts.verifier, parts.keys
        self._api_keys = parts.api_keys
        self._lag = LoopLag()
        self._observation = observe(settings, asyncio.get_running_loop())
        counts = self._observation.counts
        observer = self._observation.observer
        self._operating = PodOperating(settings.ops_show, self._observation.recents, self._lag, counts.traffic)
        links = link(settings, observer, parts.tasks, settling)
        links = replace(links, application=make_application(settings, parts.hook_module))
        self._webhooks = make_delivery(settings, links.webhooks, parts.tasks, observer)
        self._webhook_source = webhook_source(links.webhooks, self._webhooks)
        observed = Observed(observer, self._observation.tracing, counts.traffic, self._operating)
        self._group_writer = group_writer()
        pod = self._pod = assemble(settings, parts.policies, links, parts.verifier, observed, self._group_writer)
        where = pod_identity()
        self._cluster = cluster_parts(settings, where, parts.tasks, counts.cluster)
        self._announcements = Announcements(pod.hub, self._cluster, self._observation)
        self._readiness = Readiness(
            pod.lifecycle,
            vitals(settings, pod, self._lag, parts),
            BusRule(settings.readiness_bus, settings.readiness_grace, where.pod),
            self._cluster.neighbours or NoNeighbours(),
            self._announcements.degraded,
        )
        self._operating.running = Running(
            pod.hub, pod.relocation, self._readiness, self._announcements, settings.max_connections
        )
        self._balance = self._balanced() if settings.rebalance_shed else None
        proxies = TrustedProxies(settings.trusted_proxies)
        self._admission = make_admission(settings, pod, proxies, parts.development)
        waiting, application = self._webhook_source.backlog, links.application
        sources = Sources(self._readiness, self._lag, self._admission, self._balance, parts, waiting, application)
        self._metrics = Metrics(counts, readings(settings, pod, sources))
        drain = Drain(pod.lifecycle, pod.hub, pod.relocation, self._admission.wait_closed, random.Random())
        self._draining = Draining(settings, drain, self._announcements, pod.drain_asked)
        paths = public_paths(settings, pod, self._admission, observer, parts.development)
        self._socketio: EngineRequests | None = None
        if settings.socketio:
            self._socketio = make_socketio(settings, parts.namespaces, pod, self._admission, observer)
            engine = engine_paths(settings, self._socketio, parts.client_file)
            paths = replace(paths, handlers={**paths.handlers, **engine})
        self._public = PublicPort(settings, files, paths, message_limits(settings), proxies)
        self.api = make_api(settings, pod, self._api_keys, observer, self._webhook_source)
        self._internal = InternalPort(
            settings, files, self.api, Health(pod.lifecycle, self._readiness, self._metrics.render)
        )
        self._periodic: list[asyncio.Task[None]] = []
        self._closings = Closings()
        self.port = settings.port
        self.internal_port = settings.internal_port

    async def start(self) -> None:
        """Listen on both ports, the internal one first. Raises CannotStart."""
        settings, pod, closings = self._settings, self._pod, self._closings
        # The constructor makes these, so they are closed even if a signal ends the start at its first step.
        closings.add("background tasks", self._tasks.close)
        if self._group_writer is not None:
            closings.add("writes to groups", self._group_writer.close)
        closings.add("internal listener", self._internal.close)
        closings.add("token verifier", self._verifier.close)
        closings.add("bus", pod.bus.close)
        closings.add("control channel", pod.control.close)
        closings.add("announcements of the exit", self._announce_exit)
        self.internal_port = await self._listen(self._internal, settings.internal_port)
        self._keys.start()
        try:
            await pod.bus.start()
        except BusLost as error:
            raise CannotStart(f"the bus cannot be used: {error}") from None
        pod.control.start()
        closings.add("recovery", pod.recovery.stop)
        closings.add("periodic tasks", self._cancel_periodic)
        self._start_periodic()
        self._tasks.once("drain", self._draining.when_asked())
        if self._webhooks is not None:
            self._webhooks.start()
        self._cluster.start(settings)
        closings.add("watches", self.api.close)
        closings.add("subscriptions", pod.subscriptions.close)
        closings.add("sessions", pod.sessions.close)
        closings.add("public listener", self._public.close)
        if self._socketio is not None:
            closings.add("Socket.IO sessions", self._socketio.sessions.close)
        try:
            async with asyncio.timeout(settings.bus_timeout):
                await pod.heartbeat.registered.wait()
        except TimeoutError:
            pass
        self.port = await self._listen(self._public, settings.port)
        await self._open()

    async def _listen(self, where: PublicPort | InternalPort, port: int) -> int:
        try:
            return await where.open(self._settings.host, port)
        except CannotListen as error:
            raise CannotStart(str(error)) from None

    async def _heartbeats(self) -> None:
        """Send heartbeats once this pod gets the questions of those that it tells of itself, and what they revoke."""
        await self._pod.control.listening.wait()
        await self._pod.heartbeat.run()

    async def _open(self) -> None:
        """Take connections from the moment when the other pods can ask this one, and log that it is ready.

        Without the bus: log that first. Before the first heartbeat a pod does not know what is revoked either.
        """
        bound = {
            "host": self._settings.host,
            "port": self.port,
            "internal_port": self.internal_port,
            "loop": name_of(asyncio.get_running_loop()),
            "build": build.kind(),
        }

        registered, reached = self._pod.heartbeat.registered, self._readiness.bus_reached

        async def ready() -> None:
            await registered.wait()
            self._take_connections()
            await reached.wait()
            log.info("ready", **bound)

        if registered.is_set():
            self._take_connections()
        else:
            reason = "it has not been reached yet; connections are refused until then"
            log.warning("started without the bus", reason=reason, **bound)
        if reached.is_set():
            await ready()
        else:
            self._tasks.once("readiness", ready())

    def _take_connections(self) -> None:
        if self._pod.lifecycle.state is State.STARTING:
            self._pod.lifecycle.move(State.READY)
            self._readiness.look(asyncio.get_running_loop().time(), time.time())

    async def stop(self, hurry: asyncio.Event, *, paced: bool = False) -> None:
        """Drain and close all parts. `paced`: over the window. `hurry` ends the waiting when it is set.

        A part that fails to stop is logged, and the rest is closed all the same.
        """
        lifecycle = self._pod.lifecycle
        if lifecycle.open or self._draining.asked:
            await attempt("drain", lambda: self._draining.finish(hurry, paced=paced))
        if lifecycle.open:
            # The drain failed before its first step.
            lifecycle.move(State.DRAINING)
        await self._closings.close()
        lifecycle.move(State.STOPPED)
        log.info("stopped")

    def _start_periodic(self) -> None:
        pod, tasks = self._pod, self._tasks
        self._periodic = [
            tasks.keep("recovery_checks", pod.recovery.check_forever),
            tasks.keep("heartbeat", self._heartbeats),
            tasks.keep("loop_lag", self._lag.watch),
            tasks.keep("rates", self._operating.rates.watch),
            tasks.keep("readiness", partial(self._readiness.watch, time.time)),
        ]
        if self._api_keys is not None:
            self._periodic.append(tasks.keep("api_keys", self._api_keys.watch))
        if self._balance is not None:
            self._periodic.append(tasks.keep("balance", self._balance.keep))

    def _cancel_periodic(self) -> None:
        for task in self._periodic:
            task.cancel()

    async def _announce_exit(self) -> None:
        """Leave the registry, and send the last Events and spans. All of these run at once and share the time."""
        seconds = max(_LEAST_ANNOUNCING, self._settings.flush_timeout - _BUS_CLOSING)
        await asyncio.gather(
            attempt("registry", lambda: self._retire(seconds)),
            attempt("cluster", lambda: self._cluster.close(seconds)),
            attempt("telemetry", lambda: self._observation.close(seconds)),
            attempt("hooks", lambda: self._close_hooks(seconds)),
        )

    async def _close_hooks(self, seconds: float) -> None:
        """Tell the application what is left to tell."""
        if self._pod.hooks is not None:
            await self._pod.hooks.close(seconds)

    async def _retire(self, seconds: float) -> None:
        """Tell the other pods that this one leaves. If the bus is lost, they learn it when our lease ends.

        The last pod also delivers what is left for the receiver of webhooks, within the rest of the time.
        """
        until, last_pod = asyncio.get_running_loop().time() + seconds, self._pod.pods.alone
        try:
            async with asyncio.timeout_at(until):
                await self._pod.heartbeat.retire(self._settings.presence_grace)
        except (BusLost, TimeoutError):
            pass
        if self._webhooks is not None:
            left = until - asyncio.get_running_loop().time()
            await self._webhooks.close(max(0.0, left), last_pod=last_pod)

    def _balanced(self) -> Balance | None:
        """Return the part that balances connections; None where the other pods cannot be known."""
        neighbours = self._cluster.neighbours
        if neighbours is None:
            log.warning("connections are not rebalanced: set POD_NAME, POD_NAMESPACE and SERVICE_NAME")
            return None
        view = balance_facts(self._settings, self._pod, self._readiness, neighbours)
        return Balance(self._pod.hub, self._pod.relocation, view, random.Random(), self._announcements.shed)
