"""What a pod does with the messages that other pods send to it."""

from forestay.protocol.message import Kind, Message
from forestay.protocol.names import pods_room
from tests.support.core import Core


def ending(connection: str, levels: int) -> Message:
    """The request to end `connection`, with an unknown field that nests."""
    nested = "[" * levels + "]" * levels
    payload = f'{{"ask":"end","connections":["{connection}"],"code":4403,"x":{nested}}}'
    return Message(pods_room(), payload.encode(), "now", kind=Kind.PODS)


async def test_a_message_that_nests_too_deep_is_ignored() -> None:
    """The limit counts the message itself, so 63 more levels are read and 64 are not."""
    core = Core()
    connection, socket = core.connect()
    core.pod.control.received(ending(connection.id, 64))
    core.pod.control.received(ending(connection.id, 5000))
    assert not socket.closed()
    core.pod.control.received(ending(connection.id, 63))
    assert socket.closed()
