"""Messages of rooms are compressed once for all members that take them so."""

import json
import time
import zlib
from typing import Any

import pytest

from forestay.core.rules.policies import Policy, Retention, parse_policy
from forestay.protocol.deflate.agreement import WINDOWS, agree
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.v1.compressed import Compression, V1Wires
from forestay.protocol.v1.reader import Reader
from tests.support.core import Core, RecordingTransport, frames, passes

TEXT = "the price of everything " * 60
STAMP = "2026-11-22T12:00:00.123Z"
WIDE = agree("permessage-deflate")
NARROW = agree("permessage-deflate; server_max_window_bits=9")


def compressing(*policies: Policy, least: int = 1024) -> Core:
    """One pod that compresses messages from `least` bytes on."""
    return Core(*policies, compression=True, compression_min_bytes=least)


def heard(transport: RecordingTransport) -> list[tuple[int, dict[str, Any]]]:
    """The first byte of each frame, and its message, inflated by zlib itself."""
    found, data = [], b"".join(transport.writes)
    for payload in frames(data):
        first = data[0]
        data = data[{126: 4, 127: 10}.get(data[1], 2) + len(payload) :]
        text = zlib.decompressobj(-15).decompress(payload + b"\x00\x00\xff\xff") if first & 0x40 else payload
        found.append((first, json.loads(text)))
    return found


async def test_a_message_is_deflated_once_for_all_members_with_a_window() -> None:
    """Three members with one window get the very same bytes, and two windows are two deflations."""
    core = compressing()
    wires = core.pod.wires
    wide = [core.join("a", wire=wires.agreed(WIDE))[1] for _ in range(3)]
    narrow = [core.join("a", wire=wires.agreed(NARROW))[1] for _ in range(2)]
    plain = core.join("a")[1]
    speaker, _ = core.connect()
    await passes()
    for transport in (*wide, *narrow, plain):
        transport.writes.clear()
    core.say(speaker, type="broadcast", room="a", payload=TEXT)
    await passes()
    assert wires.compression is not None
    assert wires.compression.sent.plain == 2 * len(frames(plain.writes[0])[0])
    assert wide[0].writes[0] is wide[1].writes[0] is wide[2].writes[0]
    assert narrow[0].writes[0] is narrow[1].writes[0]
    assert len(wide[0].writes[0]) < len(plain.writes[0]) / 4
    (first, message), (one, same), (other, alike) = heard(wide[0])[0], heard(plain)[0], heard(narrow[0])[0]
    assert (first, one, other) == (0xC1, 0x81, 0xC1)
    assert message == same == alike
    assert message["payload"] == TEXT


def test_the_text_of_a_message_is_made_once_for_all_windows() -> None:
    """The wire without compression gives the frame that it has just made to those that deflate it."""
    plain = V1Wires(time.time, Reader(512, 100), compression=Compression(1024, 65536)).plain
    message, other = (Message(RoomName("a"), json.dumps(TEXT).encode(), STAMP) for _ in range(2))
    frame = plain.message(message, traced=False)
    assert plain.message(message, traced=False) is frame
    assert plain.message(other, traced=False) is not frame


async def test_small_messages_and_replies_are_not_compressed() -> None:
    """What is below COMPRESSION_MIN_BYTES, and what is for one client alone, is as without compression."""
    core = compressing(Policy("kept", history=Retention(10, 60)), least=1400)
    wire = core.pod.wires.agreed(WIDE)
    speaker, _ = core.connect()
    core.say(speaker, type="broadcast", room="kept", payload=TEXT)
    await passes()
    member, transport = core.connect(rooms={"**": "rwh"}, wire=wire)
    core.say(member, type="join", room="a")
    await passes()
    transport.writes.clear()
    core.say(speaker, type="broadcast", room="a", payload=TEXT[:1000])
    core.say(speaker, type="broadcast", room="a", payload=TEXT)
    await core.ask(member, type="history", room="kept", id="h")
    await passes()
    assert sorted((first, one["type"]) for first, one in heard(transport)) == [
        (0x81, "broadcast"),
        (0x81, "history"),
        (0xC1, "broadcast"),
    ]


async def test_a_member_that_comes_back_gets_what_it_missed_uncompressed() -> None:
    """It would have to be compressed for each of them; the live messages after that are compressed."""
    core = compressing(Policy("kept", history=Retention(10, 60)))
    stays, _ = core.join("kept")
    speaker, _ = core.connect()
    await passes()
    core.say(speaker, type="broadcast", room="kept", payload=TEXT)
    core.say(speaker, type="broadcast", room="kept", payload=TEXT)
    await passes()
    epoch = core.pod.recovery.position(next(iter(stays.rooms)))
    back, transport = core.connect(rooms={"**": "rwh"}, wire=core.pod.wires.agreed(WIDE))
    assert epoch is not None
    core.say(back, type="join", room="kept", since={"epoch": epoch.epoch, "offset": epoch.offset - 1})
    await passes()
    core.say(speaker, type="broadcast", room="kept", payload=TEXT)
    await passes()
    messages = [(first, one["offset"] - epoch.offset) for first, one in heard(transport) if one["type"] == "broadcast"]
    assert messages == [(0x81, 0), (0xC1, 1)]


async def test_a_room_may_leave_compression_out() -> None:
    """With `compress = false` its members get plain frames, and other rooms of theirs are compressed."""
    core = compressing(parse_policy({"pattern": "secret", "compress": False}))
    member, transport = core.join("secret", wire=core.pod.wires.agreed(WIDE))
    core.say(member, type="join", room="a")
    speaker, _ = core.connect()
    await passes()
    for room in ("secret", "a"):
        core.say(speaker, type="broadcast", room=room, payload=TEXT)
    core.say(member, type="leave", room="secret")
    await passes()
    found = {one["room"]: first for first, one in heard(transport) if one["type"] == "broadcast"}
    assert found == {"secret": 0x81, "a": 0xC1}


async def test_a_pod_without_compression_has_one_wire() -> None:
    """Nothing is remembered and nothing is counted where it is off."""
    core = Core()
    assert core.pod.wires.agreed(None) is core.pod.wires.plain
    assert core.pod.wires.compression is None


@pytest.mark.parametrize("window", WINDOWS)
async def test_binary_messages_are_compressed_too(window: int) -> None:
    """Their frame stays a binary one."""
    core = compressing()
    agreement = agree(f"permessage-deflate; server_max_window_bits={window}")
    member, transport = core.join("a", wire=core.pod.wires.agreed(agreement))
    speaker, _ = core.join("a")
    core.say(speaker, type="bind", room="a", payload={"type": 1})
    await passes()
    transport.writes.clear()
    core.send_binary(speaker, b"\x00\x00\x00\x01" + bytes(2000))
    await passes()
    assert transport.writes, member
    assert transport.writes[0][0] == 0xC2
