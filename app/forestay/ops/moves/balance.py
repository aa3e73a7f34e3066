"""Asks some connections to move to pods that have fewer, if `FORESTAY_REBALANCE_SHED` is on."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import structlog

from forestay.core.fanout.connection import Connection
from forestay.core.fanout.hub import Hub
from forestay.core.sessions.relocation import Reason, Relocation
from forestay.ops.health.quorum import Peer
from forestay.ops.moves.drain import slots
from forestay.ops.moves.shedding import IMMUNE, INTERVAL, Returns, View, excess

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BalanceFacts:
    """What the pod knows about the other pods."""

    load: Callable[[], Mapping[str, int]]
    """Connections by pod, for the pods that reported them."""
    alive: Callable[[], int]
    """The number of live pods, whether they reported or not."""
    pods: Callable[[], Sequence[Peer] | None]
    """The pods behind our Service that do not terminate; None where they are not known."""
    changed_at: Callable[[], float | None]
    """Loop time of the last change of that list."""
    leaving: Callable[[], bool]
    """Whether a pod behind the Service terminates."""
    well: Callable[[], bool]
    """Whether this pod is ready and has the bus."""
    places: int
    """The most connections that one pod may have."""


class Balance:
    def __init__(
        self, hub: Hub, relocation: Relocation, facts: BalanceFacts, rng: Random, shed: Callable[[int], None]
    ) -> None:
        """`shed` is called with the number of connections that were asked to move, if it is not 0."""
        self._hub = hub
        self._relocation = relocation
        self._facts = facts
        self._rng = rng
        self._shed = shed
        self._returns = Returns()
        self._begun = False
        self.share: float | None = None
        """The connections that this pod should have; None where that is not known."""

    async def keep(self) -> None:
        """Look at regular intervals, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            self.look(asyncio.get_running_loop().time())

    def look(self, now: float) -> int:
        """Ask as many connections to move as should, and return their number. `now`: loop time."""
        for asked_at, user in self._returns.due(now):
            here = any(one.connected_at > asked_at for one in self._hub.of_user(user))
            if self._returns.note(now, here=here):
                log.warning(
                    "users that were asked to move come back to this pod; does the load balancer use sticky sessions?"
                )
        view = self._view(now)
        self.share = None if view is None else view.share
        number = 0 if view is None or now < self._returns.paused_until else excess(view, begun=self._begun)
        self._begun = number > 0
        chosen = self._choose(number, now) if number else []
        for client, after in zip(chosen, slots(len(chosen), INTERVAL, self._rng), strict=True):
            for one in client:
                self._relocation.ask(one, reason=Reason.REBALANCING, after=after)
            self._returns.ask(client[0].identity.user, now)
        asked = sum(map(len, chosen))
        if asked:
            self._shed(asked)
        return asked

    def _choose(self, number: int, now: float) -> list[list[Connection]]:
        """Clients with `number` connections in all, drawn among those that have been here for long enough."""
        clients = [client for client in self._hub.clients() if all(self._movable(one, now) for one in client)]
        self._rng.shuffle(clients)
        chosen = []
        for client in clients:
            if number <= 0:
                break
            chosen.append(client)
            number -= len(client)
        return chosen

    def _movable(self, connection: Connection, now: float) -> bool:
        return connection.relocating is None and now - connection.connected_at >= IMMUNE

    def _view(self, now: float) -> View | None:
        facts = self._facts
        pods, load, changed_at = facts.pods(), facts.load(), facts.changed_at()
        # A pod that has not reported its number is new or of another version. Without it the sum would be too small.
        if pods is None or changed_at is None or len(load) != facts.alive():
            return None
        return View(
            mine=len(self._hub),
            all=sum(load.values()),
            pods=sum(peer.ready for peer in pods),
            places=facts.places,
            settled=now - changed_at,
            leaving=facts.leaving(),
            well=facts.well(),
        )
