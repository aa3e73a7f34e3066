"""A sign of life to the other pods, and the end of what belongs to those that give none.

What a beat finds out decides what is said again: all of it where the registry has forgotten this pod, else what it did
not take the last time.
"""

from asyncio import sleep
from collections.abc import Mapping, Sequence
from typing import Final

from forestay.core.cluster.revocations import Revocations
from forestay.core.cluster.user_limit import UserLimit
from forestay.core.ports.bus import BusLost
from forestay.core.ports.registry import Registry
from forestay.core.rooms.presence import Presence

LONGEST_PAUSE: Final = 5.0
"""Seconds between two signs of life, or a third of the lease where that is less."""


class Heartbeat:
    def __init__(
        self,
        pod: str,
        registry: Registry,
        presence: Presence,
        user_limit: UserLimit,
        revocations: Revocations,
        seconds: float,
    ) -> None:
        """`pod`: our name. `seconds`: for which we are counted after a sign of life."""
        self.pod = pod
        self.pods: Sequence[str] = (pod,)
        """Who was alive at the last beat."""
        self.load: Mapping[str, int] = {}
        """How many connections each of them had at its own last beat."""
        self._registry = registry
        self._presence = presence
        self._user_limit = user_limit
        self._revocations = revocations
        self._seconds = seconds
        self._patience: dict[str, int] = {}
        """Pods whose lease is over, and for how many beats somebody else may still reap them."""

    async def keep(self) -> None:
        """Give signs of life until cancelled."""
        while True:
            try:
                await self.heartbeat()
            except BusLost:
                pass
            await sleep(min(LONGEST_PAUSE, self._seconds / 3))

    async def heartbeat(self) -> None:
        """Give one sign of life and do what it asks for. Raises BusLost."""
        found = await self._registry.heartbeat(self._seconds, self._user_limit.connections)
        self.pods = found.pods
        self.load = found.load
        for revocation in found.revocations:
            self._revocations.learn(revocation)
        if found.known:
            self._presence.renew()
            await self._user_limit.renew()
        else:
            believed = await self._registry.recall()
            self._presence.correct(believed.stays)
            await self._user_limit.correct(believed.claims)
        await self._revocations.renew(all_of_it=not found.known)
        self._patience = {pod: self._patience.get(pod, self._rank(pod)) - 1 for pod in found.lapsed}
        for pod, patience in self._patience.items():
            if patience < 0:
                await self._reap(pod)

    async def retire(self, grace: float) -> None:
        """We are going: what is left of us is the others' to reap, `grace` seconds from now. Raises BusLost."""
        alone = set(self.pods) <= {self.pod}
        self._presence.close(alone=alone)
        await self._registry.retire(0 if alone or not len(self._presence) else grace)

    def _rank(self, pod: str) -> int:
        """Who is next in the ring of names buries first; the others only if that did not happen."""
        ring = sorted(self.pods, key=lambda other: (other < pod, other))
        return min(ring.index(self.pod), 2) if self.pod in ring else 2

    async def _reap(self, pod: str) -> None:
        for room, user in await self._registry.reap(pod):
            self._presence.mourn(room, user)
