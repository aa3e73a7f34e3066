"""Tells the registry that this pod is alive, and reaps pods that no longer do so.

A pod is counted for the time of its lease after each heartbeat. The answer to a heartbeat says what has to be
registered again: everything where the registry has forgotten this pod, else what it did not accept the last time.

The silence of another pod means nothing if this pod could not reach the registry either. So after an outage this pod
reaps no other one before a whole lease has passed.
"""

from asyncio import Event, get_running_loop, sleep

from forestay.core.cluster.pods import Pods
from forestay.core.cluster.revocations import Revocations
from forestay.core.cluster.user_limit import UserLimit
from forestay.core.ports.bus import BusLost
from forestay.core.ports.registry import HeartbeatReply, Registry
from forestay.core.rooms.presence import Presence

MAX_INTERVAL = 5.0
"""The longest time between two heartbeats in seconds. It is a third of the lease where that is shorter."""


class Heartbeat:
    """Keeps the data of this pod in the registry correct."""

    def __init__(
        self,
        pods: Pods,
        registry: Registry,
        presence: Presence,
        user_limit: UserLimit,
        revocations: Revocations,
        lease: float,
    ) -> None:
        """`lease`: seconds for which this pod is counted after a heartbeat."""
        self._pods = pods
        self._registry = registry
        self._presence = presence
        self._user_limit = user_limit
        self._revocations = revocations
        self._lease = lease
        self.registered = Event()
        """Set from the first heartbeat on: the others find this pod in the registry, and it knows what is revoked."""
        self._countdown: dict[str, int] = {}
        """Pods whose lease has ended, and the number of heartbeats for which this pod leaves them to others."""
        self._interval = min(MAX_INTERVAL, lease / 3)
        self._answered: float | None = None
        """The loop's time of the last answer; None before the first one."""
        self._outage = False
        """Whether a heartbeat was not answered, and none was answered after it."""
        self._reaps_from = 0.0
        """The loop's time from which on this pod reaps others."""

    async def run(self) -> None:
        """Send heartbeats until cancelled."""
        while True:
            try:
                await self.send()
            except BusLost:
                pass
            await sleep(self._interval)

    async def send(self) -> None:
        """Send one heartbeat and do what the answer asks for. Raises BusLost."""
        try:
            reply = await self._registry.heartbeat(self._lease, self._user_limit.connections)
        except BusLost:
            self._outage = True
            self._presence.doubt()
            raise
        if reply.refusing or reply.lost_memory:
            self._presence.doubt()
        self._note(reply)
        self._pods.update(reply)
        for revocation in reply.revocations:
            self._revocations.learn(revocation)
        if reply.known:
            self._presence.renew()
            await self._user_limit.renew()
        else:
            believed = await self._registry.recall()
            self._presence.correct(believed.presence, silently=reply.lost_memory)
            await self._user_limit.correct(believed.claims)
        await self._revocations.renew(everything=not reply.known)
        self.registered.set()
        if get_running_loop().time() < self._reaps_from:
            return
        self._pods.remembered = ()
        self._countdown = {pod: self._countdown.get(pod, self._pods.rank(pod)) - 1 for pod in reply.expired}
        for pod, left in self._countdown.items():
            if left < 0:
                await self._reap(pod)

    def _note(self, reply: HeartbeatReply) -> None:
        """Put the reaping off by a lease after a gap in the heartbeats, or where there may have been one."""
        now, before = get_running_loop().time(), self._answered
        self._answered = now
        if before is None:
            # A new pod cannot know whether the pods that it finds expired are dead.
            gap = bool(reply.expired)
        else:
            gap = self._outage or not reply.known or now - before > 2 * self._interval
        if gap:
            self._pods.remembered = {*self._pods.remembered, *self._pods.alive}
            self._countdown = {}
            self._reaps_from = now + self._lease
        self._outage = False

    async def retire(self, grace: float) -> None:
        """Stop being counted. The other pods reap what is left of this one after `grace` seconds. Raises BusLost."""
        last_pod = self._pods.alone
        self._presence.close(last_pod=last_pod)
        await self._registry.retire(0 if last_pod or not len(self._presence) else grace)

    async def _reap(self, pod: str) -> None:
        for room, user in await self._registry.reap(pod, self._presence.vacated):
            self._presence.announce_leave(room, user)
