"""Keys and channels: nothing that a user can be called leads out of the grammar, or to somebody else's room."""

import re

from hypothesis import given
from hypothesis import strategies as st

from forestay.bus.redis.keys import PARTITIONS, Grammar, idempotency_key
from forestay.bus.redis.topology.cluster import SLOTS
from forestay.protocol.names import GRAMMAR, RoomName, personal_room

ROOMS = st.from_regex(GRAMMAR, fullmatch=True).map(RoomName) | st.text(min_size=1).map(personal_room)
SHAPE = re.compile(rb"forestay:\{(\d{1,3})\}:[cmsk]:(@[A-Za-z0-9_-]+|[A-Za-z0-9][A-Za-z0-9_.:-]{0,127})")


@given(ROOMS)
def test_every_name_has_the_shape(room: RoomName) -> None:
    """Prefix, partition, kind, room, and no character that means anything to Redis."""
    names = Grammar("forestay").of(room)
    found = [SHAPE.fullmatch(name) for name in (names.channel, names.meta, names.stream, names.key)]
    assert all(match and int(match[1]) == names.partition for match in found)
    assert 0 <= names.partition < PARTITIONS


@given(ROOMS, ROOMS)
def test_two_rooms_share_no_name(one: RoomName, two: RoomName) -> None:
    """Not even a room and a person."""
    grammar = Grammar("forestay")
    shared = set(grammar.of(one)[1:]) & set(grammar.of(two)[1:])
    assert bool(shared) == (one == two)


@given(st.tuples(ROOMS, st.none() | st.text(), st.text()), st.tuples(ROOMS, st.none() | st.text(), st.text()))
def test_two_keys_meet_only_where_they_are_one(
    one: tuple[RoomName, str | None, str], two: tuple[RoomName, str | None, str]
) -> None:
    """Room, sender and key all count, and a sender cannot be spelled so that it looks like another's key."""
    grammar = Grammar("forestay")
    keys = [idempotency_key(grammar.of(room), sender, key) for room, sender, key in (one, two)]
    assert (keys[0] == keys[1]) == (one == two)


def test_lone_surrogates_are_names_too() -> None:
    """JSON can write them, so a user can be called so."""
    grammar = Grammar("forestay")
    assert grammar.of(personal_room("\ud800")).channel != grammar.of(personal_room("?")).channel


def test_partitions_spread_over_a_cluster() -> None:
    """Each of 16 equal primaries has some; the slot is that of Redis (of its documentation: 123456789 is 12739)."""
    from binascii import crc_hqx  # noqa: PLC0415

    assert crc_hqx(b"123456789", 0) == 12739
    assert {slot * 16 // 16384 for slot in SLOTS} == set(range(16))
