"""Messages that a client begins and does not finish, and frames that cost more than they carry."""

import asyncio
import json

import pytest

from forestay.edge.websocket.open_sockets import BYTES_PER_FRAGMENT, FRAGMENTS
from tests.support.even_machine import again_if_uneven
from tests.support.gateway import Closed, Gateway, frame, gateway

TEXT, CONTINUATION, PING, PONG = 1, 0, 9, 10
HALF = frame(TEXT, b'{"type":"ping","id":"1"}')[:10]
BEGUN = {
    "one byte": frame(TEXT, b"x")[:1],
    "a head": frame(TEXT, b"x" * 200)[:8],
    "half of a long head": frame(TEXT, b"x" * 200)[:3],
    "half of a message": HALF,
    "a fragment": frame(TEXT, b'{"type":', fin=False),
    "an empty fragment": frame(TEXT, b"", fin=False),
    "a message and a head": frame(PONG, b"") + frame(TEXT, b"x" * 200)[:8],
    "a fragment and a ping": frame(TEXT, b"{", fin=False) + frame(PING, b""),
}


@pytest.mark.parametrize("begun", BEGUN.values(), ids=BEGUN)
async def test_a_message_that_is_not_finished_ends_the_connection_in_time(begun: bytes) -> None:
    """However much of it has come: the client hears 4408, and nothing of it is left."""
    async with gateway(message_timeout=0.3) as running:
        client = await running.connect()
        await client.send(begun)
        ended = await client.ended()
        assert (ended.code, ended.reason) == (4408, "a message was not complete in time")
        assert assemblies(running) == 0


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (frame(TEXT, b"x" * 50_000)[:8], b"x"),
        (frame(TEXT, b"x", fin=False), frame(CONTINUATION, b"", fin=False)),
        (frame(TEXT, b"x", fin=False), frame(PONG, b"")),
    ],
    ids=["a byte at a time", "empty continuations", "pongs between fragments"],
)
async def test_a_message_that_trickles_ends_the_connection_in_time(first: bytes, again: bytes) -> None:
    """Each new byte or frame shows life, and the message is as late as without it."""
    async with gateway(message_timeout=0.5) as running:
        client = await running.connect()
        await client.send(first)

        async def trickle() -> None:
            while True:
                await client.send(again)
                await asyncio.sleep(0.02)

        trickling = asyncio.create_task(trickle())
        try:
            assert (await client.ended()).code == 4408
        finally:
            trickling.cancel()


async def test_a_message_has_so_many_fragments_and_no_more() -> None:
    """Empty continuations without end, as fast as they can be sent, end the connection with 1008."""
    most = FRAGMENTS + 65536 // BYTES_PER_FRAGMENT
    async with gateway() as running:
        client = await running.connect()
        text = b'{"type":"ping","id":"1"}'
        parts = [frame(TEXT, text[:1], fin=False), *[frame(CONTINUATION, b"", fin=False)] * (most - 1)]
        await client.send(b"".join(parts) + frame(CONTINUATION, text[1:]))
        assert (await client.hear("pong"))["id"] == "1"
        try:
            await client.send(b"".join(parts) + frame(CONTINUATION, b"", fin=False) * 100_000)
        except ConnectionError:
            pass
        ended = await client.ended()
        assert (ended.code, ended.reason) == (1008, "too many fragments in one message")


async def test_messages_that_each_come_in_time_are_not_late_together() -> None:
    """A client that sends large messages without a pause always has one under way, and each has its own time."""
    async with gateway(message_timeout=1.5, message_rate=0, message_bytes_rate=0) as running:
        client = await running.connect()
        stream = b"".join(
            frame(TEXT, json.dumps({"type": "ping", "id": str(at)}).encode().ljust(3000)) for at in range(60)
        )
        for at in range(0, len(stream), 2900):
            await client.send(stream[at : at + 2900])
            # All of them take longer than one may, and each one is done long before, also if the machine stands still.
            await asyncio.sleep(0.03)
        assert [(await client.hear("pong"))["id"] for _ in range(60)] == [str(at) for at in range(60)]
        assert assemblies(running) == 0


@again_if_uneven(5)
async def test_a_client_that_we_do_not_read_is_not_late() -> None:
    """The time of a message runs only while its bytes are taken."""
    async with gateway(message_timeout=0.2, message_rate=0) as running:
        client = await running.connect()
        await client.send(HALF)
        [connection] = running.running._pod.hub.everybody()
        while not assemblies(running):
            await asyncio.sleep(0.01)
        transport = connection.transport.transport  # type: ignore[attr-defined]
        transport.pause_reading()
        await asyncio.sleep(0.6)
        assert connection.ended is None
        transport.resume_reading()
        assert (await client.ended()).code == 4408


async def test_a_client_that_leaves_in_the_middle_of_a_message_leaves_nothing() -> None:
    """The pod forgets the message with the connection."""
    async with gateway() as running:
        client = await running.connect()
        await client.send(HALF)
        while not assemblies(running):
            await asyncio.sleep(0.01)
        await client.close()
        while assemblies(running):
            await asyncio.sleep(0.01)


async def test_a_frame_without_a_mask_ends_the_connection_wherever_it_comes() -> None:
    """Also behind one that has a mask, whose message is carried out."""
    async with gateway() as running:
        for bare in (
            frame(TEXT, b"x", masked=False),
            frame(TEXT, b"x" * 300, masked=False),
            frame(PONG, b"", masked=False),
        ):
            client = await running.connect()
            await client.send(frame(TEXT, b'{"type":"ping","id":"1"}') + bare)
            assert (await client.hear("pong"))["id"] == "1"
            with pytest.raises(Closed) as closed:
                await client.hear()
            assert closed.value.code == 1002


def assemblies(running: Gateway) -> int:
    """Messages that have begun to come in."""
    sockets = running.running._public._server.sockets
    assert sockets is not None
    return len(sockets.assemblies)
