"""The pods in Redis, as one of them sees them: their heartbeats and leases, and which of them have connections."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from forestay.bus.redis.bus import RedisBus
from forestay.bus.redis.completeness import Completeness, Memory
from forestay.bus.redis.evaluation import UNEXPECTED, evalsha, write
from forestay.bus.redis.keys import FIRST
from forestay.bus.redis.pod_scripts import HEARTBEAT, PODS, RETIRE
from forestay.bus.redis.registry_replies import read_revocation, texts
from forestay.core.ports.bus import BusLost
from forestay.core.ports.registry import HeartbeatReply

# What `last_revocation` is before this pod knows any.
_NONE: Final = b"0"


class RedisPods:
    def __init__(self, pod: str, bus: RedisBus, completeness: Completeness) -> None:
        """`pod`: the name of this pod, which no other pod has had."""
        self._pod = pod
        self._bus = bus
        self._completeness = completeness
        keys = bus.keys
        self._heartbeat_keys = (keys.leases(), keys.revocations()[0], keys.load(), keys.seed(FIRST))
        self._keys = (keys.leases(), keys.load(), keys.seed(FIRST))
        self._last_revocation = _NONE
        """The number of the last revocation that this pod knows."""
        self._seen: set[str] = set()
        """The pods that had entries in rooms that were read since the last heartbeat."""

    async def heartbeat(self, lease: float, connections: int) -> HeartbeatReply:
        """Count this pod for another `lease` seconds, with its number of connections. Raises BusLost."""
        facts = (self._pod, int(lease * 1000), self._last_revocation, connections, self._bus.new_epoch())
        match await write(self._bus, FIRST, evalsha(HEARTBEAT, self._heartbeat_keys, *facts)):
            case [
                int() as had_lease,
                list() as pods,
                list() as expired,
                list() as revocations,
                list() as load,
                seed,
                int() as refused,
                int() as lossless,
            ]:
                lost = self._completeness.note(self._memory(seed), max(0, lossless), _now())
                known = bool(had_lease) and not lost
                new = [found for text in revocations[::2] if (found := read_revocation(text)) is not None]
                self._last_revocation = (revocations[-1] if revocations else self._last_revocation) if known else _NONE
                alive = texts(pods)
                written = dict(zip(texts(load[::2]), load[1::2], strict=True))
                self._bus.older_pods = any(written.get(pod, b"+")[:1] != b"+" for pod in alive)
                loads = {pod: int(number) for pod, number in written.items() if number.lstrip(b"+").isdigit()}
                load_of_alive = {pod: loads[pod] for pod in alive if pod in loads}
                expired_pods = [*texts(expired), *self._without_lease(alive)]
                return HeartbeatReply(known, alive, expired_pods, new, load_of_alive, lost, bool(refused))
            case _:
                raise BusLost(UNEXPECTED)

    async def serving(self) -> Sequence[str]:
        """The pods that may have connections. Raises BusLost also where Redis may not know all of them."""
        match await self._bus.read(FIRST, evalsha(PODS, self._keys)):
            case [list() as leases, list() as load, seed]:
                if doubt := self._completeness.doubt(self._memory(seed), _now()):
                    raise BusLost(doubt)
                # A pod that retires loses its number of connections at once, and its lease after the grace.
                serving = set(load[::2])
                return texts(pod for pod in leases if pod in serving)
            case _:
                raise BusLost(UNEXPECTED)

    async def end_lease(self, pod: str, grace: float = 0) -> None:
        """Let the lease of `pod` end in `grace` seconds, and forget its number of connections. Raises BusLost."""
        await write(self._bus, FIRST, evalsha(RETIRE, self._keys, pod, int(grace * 1000)))

    def see(self, pods: Iterable[str]) -> None:
        """These pods have entries in a room. Those without a lease have expired, as the next heartbeat says."""
        self._seen.update(pods)

    @property
    def moved(self) -> bool:
        """Whether Redis may have lost what pods had registered, since the last heartbeat of this one."""
        return self._completeness.moved(self._bus.incarnations)

    def _without_lease(self, alive: Sequence[str]) -> list[str]:
        """Pods that have entries in rooms and no lease: the node of the leases has lost more than that of the room."""
        seen, self._seen = self._seen, set()
        return sorted(seen.difference(alive))

    def _memory(self, seed: object) -> Memory:
        return Memory(self._bus.incarnations, seed)


def _now() -> float:
    return asyncio.get_running_loop().time()
