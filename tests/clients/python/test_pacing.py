"""The client says no more than the gateway takes, and everything that it was asked to say."""

import asyncio
import time

import pytest

from forestay_client import RefusedError, UnknownOutcomeError
from tests.clients.python.strict import client, join_all, strict
from tests.support.gateway import PATIENCE

MANY = [f"room.{number}" for number in range(300)]
FEW = len(MANY) / 10
"""Refusals that a busy machine may cause: it writes late, and then two messages come close together."""


@pytest.mark.parametrize("rooms_per_join", [0, 1, 20, 1000])
async def test_many_rooms_are_joined_in_their_time(rooms_per_join: int) -> None:
    """300 rooms with few tokens are joined in about N/rate seconds with hardly a refusal, in one message or in many."""
    async with strict(rate=250, burst=20, rooms_per_join=rooms_per_join) as gateway, client(gateway) as alice:
        seconds = await join_all(alice, MANY)
        assert set(gateway.joined) == set(MANY)
        assert gateway.refused < FEW
        assert seconds < 3 * len(MANY) / 250
        assert (len(gateway.of("join")) < len(MANY) / 5) == (rooms_per_join > 1)


async def test_many_rooms_come_back_in_their_time() -> None:
    """After a reconnect all rooms are joined again, paced, while the application publishes at the same time."""
    async with strict(rate=250, burst=20, rooms_per_join=50) as gateway, client(gateway) as alice:
        await join_all(alice, MANY)
        back: set[str] = set()
        for name in MANY:
            alice.room(name).on("joined", lambda joined: back.add(joined.room))
        gateway.connections[-1].transport.abort()
        published = 0
        async with asyncio.timeout(PATIENCE):
            while len(back) < len(MANY):
                try:
                    await alice.room("room.0").publish(published)
                except UnknownOutcomeError:
                    pass  # The one that was under way when the connection broke.
                published += 1
        assert gateway.refused < FEW
        assert published


async def test_a_publish_does_not_wait_for_ever_behind_joins() -> None:
    """Publishes come through while many rooms are being joined, and rooms while there are many publishes."""
    async with strict(rate=250, burst=5) as gateway, client(gateway) as alice:
        room = alice.room("room.0")
        joins = asyncio.gather(*(alice.room(name).join() for name in MANY[:250]))
        publishes = asyncio.gather(*(room.publish(number) for number in range(250)))
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(joins, publishes)
        assert gateway.refused < FEW
        assert list(dict.fromkeys(each["payload"] for each in gateway.of("broadcast"))) == list(range(250))


async def test_what_was_refused_for_the_rate_is_said_again() -> None:
    """A join and a publish that were refused with `rate_limited` are said again when the gateway says, in order."""
    async with strict(burst=50, rooms_per_join=10) as gateway, client(gateway) as alice:
        gateway.refusals = [60, None, 120, None]
        await join_all(alice, ["a", "b", "c"])
        assert gateway.joined == ["a", "b", "c", "a", "c"]
        gateway.refusals = [50, 100, 150, 40]
        began = time.monotonic()
        await asyncio.gather(*(alice.room("a").publish(number) for number in range(4)))
        assert time.monotonic() - began > 0.15
        assert [each["payload"] for each in gateway.of("broadcast")[4:]] == [0, 1, 2, 3]
        gateway.refusals = [30]
        await alice.room("a").bind(7)
        assert len(gateway.of("bind")) == 2


async def test_a_room_that_is_joined_again_is_not_left() -> None:
    """A `leave` that was refused for the rate is not said again after the room was joined again."""
    async with strict() as gateway, client(gateway) as alice:
        room = alice.room("a")
        await room.join()
        # The first time the refusal is heard before the join is said, the second time after it.
        for heard_first in (0.05, 0):
            for _ in range(5):
                gateway.refusals, began = [150], time.monotonic()
                leaving = asyncio.ensure_future(room.leave())
                await asyncio.sleep(heard_first)
                await room.join()
                joined_in_time = time.monotonic() < began + 0.15
                await asyncio.wait_for(leaving, PATIENCE)
                await asyncio.sleep(0.2)
                said = [each["type"] for each in gateway.heard]
                del gateway.heard[1:]
                # Where the machine stood still, the leave was said again before the join.
                if joined_in_time:
                    break
            assert said == ["join", "leave", "join"]
        gateway.refusals = [50]
        await room.leave()
        assert [each["type"] for each in gateway.heard] == ["join", "leave", "leave"]


async def test_a_type_that_is_bound_again_stays_bound() -> None:
    """A `bind` after a reconnect that is refused for the rate is said again; another refusal is told."""
    async with strict() as gateway, client(gateway) as alice:
        room, errors = alice.room("a"), list[RefusedError]()
        alice.on("error", errors.append)
        await room.bind(7)
        gateway.refusals = [50]
        gateway.connections[0].transport.abort()
        async with asyncio.timeout(PATIENCE):
            while len(gateway.of("bind")) < 3:
                await asyncio.sleep(0.01)
        await room.publish(1)
        assert errors == []
        gateway.understands = False
        gateway.connections[1].transport.abort()
        async with asyncio.timeout(PATIENCE):
            while not errors:
                await asyncio.sleep(0.01)
        assert errors[0].code == "bad_message"


async def test_a_gateway_that_refuses_for_ever_is_told_of() -> None:
    """A publish that is refused again and again is refused to its caller in the end."""
    async with strict() as gateway, client(gateway) as alice:
        gateway.refusals = [1] * 100
        with pytest.raises(RefusedError) as refused:
            await asyncio.wait_for(alice.room("a").publish(1), PATIENCE)
        assert (refused.value.code, refused.value.retry_after) == ("rate_limited", 0.001)


async def test_a_timeout_begins_with_the_writing() -> None:
    """Publishes that wait for their turn do not time out meanwhile, and none is of unknown outcome."""
    async with strict(rate=5, burst=1) as gateway, client(gateway, timeout=1.5) as alice:
        await asyncio.gather(*(alice.room("a").publish(number) for number in range(12)))
        assert {each["payload"] for each in gateway.of("broadcast")} == set(range(12))


async def test_what_was_never_written_is_not_of_unknown_outcome() -> None:
    """When the client stops, what waited for its turn is refused; when it comes back, it is said then."""
    async with strict(rate=5, burst=1) as gateway, client(gateway) as alice:
        publishes = [asyncio.ensure_future(alice.room("a").publish(number)) for number in range(3)]
        await asyncio.wait({publishes[0]})
        gateway.connections[-1].transport.abort()
        await asyncio.wait_for(asyncio.gather(*publishes), PATIENCE)
        assert {each["payload"] for each in gateway.of("broadcast")} == {0, 1, 2}
        gateway.close_after = len(gateway.heard) + 1
        outcomes = await asyncio.gather(
            *(alice.room("a").publish(number) for number in range(4)), return_exceptions=True
        )
        assert [type(each).__name__ for each in outcomes[2:]] == ["RefusedError"] * 2


async def test_a_backlog_does_not_look_like_a_dead_connection() -> None:
    """Pings go ahead of what waits, and the connection lives although its backlog takes longer than the ping's time."""
    async with strict(rate=20, burst=1) as gateway:
        gateway.ping_interval_ms = 100
        async with client(gateway) as alice:
            await join_all(alice, MANY[:50])
            assert len(gateway.connections) == 1


async def test_bytes_are_paced_too() -> None:
    """In no second more bytes are written than the gateway takes in one, with what it takes at once."""
    async with strict(bytes_rate=100_000, message_bytes=20_100) as gateway, client(gateway, timeout=PATIENCE) as alice:
        await alice.room("a").join()
        await asyncio.gather(*(alice.room("a").publish("x" * 20_000) for _ in range(12)))
        await alice.room("a").send(7, b"x" * 20_000)
        await alice.room("a").publish("after")
        first, last = gateway.sizes[0][0], gateway.sizes[-1][0]
        assert sum(size for _, size in gateway.sizes[:-1]) <= 100_000 * (1 + last - first)


async def test_a_join_of_many_rooms_fits_into_a_message() -> None:
    """Rooms with long names are joined by as many messages as their bytes need."""
    names = [f"{number:0100d}" for number in range(60)]
    async with strict(message_bytes=1024, rooms_per_join=100) as gateway, client(gateway) as alice:
        await join_all(alice, names)
        assert gateway.joined == names
        assert max(size for _, size in gateway.sizes) <= 1024
        assert gateway.closed == []


async def test_an_answer_to_a_whole_join_is_one_to_each_room() -> None:
    """An error without a room that answers a join of many refuses each of them."""
    async with strict(rooms_per_join=100) as gateway, client(gateway) as alice:
        gateway.understands = False
        joins = asyncio.gather(*(alice.room(name).join() for name in ("a", "b", "c")), return_exceptions=True)
        outcomes = await asyncio.wait_for(joins, PATIENCE)
        assert [getattr(each, "code", None) for each in outcomes] == ["bad_message"] * 3


async def test_a_room_that_is_left_while_it_waits_is_not_joined_later() -> None:
    """A room that is left before its turn ends as left, and its caller is told."""
    async with strict(rate=20, burst=1) as gateway, client(gateway) as alice:
        joins = [asyncio.ensure_future(alice.room(name).join()) for name in MANY[:10]]
        await asyncio.wait({joins[0]})
        await alice.room(MANY[9]).leave()
        with pytest.raises(RefusedError, match="not_joined"):
            await joins[9]
        await asyncio.gather(*joins[:9])
        assert alice.room(MANY[9]).state == "left"
