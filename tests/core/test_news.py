"""The members of a room are told of so many joins and leaves, and not of more."""

from forestay.core.rules.budgets import NEWS_BURST, NEWS_PERIOD, Budgets
from forestay.core.rules.policies import Policy
from forestay.protocol.names import RoomName
from tests.support.core import Core, passes

ROOM = RoomName("told")
RATE = NEWS_BURST / NEWS_PERIOD


def test_a_budget_is_spent_and_fills_again() -> None:
    """At once the burst, then so many per second. Each room has its own budget."""
    budget = Budgets[RoomName](NEWS_BURST, NEWS_PERIOD)
    assert sum(not budget.spend(ROOM, 0.0) for _ in range(1000)) == NEWS_BURST
    assert sum(not budget.spend(ROOM, 1.0) for _ in range(1000)) == RATE
    assert not budget.spend(RoomName("other"), 1.0)


def test_quiet_rooms_are_forgotten() -> None:
    """What is kept for rooms does not grow with the names that were used. A room that is busy keeps its budget."""
    budget = Budgets[RoomName](NEWS_BURST, NEWS_PERIOD)
    for number in range(20_000):
        budget.spend(RoomName(f"room-{number}"), float(number))
        if number % 5 == 0:
            for _ in range(200):
                budget.spend(ROOM, float(number))
    assert len(budget._left) <= 1100
    assert sum(not budget.spend(ROOM, 20_000.0) for _ in range(1000)) <= 6 * RATE


async def test_a_client_that_comes_and_goes_does_not_flood_the_room() -> None:
    """Its joins and leaves are told up to the budget. Presence stays right."""
    core = Core(Policy("told", presence=True, join_leave=True))
    _, member = core.join(ROOM, "member")
    restless, _ = core.connect("restless", {"**": "rp"})
    for _ in range(500):
        core.say(restless, type="join", room=ROOM)
        core.say(restless, type="leave", room=ROOM)
        await passes()
    core.say(restless, type="join", room=ROOM)
    await passes()
    told = [heard for heard in member.heard() if heard["type"].startswith("user-")]
    assert NEWS_BURST - 1 <= len(told) <= NEWS_BURST + 2 * RATE
    page = await core.pod.presence.page(ROOM, None, 10)
    assert [one.user for one in page.members] == ["member", "restless"]
