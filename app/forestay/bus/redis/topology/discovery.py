"""Finds out who is responsible and keeps the fleet up to date: never for one Redis, and by asking for the others.

Sentinels and Clusters change their minds without telling anybody who only listens, so they are asked again every
interval, and at once when something does not fit.
"""

import asyncio
import random
from typing import Final

from forestay.bus.redis.client.address import Address, Place
from forestay.bus.redis.client.connection import Away, Misconfigured, Wire
from forestay.bus.redis.client.greeting import greet
from forestay.bus.redis.client.link import Dial
from forestay.bus.redis.client.nodes import Fleet
from forestay.bus.redis.keys import PARTITIONS
from forestay.bus.redis.topology.cluster import read_shares
from forestay.bus.redis.topology.sentinels import Sentinels

# Seconds between two looks at a Cluster, drawn up to twice that: a moving slot and a dead node call many times.
_REST: Final = 0.25

_EVERYTHING: Final = frozenset(range(PARTITIONS))


class Course:
    """How to reach nodes, and who keeps the fleet current."""

    def __init__(self, address: Address, patience: float, interval: float) -> None:
        self._address = address
        self._patience = patience
        self._interval = interval
        self._sentinels = Sentinels(address) if address.master is not None else None

    def dial(self, place: Place) -> Dial:
        """How to reach the node at `place`; where there are sentinels, the master wherever it is."""

        async def dialled() -> Wire:
            if self._sentinels is None:
                return await greet(self._address, place, self._patience)
            found = await self._sentinels.find()
            try:
                return await greet(self._address, found, self._patience)
            except Away:
                self._sentinels.distrust()
                raise

        return dialled

    async def keep(self, fleet: Fleet) -> None:
        """Keep `fleet` current until cancelled."""
        if self._address.cluster:
            await self._follow_cluster(fleet)
        else:
            # With sentinels the node is named after them, and found by asking.
            fleet.assign({self._address.places[0]: _EVERYTHING})
            if self._sentinels is not None:
                await self._follow_master(fleet, self._sentinels)

    async def _follow_cluster(self, fleet: Fleet) -> None:
        while True:
            fleet.stale.clear()
            known = sorted(fleet.nodes.values(), key=lambda node: not node.up)
            try:
                shares = await read_shares(self._address, [*(node.home for node in known), *self._address.places])
            except (Away, Misconfigured) as error:
                fleet.failed(error)
            else:
                fleet.assign(shares)
            await asyncio.sleep(random.uniform(_REST, 2 * _REST))
            await self._stale(fleet)

    async def _follow_master(self, fleet: Fleet, sentinels: Sentinels) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                place = await sentinels.find()
            except (Away, Misconfigured):
                # Nothing follows from it while the master works, and dialling reports it when it does not.
                continue
            for node in fleet.nodes.values():
                node.belong(place)

    async def _stale(self, fleet: Fleet) -> None:
        try:
            async with asyncio.timeout(self._interval):
                await fleet.stale.wait()
        except TimeoutError:
            pass
