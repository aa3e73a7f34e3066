"""Asks the sentinels where the master is.

The sentinel that answered last is asked first, unless its answer was wrong.
"""

import asyncio
from collections import deque
from dataclasses import replace
from typing import Final

from forestay.bus.redis.client.address import Address, HostPort
from forestay.bus.redis.client.command import ErrorReply
from forestay.bus.redis.client.connection import Misconfigured, Unreachable, open_client
from forestay.bus.redis.client.dial import connect_error

# Seconds for one sentinel: the dead host of the old master is often that of a sentinel too.
_TIMEOUT: Final = 1.0


class Sentinels:
    def __init__(self, address: Address) -> None:
        self._address = address
        self._hosts = deque(address.hosts)

    async def find(self) -> HostPort:
        """Where the master is. Raises ConnectError."""
        unknown = 0
        reason = ""
        for host in tuple(self._hosts):
            try:
                found = await self._ask(host)
            except Unreachable as error:
                reason = str(error)
            else:
                if found is not None:
                    return found
                unknown += 1
            self._hosts.rotate(-1)
        if unknown == len(self._hosts):
            raise Misconfigured(f"the sentinels know no master {self._address.master!r}; check ?master= in the bus URL")
        raise Unreachable(f"no sentinel names the master: {reason}")

    def distrust(self) -> None:
        """Ask another sentinel first: what the last one named is not a master that answers."""
        self._hosts.rotate(-1)

    async def _ask(self, host: HostPort) -> HostPort | None:
        # Most sentinels have no password; those that have one mostly have that of the servers.
        try:
            return await self._ask_as(replace(self._address, database=0, user=None, password=None), host)
        except ErrorReply as error:
            if error.kind != "NOAUTH":
                raise Unreachable(f"{host}: {error}") from None
        try:
            return await self._ask_as(replace(self._address, database=0), host)
        except ErrorReply as error:
            raise connect_error(error, host) from None

    async def _ask_as(self, address: Address, host: HostPort) -> HostPort | None:
        try:
            async with asyncio.timeout(_TIMEOUT):
                return await self._lookup(address, host)
        except TimeoutError:
            raise Unreachable(f"{host} did not answer within {_TIMEOUT:g} s") from None

    async def _lookup(self, address: Address, host: HostPort) -> HostPort | None:
        client = await open_client(address, host, _TIMEOUT)
        try:
            answer = await client.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.master or "")
        finally:
            client.drop()
        match answer:
            case [bytes() as name, bytes() as port]:
                return self._address.reachable(HostPort(name.decode(), int(port)))
            case _:
                return None
