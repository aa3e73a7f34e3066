"""The fleet that the bench simulates, small."""

import pytest

from bench.balance import BALANCED, STORIES, Fleet, Rules, play
from forestay.ops.moves.shedding import IMMUNE


@pytest.mark.parametrize("least", [False, True])
def test_a_fleet_that_doubled_finds_its_balance(least: bool) -> None:  # noqa: FBT001
    """By shedding: every pod near its share, and nobody moved twice within the time of immunity."""
    fleet = Fleet(5, 20_000, Rules("shedding", shed=True), least=least)
    outcome = play(fleet, lambda grown: grown.add(5), 2)
    _, emptiest, fullest = outcome.spread[-1]
    assert emptiest > 1 - BALANCED
    assert fullest < 1 + BALANCED + 0.02
    assert outcome.soonest >= IMMUNE
    # What lands on another full pod has to move again; who chooses the emptiest wastes nothing.
    assert outcome.shed <= (1.2 if least else 2.4) * outcome.excess


@pytest.mark.parametrize("story", STORIES)
def test_in_no_story_does_shedding_make_it_worse(story: str) -> None:
    """In the end the pods are no further apart than without it."""
    worst = []
    for shed in (False, True):
        outcome = play(Fleet(10, 20_000, Rules("", shed=shed), least=False), STORIES[story], 1)
        worst.append(outcome.spread[-1][2])
    assert worst[1] <= max(worst[0], 1 + BALANCED + 0.02)
