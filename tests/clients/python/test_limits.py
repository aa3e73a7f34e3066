"""The client and a real gateway agree about its limits: nothing is refused that waits for its turn."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from forestay_client import Client, RefusedError, TooLargeError
from tests.clients.python.strict import join_all
from tests.support.gateway import PATIENCE, Gateway, gateway, token
from tests.support.stopwatch import stopwatch

MANY = [f"room.{number}" for number in range(500)]
FEW = 27
"""Refusals that a machine may cause that stands still: what was on its way then, and what follows, come together."""


def client(pod: Gateway) -> Client:
    return Client(pod.url, get_token=lambda: token("alice"))


def refusals(one: Client) -> list[str]:
    """The codes of all refusals that the connection hears from now on, of those that are tried again too."""
    heard: list[str] = []
    current = one._lines.current
    assert current is not None
    hear = current._hear_sentence

    def listening(sentence: Mapping[str, Any], hear_other: Callable[..., None]) -> None:
        if sentence["type"] == "error":
            heard.append(sentence["payload"]["code"])
        hear(sentence, hear_other)

    current._hear_sentence = listening  # type: ignore[assignment,method-assign]
    return heard


async def test_500_rooms_are_joined_at_the_shipped_rate() -> None:
    """500 rooms are joined in less than 3.5 s with the shipped limits, and again after a cut."""
    async with gateway(rooms_per_connection=500, reconnect_spread=0.1) as pod, client(pod) as alice:
        refused = refusals(alice)
        assert await join_all(alice, MANY) < 3.5
        assert len(refused) < FEW
        current = alice._lines.current
        assert current is not None
        left = set(MANY)
        back = asyncio.Event()

        def joined(name: str) -> None:
            left.discard(name)
            if not left:
                back.set()

        for name in MANY:
            alice.room(name).on("joined", lambda one: joined(one.room))
        current._socket.abort()
        with stopwatch() as watch:
            await asyncio.wait_for(back.wait(), PATIENCE)
            assert watch.seconds < 3.5


async def test_few_tokens_are_enough_for_everything() -> None:
    """With 100 messages a second and 5 at once, rooms, publishes and questions all come through, in their time."""
    async with gateway(rooms_per_connection=500, message_rate=100, message_burst=5) as pod, client(pod) as alice:
        refused, room = refusals(alice), alice.room(MANY[0])
        joins = asyncio.gather(*(alice.room(name).join() for name in MANY[:200]))
        publishes = asyncio.gather(*(room.publish(number) for number in range(50)))
        sends = asyncio.gather(*(room.send(7, b"x") for _ in range(20)))
        with stopwatch() as watch:
            await room.bind(7)
            await asyncio.wait_for(asyncio.gather(joins, publishes, sends), PATIENCE)
            assert watch.seconds < 1.5 * 271 / 100
        assert len(refused) < FEW
        assert set(refused) <= {"rate_limited"}


async def test_questions_cost_more_and_are_paced_for_it() -> None:
    """Pages of presence count as several messages, and are not refused for that."""
    async with gateway(message_rate=60, message_burst=6) as pod, client(pod) as alice:
        refused = refusals(alice)
        for _ in range(20):
            with pytest.raises(RefusedError, match="forbidden"):
                await alice.room("a").history(limit=100)
        assert refused.count("rate_limited") < 10


async def test_a_message_that_is_too_large_ends_nothing() -> None:
    """70,000 characters are refused before they are written; the gateway refuses what grows too large on its way."""
    async with gateway() as pod, client(pod) as alice:
        first = alice.connection
        with pytest.raises(TooLargeError) as refused:
            await alice.room("a").publish("x" * 70_000)
        assert refused.value.limit == 65_536
        with pytest.raises(TooLargeError):
            await alice.room("a").send(7, b"x" * 70_000)
        around = refused.value.size - 70_000
        with pytest.raises(RefusedError, match="too_large"):
            await alice.room("a").publish("x" * (65_536 - around))
        await alice.room("a").publish("x" * 65_000)
        assert alice.connection == first


async def test_bytes_are_paced_for_a_real_gateway() -> None:
    """Large messages keep to the rate of bytes, and none is refused."""
    async with gateway(message_bytes_rate=400_000, max_message_bytes=65_536) as pod, client(pod) as alice:
        refused = refusals(alice)
        await asyncio.wait_for(asyncio.gather(*(alice.room("a").publish("x" * 60_000) for _ in range(15))), PATIENCE)
        assert len(refused) < 5
