"""Asks a Cluster for its nodes, and which of our partitions each of them has.

The first node that answers is believed. If its answer is old, other nodes reject our commands, and it is asked again.
"""

import asyncio
from binascii import crc_hqx
from collections.abc import Iterable, Mapping
from typing import Final

from forestay.bus.redis.client.address import Address, HostPort
from forestay.bus.redis.client.command import ErrorReply
from forestay.bus.redis.client.connection import Misconfigured, Unreachable, open_client
from forestay.bus.redis.client.dial import connect_error
from forestay.bus.redis.keys import PARTITIONS

# Seconds for one node.
_TIMEOUT: Final = 1.0

SLOTS: Final = tuple(crc_hqx(b"%d" % partition, 0) % 16384 for partition in range(PARTITIONS))
"""The slot of each partition: that of its number, which is the hash tag of everything in it."""

Shares = Mapping[HostPort, frozenset[int]]


async def read_shares(address: Address, hosts: Iterable[HostPort]) -> Shares:
    """The partitions of each node, as the first of `hosts` that answers says. Raises ConnectError."""
    reason = ""
    for host in hosts:
        try:
            async with asyncio.timeout(_TIMEOUT):
                return await _ask(address, host)
        except TimeoutError:
            reason = f"{host} did not answer within {_TIMEOUT:g} s"
        except Unreachable as error:
            reason = str(error)
    raise Unreachable(f"no node of the Cluster answers: {reason}")


async def _ask(address: Address, host: HostPort) -> Shares:
    client = await open_client(address, host, _TIMEOUT)
    try:
        answer = await client.ask("CLUSTER", "SLOTS")
    except ErrorReply as error:
        if "cluster support disabled" in str(error):
            raise Misconfigured(f"{host} is not a node of a Cluster; write redis:// in the bus URL") from None
        raise connect_error(error, host) from None
    finally:
        client.drop()
    ranges = [(first, last, address.reachable(primary)) for first, last, primary in _slot_ranges(answer, host)]
    shares: dict[HostPort, set[int]] = {}
    for partition, slot in enumerate(SLOTS):
        for first, last, primary in ranges:
            if first <= slot <= last:
                shares.setdefault(primary, set()).add(partition)
    return {primary: frozenset(share) for primary, share in shares.items()}


def _slot_ranges(answer: object, asked: HostPort) -> list[tuple[int, int, HostPort]]:
    """The ranges of slots and their primaries. A node that leaves its own host name out is where it was asked."""
    ranges: list[tuple[int, int, HostPort]] = []
    for row in answer if isinstance(answer, list) else ():
        match row:
            case [int() as first, int() as last, [host, int() as port, *_], *_]:
                name = host.decode() if isinstance(host, bytes) else ""
                ranges.append((first, last, HostPort(name or asked.host, port)))
            case _:
                continue
    return ranges
