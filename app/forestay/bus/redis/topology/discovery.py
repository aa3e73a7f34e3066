"""Discovers the Redis topology: fixed for one server, polled for sentinels and for a Cluster.

Sentinels and Clusters do not tell a pod of a change. So they are asked again every interval, and at once when an error
suggests a change.
"""

import asyncio
import random
from functools import partial
from typing import Final

from forestay.bus.redis.client.address import Address
from forestay.bus.redis.client.connection import ConnectError
from forestay.bus.redis.client.nodes import Nodes
from forestay.bus.redis.client.report import Report
from forestay.bus.redis.keys import PARTITIONS
from forestay.bus.redis.topology.cluster import read_shares
from forestay.bus.redis.topology.sentinels import Sentinels
from forestay.core.ports.tasks import Tasks

# The least seconds between two requests to a Cluster, drawn up to twice that: a moving slot or a dead node causes many
# errors.
_MIN_PAUSE: Final = 0.25

_ALL_PARTITIONS: Final = frozenset(range(PARTITIONS))


class Discovery:
    def __init__(
        self,
        address: Address,
        sentinels: Sentinels | None,
        nodes: Nodes,
        report: Report,
        tasks: Tasks,
        interval: float,
    ) -> None:
        """`interval`: seconds between two requests while nothing fails."""
        self._address = address
        self._sentinels = sentinels
        self._nodes = nodes
        self._report = report
        self._tasks = tasks
        self._interval = interval
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Assign the partitions to nodes, and keep that up to date until closed."""
        if self._address.cluster:
            self._task = self._tasks.keep("redis_discovery", self._follow_cluster)
            return
        # With sentinels the node is named after the first of them. Each dial asks them where the server is.
        self._nodes.assign({self._address.hosts[0]: _ALL_PARTITIONS})
        if self._sentinels is not None:
            self._task = self._tasks.keep("redis_discovery", partial(self._follow_master, self._sentinels))

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _follow_cluster(self) -> None:
        while True:
            self._report.topology_stale.clear()
            known = sorted(self._nodes.nodes.values(), key=lambda node: not node.up)
            try:
                shares = await read_shares(self._address, [*(node.host for node in known), *self._address.hosts])
            except ConnectError as error:
                self._report.connect_failed(error)
            else:
                self._nodes.assign(shares)
            await asyncio.sleep(random.uniform(_MIN_PAUSE, 2 * _MIN_PAUSE))
            await self._stale()

    async def _follow_master(self, sentinels: Sentinels) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                host = await sentinels.find()
            except ConnectError:
                # This does no harm while the master works. When it does not, dialing it reports the error.
                continue
            for node in self._nodes.nodes.values():
                node.server_moved(host)

    async def _stale(self) -> None:
        """Return when the topology may have changed, or after the interval."""
        try:
            async with asyncio.timeout(self._interval):
                await self._report.topology_stale.wait()
        except TimeoutError:
            pass
