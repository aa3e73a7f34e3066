"""What the receiver of webhooks is told, by a pod alone and by pods on one Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from tests.support.gateway import Gateway, call, gateway
from tests.support.local_redis import RedisServer
from tests.support.webhook_receiver import Receiver, receiver, settings_for

Fleet = Callable[..., Any]


@pytest.fixture
async def told() -> AsyncIterator[Receiver]:
    async with receiver() as found:
        yield found


@pytest.fixture(params=["memory", "redis"])
async def pods(
    request: pytest.FixtureRequest, told: Receiver, tmp_path: Path
) -> AsyncIterator[tuple[Gateway, Gateway]]:
    """Two pods on one Redis; on the memory bus one pod, twice."""
    async with AsyncExitStack() as stack:
        given = settings_for(told, tmp_path)
        if request.param == "memory":
            one = await stack.enter_async_context(gateway(**given))
            yield one, one
            return
        server: RedisServer = request.getfixturevalue("redis")
        given["bus_url"] = f"{server.url}?prefix=t{token_hex(6)}"
        first = await stack.enter_async_context(gateway(**given))
        second = await stack.enter_async_context(gateway(**given))
        yield first, second


async def test_a_room_is_occupied_and_vacated_once_on_all_pods_together(
    pods: tuple[Gateway, Gateway], told: Receiver
) -> None:
    """The first user on any pod occupies it, and the last one vacates it."""
    one, two = pods
    ada = await one.join("ada", "told.a")
    bob = await two.join("bob", "told.a")
    await told.until(lambda: len(told.of("user.online")) == 2 and bool(told.of("room.occupied")))
    await ada.close()
    await told.until(lambda: told.of("user.offline") == [{"user": "ada"}])
    await bob.close()
    await told.until(lambda: bool(told.of("room.vacated")) and len(told.of("user.offline")) == 2)
    assert told.of("room.occupied", "room.vacated") == [{"room": "told.a"}, {"room": "told.a"}]
    assert told.of("user.online") == [{"user": "ada"}, {"user": "bob"}]
    about = [event for event in told.events if event["data"] == {"room": "told.a"}]
    assert [event["type"] for event in sorted(about, key=lambda event: event["sequence"])] == [
        "room.occupied",
        "room.vacated",
    ]


async def test_a_message_is_told_with_its_sender_and_its_position(
    pods: tuple[Gateway, Gateway], told: Receiver
) -> None:
    """In a room with history the position is the one that clients get."""
    one, two = pods
    ada = await one.join("ada", "kept.a")
    await ada.say({"type": "broadcast", "room": "kept.a", "payload": {"text": "é"}, "id": "1"})
    heard = (await ada.hear("ack"))["payload"]
    await call(two, "POST", "/v1/rooms/told.b/messages", b'{"payload":[1],"event":"moved"}')
    await call(two, "POST", "/v1/users/bob/messages", b'{"payload":"private"}')
    await told.until(lambda: len(told.of("message")) == 3)
    by_room = {data["room"]: data for data in told.of("message")}
    assert by_room == {
        "kept.a": {
            "room": "kept.a",
            "user": "ada",
            "payload": {"text": "é"},
            "epoch": heard["epoch"],
            "offset": heard["offset"],
        },
        "told.b": {"room": "told.b", "user": None, "payload": [1], "event": "moved"},
        "@me": {"room": "@me", "recipient": "bob", "user": None, "payload": "private"},
    }


async def test_rooms_without_webhooks_are_not_told(pods: tuple[Gateway, Gateway], told: Receiver) -> None:
    """Of two messages only the one in a room that tells messages comes."""
    one, _ = pods
    await call(one, "POST", "/v1/rooms/plain.a/messages", b'{"payload":1}')
    await call(one, "POST", "/v1/rooms/told.a/messages", b'{"payload":2}')
    await told.until(lambda: bool(told.events))
    await asyncio.sleep(0.2)
    assert [data["payload"] for data in told.of("message")] == [2]
