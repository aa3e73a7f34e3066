"""Lets a share of the connections of this pod move, because an operator says so."""

from math import ceil
from random import Random

from forestay.core.fanout.hub import Hub
from forestay.core.sessions.relocation import Reason, Relocation
from forestay.ops.moves.drain import slots


def shed(hub: Hub, relocation: Relocation, share: float, within: float, rng: Random) -> int:
    """Ask `share` of the connections to connect again, over `within` seconds. Returns how many were asked.

    Connections of one client are asked together. Those that were asked before are not asked again. Where they go, the
    load balancer decides.
    """
    clients = [client for client in hub.clients() if all(one.relocating is None for one in client)]
    rng.shuffle(clients)
    wanted, chosen = ceil(share * len(hub)), []
    for client in clients:
        if wanted <= 0:
            break
        chosen.append(client)
        wanted -= len(client)
    for client, after in zip(chosen, slots(len(chosen), within, rng), strict=True):
        for one in client:
            relocation.ask(one, reason=Reason.REBALANCING, after=after)
    return sum(map(len, chosen))
