"""What one user's publishes leave on the bus is bounded, and other users and existing rooms are not affected."""

import asyncio
import time

import pytest

from forestay.bus.memory.bus import Exchange, MemoryBus
from forestay.core.facts.source import Source
from forestay.core.ports.runtime import Runtime
from forestay.core.rooms.publishing import Publisher
from forestay.core.rules.budgets import NEW_ROOMS_PERIOD, Budgets, UserAmounts
from forestay.core.rules.policies import KEY_TTL, Policies, Policy, Retention
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from tests.support.tasks import PlainTasks
from tests.support.virtual_time import virtual


class User:
    """Publishes for users on a pod with small budgets."""

    def __init__(self, amounts: UserAmounts) -> None:
        loop = asyncio.get_running_loop()
        runtime = Runtime(loop, time.time, time.perf_counter, lambda: "id", lambda low, _: low, PlainTasks())
        policies = Policies([Policy("log.**", history=Retention(10, 60))])
        self.exchange = Exchange(loop.time)
        self._publisher = Publisher(runtime, MemoryBus(self.exchange), policies, 65_536, amounts)

    async def publish(self, room: str, user: str | None = "ada", key: str | None = None) -> Position | None:
        message = Message(RoomName(room), b"1", "now", user)
        return await self._publisher.accepted(message, Source(0.0), key)

    async def refused(self, room: str, key: str | None = None) -> Refusal:
        with pytest.raises(Refusal) as caught:
            await self.publish(room, key=key)
        return caught.value


@virtual
async def test_new_rooms_are_limited() -> None:
    """The refusal says when the next one is allowed, and the room is not made. Existing rooms take messages."""
    users = User(UserAmounts(new_rooms=10))
    for number in range(10):
        await users.publish(f"log.{number}")
        await users.publish(f"log.{number}")
    refusal = await users.refused("log.10")
    assert refusal.code is ErrorCode.RATE_LIMITED
    assert refusal.retry_after == pytest.approx(NEW_ROOMS_PERIOD / 10)
    assert len(users.exchange._histories) == 10
    assert await users.publish("log.5")
    await users.publish("chat.without.history")
    await asyncio.sleep(refusal.retry_after or 0)
    await users.publish("log.10")
    await users.refused("log.11")


@virtual
async def test_others_are_not_limited_by_one_user() -> None:
    """Each user has a budget of its own, and backends have none."""
    users = User(UserAmounts(new_rooms=1, keys=1))
    await users.publish("log.1", key="k")
    await users.refused("log.2")
    await users.publish("log.2", "bob", key="k")
    for number in range(3, 9):
        await users.publish(f"log.{number}", None, key=f"k{number}")


@virtual
async def test_many_messages_to_one_room_cost_one_room() -> None:
    """Also when they are under way at the same time as the budget ends."""
    users = User(UserAmounts(new_rooms=2))
    for _ in range(50):
        await users.publish("log.1")
    await users.publish("log.2")
    await users.refused("log.3")


@virtual
async def test_keys_are_limited() -> None:
    """Beyond the limit a publish with a key is refused, and one without goes through."""
    users = User(UserAmounts(keys=5))
    for number in range(5):
        await users.publish("log.1", key=f"k{number}")
    refusal = await users.refused("log.1", key="k5")
    assert refusal.code is ErrorCode.RATE_LIMITED
    assert refusal.retry_after == pytest.approx(KEY_TTL / 5)
    await users.publish("log.1")
    await asyncio.sleep(refusal.retry_after or 0)
    await users.publish("log.1", key="k5")


def test_a_budget_forgets_users_who_have_all_of_it_again() -> None:
    """What is kept about users does not grow with everybody who ever published."""
    budget = Budgets[str](10, 100.0)
    for number in range(20_000):
        budget.spend(f"u{number}", number * 1.0)
    assert len(budget._left) < 2100
    assert budget.spend("ada", 0.0) == 0.0
    budget.give_back("ada", 0.0)
    assert "ada" not in budget._left
