"""Moves connections to pods that have fewer, a few at a time, where that is switched on."""

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
class Prospect:
    """Where what is known of the others comes from."""

    load: Callable[[], Mapping[str, int]]
    """Connections by pod, from those who have said so."""
    pods: Callable[[], int]
    """How many are alive, whether they have said so or not."""
    fleet: Callable[[], Sequence[Peer] | None]
    """Who is behind our Service and stays; None where nobody knows."""
    changed_at: Callable[[], float | None]
    """Loop time when that changed last."""
    leaving: Callable[[], bool]
    """Whether somebody behind it is on the way out."""
    well: Callable[[], bool]
    """Whether this pod serves and hears the others."""
    places: int
    """Connections that one pod may have."""


class Balance:
    def __init__(self, hub: Hub, relocation: Relocation, prospect: Prospect, rng: Random) -> None:
        self._hub = hub
        self._relocation = relocation
        self._prospect = prospect
        self._rng = rng
        self._returns = Returns()
        self._begun = False
        self.share: float | None = None
        """Connections that this pod should have; None where nobody knows."""
        self.shed: Callable[[int], None] = _nobody_to_tell
        """Told how many were asked to go."""

    async def keep(self) -> None:
        """Look and move until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            self.look(asyncio.get_running_loop().time())

    def look(self, now: float) -> int:
        """Ask whom it is time to ask; how many these are. `now`: loop time."""
        for asked_at, user in self._returns.due(now):
            here = any(one.connected_at > asked_at for one in self._hub.of_user(user))
            if self._returns.note(now, here=here):
                log.warning("those who are asked to go elsewhere come back here; is the load balancer sticky?")
        view = self._view(now)
        self.share = None if view is None else view.share
        number = 0 if view is None or now < self._returns.paused_until else excess(view, begun=self._begun)
        self._begun = number > 0
        candidates = [one for one in self._hub.everybody() if self._movable(one, now)] if number else []
        chosen = self._rng.sample(candidates, min(number, len(candidates)))
        for one, after in zip(chosen, slots(len(chosen), INTERVAL, self._rng), strict=True):
            self._relocation.ask(one, reason=Reason.REBALANCING, after=after)
            self._returns.ask(one.identity.user, now)
        if chosen:
            self.shed(len(chosen))
        return len(chosen)

    def _movable(self, connection: Connection, now: float) -> bool:
        return connection.relocating is None and now - connection.connected_at >= IMMUNE

    def _view(self, now: float) -> View | None:
        prospect = self._prospect
        fleet, load, changed_at = prospect.fleet(), prospect.load(), prospect.changed_at()
        # A pod that has not said how many it has is one of another version, or new: the sum would be too small.
        if fleet is None or changed_at is None or len(load) != prospect.pods():
            return None
        return View(
            mine=len(self._hub),
            all=sum(load.values()),
            pods=sum(peer.ready for peer in fleet),
            places=prospect.places,
            settled=now - changed_at,
            leaving=prospect.leaving(),
            well=prospect.well(),
        )


def _nobody_to_tell(number: int) -> None:
    """Nobody wants to know."""
