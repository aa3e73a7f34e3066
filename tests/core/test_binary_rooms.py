"""A binary message can name its room, as Socket.IO clients do. Natives bind types instead."""

from forestay.protocol.requests import Binary
from tests.support.core import Core, frames, passes


async def test_a_binary_message_goes_to_the_room_that_it_names() -> None:
    """It needs no binding, it is acknowledged by its id, and its sender may do without it."""
    core = Core()
    sender, own = core.join("a")
    core.say(sender, type="join", room="b")
    _, other = core.join("b")
    await passes()
    own.writes.clear()
    other.writes.clear()
    # It looks like JSON. Who names the room has not sent it as a binary message by mistake.
    data = b"[12]"
    core.pod.dispatcher.dispatch(sender, Binary("1", data=data, room="b", echo=False), len(data))
    await passes()
    assert frames(b"".join(other.writes)) == [data]
    [ack] = own.heard()
    assert (ack["type"], ack["id"]) == ("ack", "1")


async def test_the_room_of_a_binary_message_is_refused_like_any_other() -> None:
    """A bad name and a missing right are refused, with the id."""
    core = Core()
    sender, own = core.connect(rooms={"a": "rw"})
    for room in ("b", "_"):
        core.pod.dispatcher.dispatch(sender, Binary("1", data=b"\x00\x00\x00\x01", room=room), 4)
    await passes()
    assert [one["payload"]["code"] for one in own.heard() if one["type"] == "error"] == ["forbidden", "invalid_room"]
