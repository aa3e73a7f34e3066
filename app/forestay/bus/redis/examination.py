"""Examines the Redis behind a bus URL as a pod would use it: version, rights of the user, clock, and eviction."""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import nan

from forestay.bus.redis.client.address import Address, HostPort
from forestay.bus.redis.client.command import ErrorReply
from forestay.bus.redis.client.connection import Misconfigured, RespClient, Unreachable
from forestay.bus.redis.client.dial import connect_error, dial, read_info
from forestay.bus.redis.keys import PARTITIONS
from forestay.bus.redis.rights import missing_rights
from forestay.bus.redis.topology.cluster import read_shares
from forestay.bus.redis.topology.sentinels import Sentinels


@dataclass(frozen=True, slots=True)
class Examination:
    """What is known of one node that takes writes."""

    host: HostPort
    server: str
    """Its name, `Redis` or `Valkey`."""
    version: tuple[int, ...]
    missing: Sequence[str]
    """Rules that the user lacks, as ACL SETUSER takes them."""
    others: Sequence[str]
    """What else went wrong with a command, as sentences."""
    ahead: float
    """Seconds by which its clock is ahead of ours; NaN where it does not tell the time."""
    eviction: str
    """Its `maxmemory-policy`; empty where it does not say."""
    full: bool
    """Whether it has reached its `maxmemory`, and takes no more messages into histories."""


async def examine(address: Address, within: float, clock: Callable[[], float]) -> Sequence[Examination]:
    """Examine each node that takes writes. Changes nothing that anybody sees. Raises ConnectError.

    `within`: seconds for each step. `clock`: Unix seconds.
    """
    if address.cluster:
        shares = await read_shares(address, address.hosts)
        missing = PARTITIONS - len(frozenset().union(*shares.values()))
        if missing:
            raise Misconfigured(
                f"no node of the Cluster has the slots of {missing} of {PARTITIONS} partitions; "
                "give each slot to a node: redis-cli --cluster check names those without one"
            )
        nodes = [(host, min(share)) for host, share in sorted(shares.items())]
    elif address.master is not None:
        nodes = [(await Sentinels(address).find(), 0)]
    else:
        nodes = [(address.hosts[0], 0)]
    return await asyncio.gather(*(_examine(address, host, partition, within, clock) for host, partition in nodes))


async def _examine(
    address: Address, host: HostPort, partition: int, within: float, clock: Callable[[], float]
) -> Examination:
    try:
        async with asyncio.timeout(within):
            dialed = await dial(address, host, within)
            client = dialed.client
            try:
                facts = await read_info(client, "server")
                memory = await read_info(client, "memory")
                ahead = await _ahead(client, clock)
                valkey = "valkey_version" in facts
                version = _version(facts.get("valkey_version" if valkey else "redis_version", ""))
                place = f"{address.prefix}:{{{partition}}}:doctor:{secrets.token_hex(8)}"
                missing, others = await missing_rights(client, address, version, place)
            finally:
                client.drop()
    except TimeoutError:
        raise Unreachable(f"{host} did not answer within {within:g} s") from None
    except ErrorReply as error:
        raise connect_error(error, host) from None
    return Examination(
        host,
        "Valkey" if valkey else "Redis",
        version,
        missing,
        others,
        ahead,
        eviction=memory.get("maxmemory_policy", "").strip(),
        full=0 < _number(memory, "maxmemory") <= _number(memory, "used_memory"),
    )


async def _ahead(client: RespClient, clock: Callable[[], float]) -> float:
    before = clock()
    try:
        answer = await client.ask("TIME")
    except ErrorReply:
        return nan  # It is one of the commands that are tried.
    match answer:
        case [bytes() as seconds, bytes() as microseconds]:
            return int(seconds) + int(microseconds) / 1e6 - (before + clock()) / 2
        case _:
            return nan


def _number(facts: Mapping[str, str], name: str) -> int:
    text = facts.get(name, "").strip()
    return int(text) if text.isdigit() else 0


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.strip().split(".") if part.isdigit())
