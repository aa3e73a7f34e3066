"""Opens a connection and checks that it leads to a server that the pod can use.

An address may be wrong: sentinels may be late, a name may lead to a replica, a node of a Cluster may be taken for a
single server.
"""

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from forestay.bus.redis.client.address import Address, HostPort
from forestay.bus.redis.client.command import ErrorReply
from forestay.bus.redis.client.connection import (
    GIVE_RIGHT,
    ConnectError,
    Misconfigured,
    RespClient,
    Unreachable,
    open_client,
)
from forestay.bus.redis.scripts import SCRIPTS

# Error replies that another attempt cannot change, and their remedies.
_REMEDIES: Final = {
    "NOAUTH": "give user:password@ in the bus URL",
    "WRONGPASS": "check the user and the password in the bus URL",
    "NOPERM": GIVE_RIGHT,
}


class Dialed(NamedTuple):
    """An open connection that was checked."""

    client: RespClient
    incarnation: bytes
    """The server's `master_replid`, which is new after each restart and promotion; empty if it may not be read."""


Dial = Callable[[], Awaitable[Dialed]]
"""Connects to one node. Raises ConnectError."""


async def dial(address: Address, host: HostPort, within: float) -> Dialed:
    """Connect to the server at `host`, check that it is a master, and load the scripts. Raises ConnectError.

    `within`: seconds for the connection. The caller limits the time of the checks.
    """
    client = await open_client(address, host, within)
    try:
        replication = await read_info(client, "replication")
        if replication.get("role", "master") != "master":
            raise Unreachable(f"{host} is a replica")
        cluster = (await read_info(client, "cluster")).get("cluster_enabled")
        if cluster == "1" and not address.cluster:
            raise Misconfigured(f"{host} is a node of a Cluster; write redis+cluster:// in the bus URL")
        if cluster == "0" and address.cluster:
            raise Misconfigured(f"{host} is not a node of a Cluster; write redis:// in the bus URL")
        for script in SCRIPTS:
            await client.ask("SCRIPT", "LOAD", script.text)
    except ErrorReply as error:
        client.drop()
        raise connect_error(error, host) from None
    except BaseException:
        client.drop()
        raise
    return Dialed(client, replication.get("master_replid", "").encode())


def connect_error(error: ErrorReply, host: HostPort) -> ConnectError:
    """Misconfigured with a remedy if another attempt cannot help against `error`, else Unreachable."""
    remedy = _REMEDIES.get(error.kind)
    return Misconfigured(f"{host}: {error}; {remedy}") if remedy else Unreachable(f"{host}: {error}")


async def read_info(client: RespClient, section: str) -> dict[str, str]:
    """The fields of one section of INFO; empty if the server has no such command."""
    try:
        answer = await client.ask("INFO", section)
    except ErrorReply as error:
        if error.kind != "ERR":
            raise
        return {}
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else ""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
