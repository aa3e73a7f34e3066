"""Keys and channels: no name of a user or room can leave their form, or lead to another room."""

import re

from hypothesis import given
from hypothesis import strategies as st

from forestay.bus.redis.keys import PARTITIONS, KeySpace, idempotency_key
from forestay.bus.redis.topology.cluster import SLOTS
from forestay.protocol.names import GRAMMAR, RoomName, escaped, personal_room

PLAIN = st.from_regex(GRAMMAR, fullmatch=True).map(RoomName)
ESCAPED = st.text(min_size=1, max_size=10).map(escaped).map(RoomName)
ROOMS = PLAIN | ESCAPED | st.text(min_size=1).map(personal_room)
FORM = re.compile(rb"forestay:\{(\d{1,3})\}:[cmsk]:(@[A-Za-z0-9_-]+|[A-Za-z0-9%][A-Za-z0-9_.:%-]{0,127})")


@given(ROOMS)
def test_every_key_has_the_form(room: RoomName) -> None:
    """A key is prefix, partition, kind and room, without a character that is special in Redis."""
    keys = KeySpace("forestay").room(room)
    found = [FORM.fullmatch(key) for key in (keys.channel, keys.meta, keys.stream, keys.idempotency)]
    assert all(match and int(match[1]) == keys.partition for match in found)
    assert 0 <= keys.partition < PARTITIONS


@given(ROOMS, ROOMS)
def test_two_rooms_share_no_key(one: RoomName, two: RoomName) -> None:
    """Two rooms have no key in common, also if one is personal. The seed of the first epoch is no key of a room."""
    keys = KeySpace("forestay")
    shared = set(keys.room(one)[1:]) & set(keys.room(two)[1:]) - {keys.seed(0)}
    assert bool(shared) == (one == two)


@given(st.tuples(ROOMS, st.none() | st.text(), st.text()), st.tuples(ROOMS, st.none() | st.text(), st.text()))
def test_two_idempotency_keys_are_equal_only_for_equal_input(
    one: tuple[RoomName, str | None, str], two: tuple[RoomName, str | None, str]
) -> None:
    """Room, sender and key all count, and no sender can take the form of another one's key."""
    keys = KeySpace("forestay")
    first, second = (idempotency_key(keys.room(room), sender, key) for room, sender, key in (one, two))
    assert (first == second) == (one == two)


def test_lone_surrogates_can_be_in_names() -> None:
    """A user whose name has a lone surrogate, which JSON allows, has a channel of its own."""
    keys = KeySpace("forestay")
    assert keys.room(personal_room("\ud800")).channel != keys.room(personal_room("?")).channel


def test_partitions_spread_over_a_cluster() -> None:
    """Each of 16 equal primaries has partitions. Slots are those of Redis: its page says 123456789 has 12739."""
    from binascii import crc_hqx  # noqa: PLC0415

    assert crc_hqx(b"123456789", 0) == 12739
    assert {slot * 16 // 16384 for slot in SLOTS} == set(range(16))
