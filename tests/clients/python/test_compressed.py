"""The client at a gateway that compresses."""

from forestay_client import Client
from tests.support.gateway import gateway, token

TEXT = "the price of everything " * 100


async def test_compressed_messages_are_taken_and_plain_ones_sent() -> None:
    """The client offers compression, hears what was compressed, and compresses nothing itself."""

    async def get_token() -> str:
        return token()

    async with gateway(compression=True) as pod, Client(pod.url, get_token=get_token) as client:
        room = client.room("a")
        await room.join()
        await room.publish({"text": TEXT})
        async for message in room:
            assert message.payload == {"text": TEXT}
            break
        compression = pod.running._pod.wires.compression
        assert compression is not None
        assert compression.sent.plain > 10 * compression.sent.compressed > 0
        assert compression.received.plain == 0
