"""Handshakes that begin at the same time take each step together."""

import asyncio

import pytest

from forestay.edge.handshake.lockstep import Lockstep
from forestay.protocol.codes import ENDINGS, CloseCode
from tests.support.gateway import Client, gateway, token, upgrade


async def test_all_take_a_step_before_one_takes_the_next() -> None:
    """Also the first one, which begins when the others have no more than entered."""
    lockstep, taken = Lockstep(), list[tuple[int, str]]()

    async def handshake(name: str) -> None:
        for step in range(3):
            taken.append((step, name))
            await lockstep.step()
        lockstep.leave()

    for _ in "abc":
        lockstep.enter()
    await asyncio.gather(*(handshake(name) for name in "abc"))
    assert taken == [(step, name) for step in range(3) for name in "abc"]


async def test_one_that_is_alone_does_not_wait() -> None:
    """Nobody else has a step to take, so it goes on in the same turn of the loop: also after others have left."""
    lockstep = Lockstep()
    lockstep.enter()
    lockstep.enter()
    lockstep.leave()
    with pytest.raises(StopIteration):
        lockstep.step().send(None)


@pytest.mark.parametrize("turns", range(9))
async def test_nothing_comes_before_the_answer(turns: int) -> None:
    """All connections end so many turns later. Each client gets the answer to its handshake, and then what it may be.

    A connection can be ended, and written to, as soon as it is known. So its answer is written in the same step.
    """
    async with gateway() as pod:
        clients = [await Client.open_connection(pod.port) for _ in range(20)]
        for client in clients:
            client.writer.write(upgrade(token()))
        for _ in range(turns):
            await asyncio.sleep(0)
        for connection in pod.running._pod.hub.everybody():
            connection.end(ENDINGS[CloseCode.GOING_AWAY])
        for client in clients:
            head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 5)
            assert head.startswith(b"HTTP/1.1 101 ")
            assert await client.ended_or_welcome() == "welcome"


@pytest.mark.parametrize("turns", range(9))
async def test_clients_that_go_between_two_steps_leave_nothing(turns: int) -> None:
    """Of 40 clients that come at once every second one resets its connection so many turns later.

    The others are welcomed with their first message, and only they have places, connections and a part in the port.
    """
    async with gateway() as pod:
        clients = [await Client.open_connection(pod.port) for _ in range(40)]
        for number, client in enumerate(clients):
            client.writer.write(upgrade(token(f"user-{number}")))
        for _ in range(turns):
            await asyncio.sleep(0)
        for client in clients[::2]:
            client.writer.transport.abort()
        for client in clients[1::2]:
            head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 5)
            assert head.startswith(b"HTTP/1.1 101 ")
            assert (await client.hear())["type"] == "welcome"
        async with asyncio.timeout(5):
            while (pod.running._admission.sockets, len(pod.running._pod.hub)) != (20, 20):
                await asyncio.sleep(0.01)
