"""The simulated pods of the bench, in small numbers."""

import pytest

from bench.balance import BALANCED, STORIES, Fleet, Rules, play
from forestay.ops.moves.shedding import IMMUNE


@pytest.mark.parametrize("least", [False, True])
def test_balance_is_reached_after_the_pods_doubled(least: bool) -> None:  # noqa: FBT001
    """After the number of pods doubled each gets near its share, and no connection moves twice within its immunity."""
    fleet = Fleet(5, 20_000, Rules("shedding", shed=True), least=least)
    outcome = play(fleet, lambda grown: grown.add(5), 2)
    _, emptiest, fullest = outcome.spread[-1]
    assert emptiest > 1 - BALANCED
    assert fullest < 1 + BALANCED + 0.02
    assert outcome.soonest >= IMMUNE
    # A connection that lands on another full pod has to move again. Choosing the emptiest pod wastes no move.
    assert outcome.shed <= (1.2 if least else 2.4) * outcome.excess


@pytest.mark.parametrize("story", STORIES)
def test_shedding_never_makes_it_worse(story: str) -> None:
    """In every scenario the pods end no further apart than without shedding."""
    worst = []
    for shed in (False, True):
        outcome = play(Fleet(10, 20_000, Rules("", shed=shed), least=False), STORIES[story], 1)
        worst.append(outcome.spread[-1][2])
    assert worst[1] <= max(worst[0], 1 + BALANCED + 0.02)
