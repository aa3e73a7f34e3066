"""A pod reads the envelopes of other pods, and refuses malformed ones."""

import msgspec
import pytest

from forestay.bus.redis.signatures import Signer
from forestay.protocol.envelope import BadEnvelope, decode, encode
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from tests.support.messages import changed

MESSAGE = Message(RoomName("chat.lobby"), b'{"a":1}', "2030-01-01T00:00:00.000Z", sender="ada")
FIELDS = msgspec.msgpack.decode(encode(MESSAGE)[1:])


def extended(*added: object) -> bytes:
    """The message as a newer pod would write it, with fields at the end."""
    return b"\x01" + msgspec.msgpack.encode([*FIELDS, *added])


def long_form(data: bytes) -> bytes:
    """The same envelope with the length of its array in two bytes."""
    return data[:1] + bytes([0xDC, 0, data[1] & 0x0F]) + data[2:]


@pytest.mark.parametrize("added", [[], [1], [None, None, "x", None, True, 1.5], list(range(6))])
def test_fields_of_newer_pods_are_ignored(added: list[object]) -> None:
    """Up to six single values may follow the fields of this version."""
    assert decode(extended(*added)) == MESSAGE
    assert decode(long_form(extended(*added))) == MESSAGE


@pytest.mark.parametrize("room", ["chat.lobby2", "chat", "@ada", "", "no room", "é"])
def test_an_envelope_is_of_the_room_that_it_came_in(room: str) -> None:
    """One of another room is refused, whether its name is good or bad; so is a bad name where any room would do."""
    other = encode(changed(MESSAGE, room=RoomName(room)))
    assert decode(encode(MESSAGE), None, MESSAGE.room) == MESSAGE
    with pytest.raises(BadEnvelope):
        decode(other, None, MESSAGE.room)
    if room in {"", "no room", "é"}:
        with pytest.raises(BadEnvelope):
            decode(other)


@pytest.mark.parametrize(("event", "binary_at"), [("chat message", ""), ("ä", "1:6"), (None, "1:6,9:2")])
def test_an_event_and_its_binary_parts_reach_the_other_pod(event: str | None, binary_at: str) -> None:
    """Both are in the added fields, which the release before ignores; a signature behind them changes neither."""
    message = changed(MESSAGE, event=event, binary_at=binary_at)
    assert decode(encode(message)) == message
    assert decode(Signer([b"s" * 32], lambda: 1e9, required=True).sign(b"channel", encode(message))) == message
    fields = msgspec.msgpack.decode(encode(message)[1:])
    assert (fields[: len(FIELDS)], len(fields)) == (FIELDS, len(FIELDS) + 2)


def test_a_signature_is_no_event() -> None:
    """The time and the digest of a signed message without an event stand where an event would stand."""
    assert decode(Signer([b"s" * 32], lambda: 1e9, required=True).sign(b"channel", encode(MESSAGE))) == MESSAGE


@pytest.mark.parametrize("levels", [1, 64, 1500, 100_000])
def test_an_envelope_does_not_nest(levels: int) -> None:
    """Arrays and maps are refused at any depth, before the parser could recurse."""
    good = encode(MESSAGE)
    for container in (b"\x91", b"\x81\xa1k"):
        with pytest.raises(BadEnvelope):
            decode(b"\x01\x9a" + good[2:] + container * levels + b"\xc0")
        with pytest.raises(BadEnvelope):
            decode(b"\x01\xdc\x00\x0a" + good[2:] + container * levels + b"\xc0")
        with pytest.raises(BadEnvelope):
            decode(b"\x01" + container * levels + b"\xc0")


def test_an_envelope_has_at_most_fifteen_fields() -> None:
    """A sixteenth has no type, so the parser would skip it however deep it nests."""
    with pytest.raises(BadEnvelope):
        decode(extended(*range(7)))


@pytest.mark.parametrize(
    "head", [b"", b"\xdc", b"\xdc\x00", b"\xdc\x00\x10", b"\xdc\x01\x00", b"\xdd\x00\x00", b"\x81"]
)
def test_a_head_that_is_no_short_array_is_refused(head: bytes) -> None:
    """An envelope that is cut, has more than 15 values, has the longest form or is a map is refused."""
    with pytest.raises(BadEnvelope):
        decode(b"\x01" + head + encode(MESSAGE)[2:])
    with pytest.raises(BadEnvelope):
        decode(b"\x01" + head)
