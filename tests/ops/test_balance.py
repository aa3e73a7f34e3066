"""Which connections are asked to move to other pods, and when none are."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from forestay.core.sessions.relocation import Reason
from forestay.ops.health.quorum import Peer
from forestay.ops.moves.balance import Balance, BalanceFacts
from forestay.ops.moves.shedding import IMMUNE, PAUSE, View, excess
from tests.support.core import Core
from tests.support.line_wire import LineWire
from tests.support.virtual_time import virtual

OVER = View(mine=2000, all=5000, pods=5, places=10_000, settled=61, leaving=False, well=True)


def test_a_pod_over_its_share_sheds_a_hundredth_at_once() -> None:
    """It asks fewer where fewer are above the share."""
    assert excess(OVER, begun=False) == 20
    assert excess(replace(OVER, mine=9_999, all=40_000), begun=False) == 100
    assert excess(replace(OVER, mine=1160, all=5000), begun=False) == 12
    assert excess(replace(OVER, mine=111, all=240, pods=4), begun=False) == 2


def test_a_pod_that_has_begun_goes_on_to_its_share() -> None:
    """It begins again only when it is well above its share."""
    assert excess(replace(OVER, mine=1050), begun=False) == 0
    assert excess(replace(OVER, mine=1050), begun=True) == 11
    assert excess(replace(OVER, mine=1010), begun=True) == 0


@pytest.mark.parametrize(
    "doubt",
    [
        {"leaving": True},
        {"settled": 59.0},
        {"well": False},
        {"pods": 1},
        {"places": 1_100},
        {"mine": 1_059},
        {"mine": 149, "all": 500},
    ],
)
def test_every_doubt_means_none(doubt: dict[str, Any]) -> None:
    """Pods that come or go, a single pod, a lost bus, full pods, and a share that is hardly exceeded are doubts."""
    assert excess(replace(OVER, **doubt), begun=False) == 0


class Pod:
    """A pod with connections, and what it knows of the other pods."""

    def __init__(self, connections: int) -> None:
        self.core = Core(ping_interval=10_000)
        self.load = {"p1": connections, "p2": 0}
        self.pods: Sequence[Peer] | None = [Peer("p1", ready=True), Peer("p2", ready=True)]
        self.alive = 2
        facts = BalanceFacts(
            load=lambda: self.load,
            alive=lambda: self.alive,
            pods=lambda: self.pods,
            changed_at=lambda: 0.0,
            leaving=lambda: False,
            well=lambda: True,
            places=10_000,
        )
        for number in range(connections):
            self.core.connect(f"user-{number}")
        self.shed: list[int] = []
        self.balance = Balance(self.core.pod.hub, self.core.pod.relocation, facts, random.Random(1), self.shed.append)

    def asked(self) -> set[str]:
        """The users whose connections were asked to move."""
        return {one.identity.user for one in self.core.pod.hub.everybody() if one.relocating == Reason.REBALANCING}


@virtual
async def test_only_old_connections_are_asked() -> None:
    """A moved connection is new on its next pod, so no client moves twice within the time."""
    pod = Pod(400)
    assert pod.balance.look(IMMUNE - 1) == 0
    assert pod.balance.look(IMMUNE) == 4
    assert len(pod.asked()) == 4
    assert pod.shed == [4]
    assert pod.balance.share == 200


@virtual
async def test_no_connection_moves_while_a_pod_has_not_reported_its_number() -> None:
    """Without all numbers, or without the list of pods, the share would be a guess."""
    pod = Pod(400)
    pod.alive = 3
    assert pod.balance.look(IMMUNE) == 0
    assert pod.balance.share is None
    pod.alive, pod.pods = 2, None
    assert pod.balance.look(IMMUNE) == 0


@virtual
async def test_shedding_stops_when_the_users_come_back() -> None:
    """With sticky sessions shedding would be a loop. Half an hour later the pod tries again."""
    pod = Pod(400)
    now, asked = IMMUNE, 0
    while (more := pod.balance.look(now)) and now < IMMUNE + 600:
        asked += more
        loop = pod.core.pod.hub
        for user in pod.asked():
            # The user comes back to this pod at once.
            connection, _ = pod.core.connect(user)
            connection.connected_at = now + 1
            for old in loop.of_user(user):
                if old.relocating is not None:
                    pod.core.pod.relocation.force(old, Reason.REBALANCING)
        now += 10
    assert 20 <= asked < 50
    assert pod.balance.look(now + 100) == 0
    assert pod.balance.look(now + PAUSE) > 0


@virtual
async def test_a_client_that_is_closed_and_comes_straight_back_is_left_in_peace() -> None:
    """It cannot be asked to move, so it is closed in its turn; all of its connections go together, and count."""
    pod = Pod(0)
    wire, hub, loop = LineWire(relocates=False), pod.core.pod.hub, asyncio.get_running_loop()
    for number in range(200):
        first, _ = pod.core.connect(f"line-{number}", wire=wire)
        pod.core.connect_again(first, wire)
    pod.load["p1"] = 400
    await asyncio.sleep(IMMUNE)
    asked: list[str] = []
    while pod.balance.look(loop.time()):
        users = pod.asked()
        assert len(users) == 2
        asked += users
        await asyncio.sleep(10)
        assert not pod.asked()
        assert len(hub) == 396
        for user in users:
            pod.core.connect_again(pod.core.connect(user, wire=wire)[0], wire)
    assert len(asked) >= 20
    assert len(asked) == len(set(asked))
