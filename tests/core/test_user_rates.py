"""The rates of users who send single requests, and what is kept of them."""

import pytest

from forestay.core.rules.rate_limit import Rates
from forestay.core.rules.user_rates import UserRates
from forestay.protocol.codes import Refusal


def test_users_who_have_stopped_are_forgotten() -> None:
    """Many users who each send something do not fill the memory, and none of them gets more than the rate by that."""
    rates = UserRates(Rates(10.0, 5.0, 1000.0, 100))
    for number in range(5000):
        rates.spend(f"user-{number}", now=number * 0.01, size=10)
    assert len(rates) < 2100
    greedy = UserRates(Rates(10.0, 5.0))
    for _ in range(5):
        greedy.spend("greedy", now=0.0)
    for number in range(1500):
        greedy.spend(f"user-{number}", now=0.0)
    with pytest.raises(Refusal) as refused:
        greedy.spend("greedy", now=0.01)
    assert refused.value.retry_after == pytest.approx(0.09)


def test_a_user_who_was_told_to_wait_keeps_its_turn() -> None:
    """Its bucket is not forgotten before it was to come again, also where it is full of tokens by then."""
    rates = UserRates(Rates(1.0, 1.0))
    rates.spend("greedy", now=0.0)
    for _ in range(50):
        with pytest.raises(Refusal):
            rates.spend("greedy", now=0.0)
    for number in range(2500):
        rates.spend(f"user-{number}", now=10.0)
    assert "greedy" in rates


def test_without_a_limit_nothing_is_kept() -> None:
    """A rate of 0 means none."""
    rates = UserRates(Rates(0.0, 0.0))
    rates.spend("anybody", now=0.0)
    assert len(rates) == 0
