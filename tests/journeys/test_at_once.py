"""Limits hold for clients that come at the same time, on one pod and on several with one Redis."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.support.gateway import PATIENCE, Client, Closed, Gateway, gateway, token, upgrade
from tests.support.local_redis import RedisServer

AT_ONCE = 60


@asynccontextmanager
async def pods(redis: RedisServer, count: int, **given: object) -> AsyncIterator[list[Gateway]]:
    """So many pods of one gateway, which know of each other."""
    url = f"{redis.url}?prefix=t{secrets.token_hex(6)}"
    async with AsyncExitStack() as stack:
        made = [await stack.enter_async_context(gateway(bus_url=url, **given)) for _ in range(count)]
        for one in made:
            await one.running._pod.heartbeat.send()
        yield made


async def first_word(pod: Gateway, user: str) -> tuple[str, Client]:
    """What a new client of `user` gets first: `welcome`, a close code, or the status of a refusal."""
    client = await Client.open_or_refused(pod.port, token(user))
    if client.status != 101:
        return str(client.status), client
    return await client.ended_or_welcome(), client


async def storm(made: list[Gateway], user: str = "user-{}") -> Counter[str]:
    """The first words of clients that come at once, to all pods in turn. `{}` in `user` is their number."""
    words = await asyncio.gather(
        *(first_word(made[number % len(made)], user.format(number)) for number in range(AT_ONCE))
    )
    return Counter(word for word, _ in words)


@pytest.mark.parametrize("per_user", [0, 100])
async def test_exactly_as_many_connect_as_there_are_places(redis: RedisServer, per_user: int) -> None:
    """Of 60 clients at once 10 are welcomed and 50 get 503, also while the registry is asked about each of them."""
    async with pods(redis, 1, max_connections=10, max_connections_per_user=per_user) as made:
        assert await storm(made) == {"welcome": 10, "503": 50}
        assert made[0].running._admission.sockets == 10


async def test_each_pod_has_its_own_places(redis: RedisServer) -> None:
    """Of 60 clients at once 10 are welcomed on each of three pods."""
    async with pods(redis, 3, max_connections=10, max_connections_per_user=100) as made:
        assert await storm(made) == {"welcome": 30, "503": 30}


@pytest.mark.parametrize("count", [1, 3])
async def test_exactly_as_many_connections_of_a_user_are_welcomed(redis: RedisServer, count: int) -> None:
    """Of 60 connections of one user at once 3 are welcomed, on all pods together."""
    async with pods(redis, count, max_connections_per_user=3) as made:
        assert await storm(made, "alice") == {"welcome": 3, "4409": 57}


@pytest.mark.parametrize("count", [1, 3])
async def test_the_newest_connections_of_a_user_take_the_places_of_the_older(redis: RedisServer, count: int) -> None:
    """With `replace` 3 of 60 connections at once stay, and no other one is left without being told so."""
    async with pods(redis, count, max_connections_per_user=3, user_limit_policy="replace") as made:
        words = await asyncio.gather(*(first_word(made[number % count], "alice") for number in range(AT_ONCE)))
        ended = [asyncio.create_task(client.ended()) for word, client in words if word == "welcome"]
        done = Counter(word for word, _ in words)["4409"]
        while done < AT_ONCE - 3:
            [*finished], ended_ = await asyncio.wait(ended, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            assert finished, f"only {done} of {AT_ONCE - 3} connections were ended"
            assert {task.result().code for task in finished} == {4409}
            ended, done = list(ended_), done + len(finished)
        assert sum(len(pod.running._pod.hub) for pod in made) == 3
        for task in ended:
            task.cancel()


async def test_a_user_is_limited_on_each_pod_while_the_bus_is_lost(redis: RedisServer) -> None:
    """Of 60 connections of one user at once 3 are welcomed on the one pod."""
    async with pods(redis, 1, max_connections_per_user=3, bus_timeout=0.5) as made:
        redis.freeze()
        try:
            assert await storm(made, "alice") == {"welcome": 3, "4409": 57}
        finally:
            redis.thaw()


async def test_handshakes_are_counted_until_the_welcome(redis: RedisServer) -> None:
    """While Redis does not answer, only so many handshakes wait. Clients that go away give theirs back."""
    async with pods(redis, 1, max_connections_per_user=3, handshakes=5, bus_timeout=20) as made:
        [pod] = made
        redis.freeze()
        try:
            waiting = [await Client.open_connection(pod.port, upgrade(token(f"u{number}"))) for number in range(5)]
            async with asyncio.timeout(PATIENCE):
                while pod.running._admission.sockets < 5:
                    await asyncio.sleep(0.01)
            assert (await Client.request(pod.port, upgrade(token("late")))).status == 503
            for client in waiting:
                await client.close()
        finally:
            redis.thaw()
        # The registry answers, and then nothing is held.
        async with asyncio.timeout(PATIENCE):
            while pod.running._admission.sockets:
                await asyncio.sleep(0.01)
        again = await asyncio.gather(*(first_word(pod, f"again-{number}") for number in range(5)))
        assert [word for word, _ in again] == ["welcome"] * 5


async def test_a_drain_ends_a_client_that_is_welcomed_after_it(redis: RedisServer) -> None:
    """The registry answers when the drain has ended all others. The late client is told to go as well."""
    async with pods(redis, 1, max_connections_per_user=3, drain_window=0, bus_timeout=20) as made:
        [pod] = made
        held = await pod.connect("held")
        redis.freeze()
        late = await Client.open_connection(pod.port, upgrade(token("late")))
        async with asyncio.timeout(PATIENCE):
            while pod.running._admission.sockets < 2:
                await asyncio.sleep(0.01)
        stopping = asyncio.create_task(pod.running.stop(asyncio.Event()))
        assert (await held.ended()).code == 1001
        await held.close()
        redis.thaw()
        await late.reader.readuntil(b"\r\n\r\n")
        assert (await late.ended()).code == 1001
        await late.close()
        await stopping


async def test_a_client_that_goes_away_before_its_welcome_leaves_nothing(redis: RedisServer) -> None:
    """Its place on the pod and its place among the user's connections are free again."""
    async with pods(redis, 1, max_connections=3, max_connections_per_user=1) as made:
        [pod] = made
        for _ in range(10):
            gone = await Client.open_connection(pod.port, upgrade(token("alice")))
            await gone.close()
        async with asyncio.timeout(PATIENCE):
            while True:
                word, client = await first_word(pod, "alice")
                if word == "welcome":
                    break
                await client.close()
        second = await Client.open(pod.port, token("alice"))
        with pytest.raises(Closed) as ended:
            await second.hear()
        assert ended.value.code == 4409
