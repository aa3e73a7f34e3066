"""What Redis holds may nest as deep as its writer likes: the registry reads none of it past a limit."""

import msgspec
import pytest

from forestay.bus.redis.registry import _decode_entries
from forestay.bus.redis.registry_replies import read_revocation


@pytest.mark.parametrize(("levels", "read"), [(63, True), (64, False), (5000, False)])
def test_a_revocation_that_nests_too_deep_is_ignored(levels: int, read: bool) -> None:  # noqa: FBT001 - a parameter of the case
    """The limit counts the revocation itself, so 63 more levels are read."""
    nested = "[" * levels + "]" * levels
    text = f'{{"jti":"t1","until":9,"x":{nested}}}'
    assert (read_revocation(text.encode()) is not None) == read


@pytest.mark.parametrize("levels", [1, 64, 1500, 100_000])
def test_the_type_of_a_presence_entry_leaves_no_room_to_nest(levels: int) -> None:
    """The parser refuses the first array that is too much, and does not recurse into it."""
    for entry in (b"\x91" * levels, b"\x92\x01" + b"\x91" * levels):
        with pytest.raises(msgspec.MsgspecError):
            _decode_entries(b"\x81\xa2p1" + entry + b"\xc0")
