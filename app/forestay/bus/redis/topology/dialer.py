"""Dials nodes: the given one, or with sentinels the current master. Reports what fails."""

import asyncio
from functools import partial

from forestay.bus.redis.client.address import Address, HostPort
from forestay.bus.redis.client.connection import ConnectError, Unreachable
from forestay.bus.redis.client.dial import Dial, Dialed, dial
from forestay.bus.redis.client.report import Report
from forestay.bus.redis.topology.sentinels import Sentinels


class Dialer:
    def __init__(self, address: Address, sentinels: Sentinels | None, report: Report, timeout: float) -> None:
        """`timeout`: seconds for one attempt, with everything that it asks."""
        self._address = address
        self._sentinels = sentinels
        self._report = report
        self._timeout = timeout

    def to(self, host: HostPort) -> Dial:
        """How to connect to the node `host`. With sentinels that is the master, and `host` is not used."""
        return partial(self._dial, host)

    async def _dial(self, host: HostPort) -> Dialed:
        try:
            async with asyncio.timeout(self._timeout):
                return await (self._dial_master(self._sentinels) if self._sentinels else self._dial_host(host))
        except TimeoutError:
            place = "the master" if self._sentinels else str(host)
            hint = "; does it speak TLS?" if self._address.tls else ""
            error: ConnectError = Unreachable(f"{place}: no connection within {self._timeout:g} s{hint}")
        except ConnectError as found:
            error = found
        self._report.connect_failed(error)
        raise error

    async def _dial_host(self, host: HostPort) -> Dialed:
        return await dial(self._address, host, self._timeout)

    async def _dial_master(self, sentinels: Sentinels) -> Dialed:
        host = await sentinels.find()
        try:
            return await self._dial_host(host)
        except Unreachable:
            sentinels.distrust()
            raise
