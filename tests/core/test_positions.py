"""A client whose wire tells it its positions always knows how far it was written to, and what to come back with."""

import asyncio

from forestay.core.fanout.connection import Connection
from forestay.core.rules.policies import Policy, Retention, Slow
from tests.support.core import Core, RecordingTransport, passes
from tests.support.line_wire import LineWire, lines, positions

KEPT = Policy("kept.*", history=Retention(2000, 3600.0))
DROP = Policy("drop.*", history=Retention(2000, 3600.0), slow=Slow.DROP_OLDEST)


def told(data: bytes) -> dict[str, int]:
    """The offsets by room that the last tail in `data` says, which must be its last line."""
    name, *_ = lines(data)[-1]
    assert name == "tail"
    found = positions(data)
    assert found is not None
    return {room: at.offset for room, at in found.items()}


async def member(core: Core, *rooms: str) -> tuple[Connection, RecordingTransport]:
    """A client of a tailed wire that has joined `rooms`."""
    connection, transport = core.connect(wire=LineWire(tailed=True))
    for room in rooms:
        core.say(connection, type="join", room=room)
    await asyncio.sleep(0.005)
    await passes()
    return connection, transport


async def test_each_write_of_room_messages_ends_with_the_positions() -> None:
    """Of all rooms with history, the written one and the others; several rooms in one pass share one tail."""
    core = Core(KEPT)
    _, transport = await member(core, "kept.a", "kept.b", "live")
    _, native = core.join("kept.a")
    speaker, _ = core.connect()
    assert told(transport.writes[-1]) == {"kept.a": 0, "kept.b": 0}
    core.say(speaker, type="broadcast", room="kept.a", payload=1)
    await passes()
    assert told(transport.writes[-1]) == {"kept.a": 1, "kept.b": 0}
    for room in ("kept.a", "kept.b", "live", "kept.a"):
        core.say(speaker, type="broadcast", room=room, payload=2)
    await passes()
    assert told(transport.writes[-1]) == {"kept.a": 3, "kept.b": 1}
    assert [name for name, *_ in lines(transport.writes[-1])] == ["message"] * 4 + ["tail"]
    core.say(speaker, type="broadcast", room="live", payload=3)
    await passes()
    assert told(transport.writes[-1]) == {"kept.a": 3, "kept.b": 1}
    assert [each["payload"] for each in native.heard() if each["type"] == "broadcast"] == [1, 2, 2]


async def test_a_client_without_a_room_with_history_is_told_nothing() -> None:
    """The messages of its rooms come without a tail."""
    core = Core(KEPT)
    _, transport = await member(core, "live")
    speaker, _ = core.connect()
    core.say(speaker, type="broadcast", room="live", payload=1)
    await passes()
    assert [name for name, *_ in lines(b"".join(transport.writes))] == ["welcome", "joined", "message"]
