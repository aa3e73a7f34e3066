"""The sentinels know where the master is.

Whoever answered last is asked first, unless what it said led nowhere.
"""

import asyncio
from collections import deque
from dataclasses import replace
from typing import Final

from forestay.bus.redis.client.address import Address, Place
from forestay.bus.redis.client.connection import Away, Complaint, Misconfigured, ask, open_wire
from forestay.bus.redis.client.greeting import reason

# Seconds for one sentinel: the dead host of the old master is often that of a sentinel too.
_PATIENCE: Final = 1.0


class Sentinels:
    def __init__(self, address: Address) -> None:
        self._address = address
        self._places = deque(address.places)

    async def find(self) -> Place:
        """Where the master is. Raises Away or Misconfigured."""
        unknown = 0
        why = ""
        for place in tuple(self._places):
            try:
                found = await self._ask(place)
            except Away as error:
                why = str(error)
            else:
                if found is not None:
                    return found
                unknown += 1
            self._places.rotate(-1)
        if unknown == len(self._places):
            raise Misconfigured(f"the sentinels know no master {self._address.master!r}; check ?master= in the bus URL")
        raise Away(f"no sentinel names the master: {why}")

    def distrust(self) -> None:
        """What was found is not the master; ask another one first."""
        self._places.rotate(-1)

    async def _ask(self, place: Place) -> Place | None:
        # Most sentinels have no password; those that have one mostly have that of the servers.
        try:
            return await self._ask_as(replace(self._address, database=0, user=None, password=None), place)
        except Complaint as complaint:
            if complaint.kind != "NOAUTH":
                raise Away(f"{place}: {complaint}") from None
        try:
            return await self._ask_as(replace(self._address, database=0), place)
        except Complaint as complaint:
            raise reason(complaint, place) from None

    async def _ask_as(self, address: Address, place: Place) -> Place | None:
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._lookup(address, place)
        except TimeoutError:
            raise Away(f"{place} did not answer within {_PATIENCE:g} s") from None

    async def _lookup(self, address: Address, place: Place) -> Place | None:
        wire = await open_wire(address, place, _PATIENCE)
        try:
            answer = await ask(wire, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.master or "")
        finally:
            wire.drop()
        match answer:
            case [bytes() as host, bytes() as port]:
                return Place(host.decode(), int(port))
            case _:
                return None
