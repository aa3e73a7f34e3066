"""What this pod knows about the others: which are alive, and how many connections each has."""

from collections.abc import Collection, Mapping, Sequence

from forestay.core.ports.registry import HeartbeatReply, Registry


class Pods:
    """The pods that share the registry. What the last heartbeat said of them is written by Heartbeat."""

    def __init__(self, me: str, registry: Registry) -> None:
        """`me`: the name of this pod, unique among all pods."""
        self._registry = registry
        self.me = me
        self.alive: Sequence[str] = (me,)
        """Their names, this pod's included."""
        self.remembered: Collection[str] = ()
        """Those that were alive before the registry may have forgotten them. For a lease they may register again."""
        self.load: Mapping[str, int] = {}
        """Connections by pod, as each of them reported with its own last heartbeat."""

    def update(self, reply: HeartbeatReply) -> None:
        """Take over what the registry answered to a heartbeat."""
        self.alive = reply.pods
        self.load = reply.load

    def known(self) -> set[str]:
        """The pods that may have connections, as the last heartbeat had them."""
        return {self.me, *self.remembered, *self.alive}

    async def registered(self) -> set[str]:
        """The pods that may have connections, as the registry has them now. Raises BusLost."""
        return {self.me, *self.remembered, *await self._registry.pods()}

    @property
    def alone(self) -> bool:
        """Whether no other pod was alive."""
        return set(self.alive) <= {self.me}

    def rank(self, gone: str) -> int:
        """When this pod reaps the pod `gone`: the next one in the ring of names does it first, and two more wait."""
        ring = sorted(self.alive, key=lambda other: (other < gone, other))
        return min(ring.index(self.me), 2) if self.me in ring else 2
