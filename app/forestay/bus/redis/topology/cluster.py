"""Which nodes a Cluster has, and which of our partitions each of them serves.

The first node that answers is believed; where it is behind, others will say so by turning our commands down.
"""

import asyncio
from binascii import crc_hqx
from collections.abc import Iterable, Mapping
from typing import Final

from forestay.bus.redis.client.address import Address, Place
from forestay.bus.redis.client.connection import Away, Complaint, Misconfigured, ask, open_wire
from forestay.bus.redis.client.greeting import reason
from forestay.bus.redis.keys import PARTITIONS

_PATIENCE: Final = 1.0
"""Seconds for one node."""

SLOTS: Final = tuple(crc_hqx(b"%d" % partition, 0) % 16384 for partition in range(PARTITIONS))
"""The slot of each partition: of its number, which is the hash tag of all that is in it."""

Shares = Mapping[Place, frozenset[int]]


async def read_shares(address: Address, places: Iterable[Place]) -> Shares:
    """Who serves which partitions, as one of `places` says. Raises Away or Misconfigured."""
    why = ""
    for place in places:
        try:
            async with asyncio.timeout(_PATIENCE):
                return await _ask(address, place)
        except TimeoutError:
            why = f"{place} did not answer within {_PATIENCE:g} s"
        except Away as error:
            why = str(error)
    raise Away(f"no node of the Cluster can be asked: {why}")


async def _ask(address: Address, place: Place) -> Shares:
    wire = await open_wire(address, place, _PATIENCE)
    try:
        answer = await ask(wire, "CLUSTER", "SLOTS")
    except Complaint as complaint:
        if "cluster support disabled" in str(complaint):
            raise Misconfigured(f"{place} is not a node of a Cluster; write redis:// in the bus URL") from None
        raise reason(complaint, place) from None
    finally:
        wire.drop()
    owners = _owners(answer, place)
    shares: dict[Place, set[int]] = {}
    for partition, slot in enumerate(SLOTS):
        for first, last, owner in owners:
            if first <= slot <= last:
                shares.setdefault(owner, set()).add(partition)
    return {owner: frozenset(share) for owner, share in shares.items()}


def _owners(answer: object, asked: Place) -> list[tuple[int, int, Place]]:
    """The ranges of slots and their primaries. A node that does not know its own name is where it was asked."""
    owners: list[tuple[int, int, Place]] = []
    for row in answer if isinstance(answer, list) else ():
        match row:
            case [int() as first, int() as last, [host, int() as port, *_], *_]:
                name = host.decode() if isinstance(host, bytes) else ""
                owners.append((first, last, Place(name or asked.host, port)))
            case _:
                continue
    return owners


def target(complaint: Complaint, asked: Place) -> Place | None:
    """Where `MOVED slot host:port` or `ASK slot host:port` sends us; None where it cannot be read."""
    words = str(complaint).split()
    host, colon, port = words[-1].rpartition(":")
    return Place(host.strip("[]") or asked.host, int(port)) if colon and port.isdigit() else None
