"""With a secret, messages between pods are signed: what others write into Redis reaches no client."""

import asyncio
from functools import partial
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from forestay.bus.redis.guard import TRUSTING, Guard
from forestay.bus.redis.messages import encode_live
from forestay.bus.redis.registry import RedisRegistry
from forestay.bus.redis.signatures import WINDOW, Forged, Signer
from forestay.core.ports.bus import Outcome, Query
from forestay.protocol.envelope import decode, encode
from forestay.protocol.message import Kind, Message
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from forestay.protocol.presence import Member
from tests.bus.redis_pod import KEPT, ROOM, NewPod, Pod, until
from tests.support.local_redis import RedisServer

OLD, NEW = b"o" * 32, b"n" * 32
CHANNEL = b"forestay:{1}:c:a"
TEXT = Message(ROOM, b'"hello"', "now", "ada")
READ = decode(encode(TEXT))


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def guard(*secrets: bytes, required: bool = True) -> Guard:
    return Guard(signer=Signer(secrets, Clock(), required=required))


def test_a_signed_envelope_is_readable_without_the_secret() -> None:
    """A pod that knows no signatures, such as one of the release before, reads the same message."""
    assert decode(guard(NEW).encode(CHANNEL, TEXT)) == READ


@pytest.mark.parametrize("byte", range(40))
def test_no_byte_can_be_changed(byte: int) -> None:
    """From the first byte to the last one, a change makes the message unreadable or forged."""
    ours = guard(NEW)
    sealed = bytearray(ours.encode(CHANNEL, TEXT))
    place = byte * (len(sealed) - 1) // 39
    sealed[place] ^= 1
    with pytest.raises(Forged):
        ours.decode(CHANNEL, bytes(sealed), None, live=True)


def test_a_message_of_another_channel_is_forged() -> None:
    """A message cannot be copied to another room or another gateway."""
    ours = guard(NEW)
    with pytest.raises(Forged):
        ours.decode(CHANNEL + b"b", ours.encode(CHANNEL, TEXT), None, live=True)


@pytest.mark.parametrize(("age", "believed"), [(0, True), (WINDOW, True), (WINDOW + 1, False), (-WINDOW - 1, False)])
def test_an_old_message_is_forged(age: float, believed: bool) -> None:  # noqa: FBT001 - a case of a table
    """Within the window a live message can be repeated, and after it not. An entry of a history stays good."""
    clock = Clock()
    ours = Guard(signer=Signer([NEW], clock, required=True))
    sealed = ours.encode(CHANNEL, TEXT)
    clock.now += age
    assert ours.decode(CHANNEL, sealed, Position("e", 1), live=False) == decode(encode(TEXT), Position("e", 1))
    if believed:
        assert ours.decode(CHANNEL, sealed, None, live=True) == READ
    else:
        with pytest.raises(Forged):
            ours.decode(CHANNEL, sealed, None, live=True)


def test_a_missing_signature_is_forged_where_it_is_required() -> None:
    """Otherwise messages without one are taken; but a wrong one never is."""
    strict, lenient = guard(NEW), guard(NEW, required=False)
    assert lenient.decode(CHANNEL, encode(TEXT), None, live=True) == decode(encode(TEXT))
    with pytest.raises(Forged):
        strict.decode(CHANNEL, encode(TEXT), None, live=True)
    for one in (strict, lenient):
        with pytest.raises(Forged):
            one.decode(CHANNEL, guard(OLD).encode(CHANNEL, TEXT), None, live=True)


def test_keys_are_turned_in_three_steps() -> None:
    """Pods of two neighbouring steps understand each other."""
    steps = [guard(OLD), guard(OLD, NEW), guard(NEW, OLD), guard(NEW)]
    for one, two in pairwise(steps):
        for sender, receiver in ((one, two), (two, one)):
            assert receiver.decode(CHANNEL, sender.encode(CHANNEL, TEXT), None, live=True) == READ


async def test_planted_messages_are_dropped_counted_and_logged(own_redis: RedisServer, new_pod: NewPod) -> None:
    """On the channel and in the history, without a signature or with one of another room. Each reason is logged."""
    pods = [new_pod(own_redis.url, guard=guard(NEW)) for _ in range(2)]
    for pod in pods:
        await pod.bus.start()
        await pod.subscribe()
    one, two = pods
    await one.publish("first", KEPT)
    names = one.bus.keys.room(ROOM)
    other = one.bus.keys.room(RoomName("other"))
    with capture_logs() as lines:
        for envelope in (encode(TEXT), guard(NEW).encode(other.channel, TEXT), guard(OLD).encode(names.channel, TEXT)):
            own_redis.do("PUBLISH", names.channel, encode_live(envelope))
        own_redis.do("XADD", names.stream, "2-0", "m", encode(TEXT))
        own_redis.do("HSET", names.meta, "offset", 2)
        await one.publish("live")
        await until(lambda: "live" in one.heard and "live" in two.heard)
        page = await two.bus.history(ROOM, Query(10), KEPT)
    reasons = [line["reason"].partition(",")[0] for line in lines if line["event"] == "bus message dropped"]
    assert (
        sorted(reasons)
        == ["forged: a wrong signature; do all pods have the same secret?"] * 2 + ["forged: no signature"] * 2
    )
    assert two.heard == ["first", "live"]
    assert [message.payload for message in page.messages] == [b"first"]
    assert two.events.count("forged") == 4


def heard_all(pod: Pod) -> bool:
    return pod.heard == list("0123")


async def test_pods_with_and_without_the_secret_share_a_bus(own_redis: RedisServer, new_pod: NewPod) -> None:
    """While a secret is rolled out both hear each other, live and from histories; then it can be required."""
    plain = new_pod(own_redis.url, guard=TRUSTING)
    signing = new_pod(own_redis.url, guard=guard(NEW, required=False))
    for pod in (plain, signing):
        await pod.bus.start()
        await pod.subscribe()
    for number, pod in enumerate((plain, signing, plain, signing)):
        await pod.publish(str(number), KEPT)
    for pod in (plain, signing):
        await until(partial(heard_all, pod))
        assert await pod.kept() == list("0123")


async def test_news_of_presence_are_signed(own_redis: RedisServer, new_pod: NewPod) -> None:
    """The registry publishes them in a script, and they pass where signatures are required."""
    pod: Pod = new_pod(own_redis.url, guard=guard(NEW))
    await pod.bus.start()
    await pod.subscribe()
    settled: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    news = Message(ROOM, b'{"user":"ada"}', "now", "ada", kind=Kind.USER_JOINED)
    RedisRegistry("one", pod.bus).put(Member("ada", 1), ROOM, news, settled.set_result)
    assert await settled is Outcome.ACCEPTED
    await until(lambda: pod.heard == ['{"user":"ada"}'])


def test_what_is_kept_is_sealed() -> None:
    """A ticket that somebody else wrote, or that was kept under another name, stands for nobody."""
    ours, old, plain = guard(NEW, OLD), guard(OLD), TRUSTING
    assert ours.unseal(b"name", ours.seal(b"name", b"data")) == b"data"
    assert ours.unseal(b"name", old.seal(b"name", b"data")) == b"data"
    assert old.unseal(b"name", ours.seal(b"name", b"data")) is None
    assert ours.unseal(b"other", ours.seal(b"name", b"data")) is None
    assert ours.unseal(b"name", ours.seal(b"name", b"data")[:-1]) is None
    # Pods with and without the secret live side by side until signatures are required.
    assert plain.unseal(b"name", ours.seal(b"name", b"data")) == b"data"
    assert guard(NEW, required=False).unseal(b"name", plain.seal(b"name", b"data")) == b"data"
    assert ours.unseal(b"name", plain.seal(b"name", b"data")) is None
    assert ours.unseal(b"name", b"") is None
