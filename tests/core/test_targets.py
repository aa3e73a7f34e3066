"""Where a client may publish is looked up once for each token and room. It holds no longer than the token."""

import time

import pytest

from forestay.core.rules.access import Identity, Rights
from forestay.core.rules.policies import Policy
from forestay.protocol.names import RoomName
from tests.support.core import Core, RecordingTransport, passes

ROOM = "chat.lobby"


def heard(transport: RecordingTransport) -> list[object]:
    """The broadcasts and the codes of refusals that a client got, in order."""
    found = [one for one in transport.heard() if one["type"] in ("broadcast", "error")]
    return [one["payload"]["code"] if one["type"] == "error" else one["payload"] for one in found]


async def test_a_right_that_a_newer_token_lacks_is_gone_with_the_next_message() -> None:
    """It does not matter how often the room was published to before, nor that the older token had the right."""
    core = Core()
    alice, _ = core.connect("alice", {"**": "rw"})
    _, bob = core.join(ROOM, "bob")
    for payload in (1, 2):
        core.say(alice, type="broadcast", room=ROOM, payload=payload)
    core.pod.sessions.renew(alice, Identity("alice", Rights({"**": "r"}), time.time() + 3600))
    core.say(alice, type="broadcast", room=ROOM, payload=3)
    core.pod.sessions.renew(alice, Identity("alice", Rights({"**": "rw"}), time.time() + 3600))
    core.say(alice, type="broadcast", room=ROOM, payload=4)
    await passes()
    assert heard(bob) == [1, 2, 4]


async def test_a_refused_room_is_refused_again_each_time() -> None:
    """Nothing that was refused is remembered as allowed: no right, no name, and a personal room."""
    core = Core()
    alice, transport = core.connect("alice", {"**": "r"})
    for room in (ROOM, ROOM, "a room", "a room", "@me", "@me", "@alice", "!pods"):
        core.say(alice, type="broadcast", room=room, payload=1)
    await passes()
    assert heard(transport) == [
        *["forbidden"] * 2,
        *["invalid_room"] * 2,
        *["forbidden"] * 2,
        *["invalid_room"] * 2,
    ]


async def test_what_one_user_may_does_not_help_another_one() -> None:
    """Two users with the same rules and two with others keep their own rights in one room."""
    core = Core()
    speakers = {user: core.connect(user, {"**": rights})[0] for user, rights in (("a", "rw"), ("b", "r"), ("c", "rw"))}
    _, listener = core.join(ROOM, "listener")
    for payload in (1, 2):
        for user, connection in speakers.items():
            core.say(connection, type="broadcast", room=ROOM, payload=f"{user}{payload}")
    await passes()
    assert heard(listener) == ["a1", "c1", "a2", "c2"]


@pytest.mark.parametrize("echo", [True, False])
async def test_the_policy_of_each_room_holds_for_each_message(*, echo: bool) -> None:
    """A connection that publishes to two rooms in turn gets its own messages where the policy of the room says so."""
    core = Core(Policy(pattern="loud.*", echo=True), Policy(pattern="quiet.*", echo=False))
    alice, transport = core.connect("alice")
    for room in ("loud.a", "quiet.a"):
        core.say(alice, type="join", room=room)
    for payload in (1, 2):
        core.say(alice, type="broadcast", room="loud.a", payload=f"loud {payload}")
        core.say(alice, type="broadcast", room="quiet.a", payload=f"quiet {payload}")
    core.say(alice, type="broadcast", room="quiet.a" if echo else "loud.a", payload="asked for", echo=echo)
    await passes()
    assert heard(transport) == ["loud 1", "loud 2", *(["asked for"] if echo else [])]


def test_the_rooms_that_are_remembered_are_bounded() -> None:
    """A client that publishes to ever new rooms does not fill the memory."""
    rights = Rights({"**": "w"})
    for number in range(10_000):
        rights.note_target(RoomName(f"room-{number}"))
    known = [number for number in range(10_000) if rights.target(f"room-{number}") is not None]
    assert len(known) <= 256
