"""What Redis holds may nest as deep as its writer likes, and be no UTF-8: the registry reads none of that."""

import asyncio

import msgspec
import pytest

from forestay.bus.redis.registry import RedisRegistry, _decode_entries
from forestay.bus.redis.registry_replies import read_revocation
from forestay.core.ports.bus import Outcome
from forestay.protocol.message import Kind, Message
from forestay.protocol.presence import Member
from tests.bus.redis_pod import ROOM, NewPod
from tests.support.local_redis import RedisServer


@pytest.mark.parametrize(("levels", "read"), [(63, True), (64, False), (5000, False)])
def test_a_revocation_that_nests_too_deep_is_ignored(levels: int, read: bool) -> None:  # noqa: FBT001 - a parameter of the case
    """The limit counts the revocation itself, so 63 more levels are read."""
    nested = "[" * levels + "]" * levels
    text = f'{{"jti":"t1","until":9,"x":{nested}}}'
    assert (read_revocation(text.encode()) is not None) == read


def test_a_revocation_that_is_no_utf8_is_ignored() -> None:
    """Another program has written it. The others of the same reply are read."""
    assert read_revocation(b'{"user":"\xff","until":9}') is None


@pytest.mark.parametrize("levels", [1, 64, 1500, 100_000])
def test_the_type_of_a_presence_entry_leaves_no_room_to_nest(levels: int) -> None:
    """The parser refuses the first array that is too much, and does not recurse into it."""
    for entry in (b"\x91" * levels, b"\x92\x01" + b"\x91" * levels):
        with pytest.raises(msgspec.MsgspecError):
            _decode_entries(b"\x81\xa2p1" + entry + b"\xc0")


async def test_a_presence_entry_that_is_no_utf8_counts_for_nothing(own_redis: RedisServer, new_pod: NewPod) -> None:
    """The user is there without connections, and the others of the page are read."""
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    registry = RedisRegistry("one", pod.bus)
    for user in ("ada", "bob"):
        settled: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        news = Message(ROOM, b"{}", "now", user, kind=Kind.USER_JOINED)
        registry.put(Member(user, 1), ROOM, news, settled.set_result)
        assert await settled is Outcome.ACCEPTED
    members, _ = pod.bus.keys.presence(ROOM)
    own_redis.do("HSET", members, "bob", b"\x81\xa1\xff\x92\x01\xa0")
    page = await registry.presence_page(ROOM, None, 10)
    assert [(member.user, member.connections) for member in page.members] == [("ada", 1), ("bob", 0)]
