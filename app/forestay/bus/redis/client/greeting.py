"""Each new connection is asked what it leads to, before anything is said over it.

An address is a promise by somebody else: sentinels may be late, a name may lead to a replica, a Cluster may be taken
for a single server.
"""

from typing import Final

from forestay.bus.redis.client.address import Address, Place
from forestay.bus.redis.client.connection import Away, Complaint, Misconfigured, Wire, ask, open_wire
from forestay.bus.redis.scripts import ALL

# Complaints that waiting does not help against.
_FOR_GOOD: Final = {
    "NOAUTH": "give user:password@ in the bus URL",
    "WRONGPASS": "check the user and the password in the bus URL",
    "NOPERM": "give the Redis user that right",
}


async def greet(address: Address, place: Place, within: float) -> Wire:
    """A connection to the server at `place` that is a master and knows the scripts. Raises Away or Misconfigured."""
    wire = await open_wire(address, place, within)
    try:
        facts = await _facts(wire, "replication")
        if facts.get("role", "master") != "master":
            raise Away(f"{place} is a replica")
        wire.incarnation = facts.get("master_replid", "").encode()
        cluster = (await _facts(wire, "cluster")).get("cluster_enabled")
        if cluster == "1" and not address.cluster:
            raise Misconfigured(f"{place} is a node of a Cluster; write redis+cluster:// in the bus URL")
        if cluster == "0" and address.cluster:
            raise Misconfigured(f"{place} is not a node of a Cluster; write redis:// in the bus URL")
        for script in ALL:
            await ask(wire, "SCRIPT", "LOAD", script.text)
    except Complaint as complaint:
        wire.drop()
        raise reason(complaint, place) from None
    except BaseException:
        wire.drop()
        raise
    return wire


def reason(complaint: Complaint, place: Place) -> Away | Misconfigured:
    """Whether waiting may help against `complaint`."""
    remedy = _FOR_GOOD.get(complaint.kind)
    return Misconfigured(f"{place}: {complaint}; {remedy}") if remedy else Away(f"{place}: {complaint}")


async def _facts(wire: Wire, section: str) -> dict[str, str]:
    """One section of INFO; nothing where the server has no such command."""
    try:
        answer = await ask(wire, "INFO", section)
    except Complaint as complaint:
        if complaint.kind != "ERR":
            raise
        return {}
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else ""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
