"""Which messages a pod receives, and which rooms it doubts because messages may be missing."""

import asyncio
import random
import time
from collections.abc import Callable, Collection, Sequence

import pytest

from forestay.bus.redis.client.address import parse_address
from forestay.bus.redis.client.command import Command, ErrorReply
from forestay.bus.redis.client.connection import open_client
from forestay.bus.redis.client.dial import Dialed
from forestay.bus.redis.client.link import NodeAccess
from forestay.bus.redis.client.node import Node
from forestay.bus.redis.client.pipeline import Pipeline
from forestay.bus.redis.client.probe import ProbeChannel
from forestay.bus.redis.client.report import Report
from forestay.bus.redis.client.subscription import PLAIN, Subscription
from forestay.bus.redis.messages import encode_live
from forestay.core.ports.bus import Outcome
from forestay.protocol.envelope import encode
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from tests.bus.redis_pod import KEPT, ROOM, NewPod, Pod, until
from tests.support.local_redis import RedisServer, Road
from tests.support.subscriber import FunctionSubscriber
from tests.support.tasks import PlainTasks


def subscribers(server: RedisServer, pod: Pod, rooms: list[RoomName]) -> list[int]:
    """The number of subscribers of each room, as Redis counts them."""
    answer = server.do("PUBSUB", "NUMSUB", *(pod.bus.keys.room(room).channel for room in rooms))
    assert isinstance(answer, list)
    return answer[1::2]


async def test_rooms_are_doubted_after_a_killed_connection(own_redis: RedisServer, new_pod: NewPod) -> None:
    """Every subscribed room is subscribed again and doubted once; later messages arrive."""
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    rooms = [RoomName(f"room.{number}") for number in range(1200)]
    for room in rooms:
        pod.bus.subscribe(room, pod.subscriber(room))
    await pod.subscribe()
    began = time.monotonic()
    own_redis.do("CLIENT", "KILL", "TYPE", "pubsub")
    await until(lambda: len(pod.doubted) == 1201)
    assert time.monotonic() - began < 5
    assert sorted(pod.doubted) == sorted([*rooms, ROOM])
    await pod.publish("after")
    await until(lambda: pod.heard == ["after"])
    assert "resubscribed" in pod.events


async def test_only_rooms_from_before_the_loss_are_doubted(own_redis: RedisServer, new_pod: NewPod) -> None:
    """A room that was left during the loss is not doubted; one that was new during it is confirmed."""
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    old, new = RoomName("old"), RoomName("new")
    await pod.subscribe(old)
    await pod.subscribe()
    own_redis.kill()
    await until(lambda: not pod.bus.up)
    pod.bus.unsubscribe(old)
    confirmed = asyncio.Event()
    pod.bus.subscribe(new, pod.subscriber(new, confirmed.set))
    own_redis.start()
    await until(confirmed.is_set)
    await until(lambda: pod.doubted == [ROOM])
    assert subscribers(own_redis, pod, [old, new, ROOM]) == [0, 1, 1]


async def test_the_doubt_comes_before_later_messages(own_redis: RedisServer, new_pod: NewPod) -> None:
    """Between a gap and the next message there is always a doubt, also while messages never stop."""
    pod, sender = new_pod(own_redis.url), new_pod(own_redis.url)
    await asyncio.gather(pod.bus.start(), sender.bus.start())
    order: list[str] = []
    pod.on_message = lambda message: order.append(message.payload.decode())
    pod.on_doubt = lambda _: order.append("doubt")
    await pod.subscribe()
    sending = True

    async def send() -> None:
        number = 0
        while sending:
            await sender.publish(str(number))
            number += 1

    task = asyncio.create_task(send())
    for _ in range(5):
        await asyncio.sleep(0.1)
        doubts = order.count("doubt")
        own_redis.do("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda doubts=doubts: order.count("doubt") > doubts)  # type: ignore[misc]
    sending = False
    await task
    heard = [-1]
    for text in order:
        if text == "doubt":
            heard = []
        else:
            assert not heard or int(text) == heard[-1] + 1
            heard.append(int(text))


async def test_quick_changes_end_in_the_right_subscriptions(own_redis: RedisServer, new_pod: NewPod) -> None:
    """After many quick changes Redis sends only wanted rooms, and each of them was confirmed."""
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    rng = random.Random(3)
    rooms = [RoomName(f"room.{number}") for number in range(40)]
    wanted: dict[RoomName, int] = {}
    confirmed: set[tuple[RoomName, int]] = set()

    def confirm(room: RoomName, number: int) -> Callable[[], None]:
        return lambda: confirmed.add((room, number))

    for number in range(4000):
        room = rng.choice(rooms)
        if room in wanted:
            del wanted[room]
            pod.bus.unsubscribe(room)
        else:
            wanted[room] = number
            pod.bus.subscribe(room, pod.subscriber(room, confirm(room, number)))
        if rng.random() < 0.05:
            await asyncio.sleep(rng.choice((0, 0, 0.001)))
        if number % 1000 == 500:
            own_redis.do("CLIENT", "KILL", "TYPE", "pubsub")
    await until(lambda: confirmed >= set(wanted.items()))
    await until(lambda: subscribers(own_redis, pod, rooms) == [int(room in wanted) for room in rooms])
    for room in rooms:
        pod.bus.publish(Message(room, room.encode(), "now"))
    await until(lambda: sorted(pod.heard) == sorted(wanted))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"L",
        b"garbage",
        b"L\x02from the future",
        b"H",
        b"H:",
        b"Hepoch:1",
        b"Hepoch:-1:" + encode(Message(ROOM, b"x", "now")),
        b"Hepoch:99999999999999999999:" + encode(Message(ROOM, b"x", "now")),
        b"H\xff:1:" + encode(Message(ROOM, b"x", "now")),
        encode_live(encode(Message(RoomName("another"), b"x", "now"))),
        encode_live(encode(Message(ROOM, b"x", "now")))[:-1],
        b"\x80\x04\x95\x00.",
    ],
)
async def test_garbage_is_counted_and_dropped(data: bytes, own_redis: RedisServer, new_pod: NewPod) -> None:
    """Data that is not a message is counted, and the next message arrives on the same connection."""
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    await pod.subscribe()
    own_redis.do("PUBLISH", pod.bus.keys.room(ROOM).channel, data)
    await pod.publish("fine")
    await until(lambda: pod.heard == ["fine"])
    assert pod.events == ["connected", "garbage"]


async def test_a_half_open_subscription_is_found(road: Road, new_pod: NewPod) -> None:
    """If publishes work and nothing comes back, the pod subscribes again within two probe intervals."""
    pod = new_pod(road.url, probe_interval=1)
    await pod.bus.start()
    await pod.subscribe()
    await until(lambda: pod.bus.up)
    assert road.mute(b"subscribe") == 1
    began = time.monotonic()
    assert (await pod.publish("unheard")).outcome is Outcome.ACCEPTED
    await until(lambda: "deaf" in pod.events)
    # Twice the two intervals of a second: on a busy machine a probe comes late, and so does what waits for it.
    assert time.monotonic() - began < 4
    await until(lambda: pod.bus.up)
    assert pod.doubted == [ROOM]
    await pod.publish("heard")
    await until(lambda: pod.heard == ["heard"])


async def test_a_subscription_without_confirmation_is_sent_again(road: Road, new_pod: NewPod) -> None:
    """A connection on which no confirmation comes is replaced."""
    pod = new_pod(road.url, timeout=0.5)
    await pod.bus.start()
    await until(lambda: road.mute(b"subscribe") == 1)
    await asyncio.wait_for(pod.subscribe(), 10)
    await pod.publish("heard")
    await until(lambda: pod.heard == ["heard"])


async def test_the_round_trip_is_measured(own_redis: RedisServer, new_pod: NewPod) -> None:
    """The round trip is that of a probe, and None before the first one."""
    pod = new_pod(own_redis.url)
    before = pod.bus.round_trip
    await pod.bus.start()
    assert before is None
    # Seconds. A machine may stand still for one of them.
    assert 0 < (pod.bus.round_trip or 0) < 5


async def test_a_bug_in_a_callback_does_not_end_the_connection(own_redis: RedisServer, new_pod: NewPod) -> None:
    """The exception goes to the handler of the loop, and the next message arrives."""
    pod = new_pod(own_redis.url)
    bugs: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: bugs.append(context["exception"]))

    def heard(message: Message) -> None:
        if message.payload == b"bad":
            raise KeyError
        pod.heard.append(message.payload.decode())

    pod.on_message = heard
    await pod.bus.start()
    await pod.subscribe()
    for text in ("bad", "good"):
        pod.offer(text)
    await until(lambda: pod.heard == ["good"])
    assert [type(bug) for bug in bugs] == [KeyError]
    assert pod.events == ["connected"]


async def test_a_second_subscription_is_confirmed_too(own_redis: RedisServer, new_pod: NewPod) -> None:
    """A room that is subscribed twice is confirmed twice, and its messages arrive once."""
    pod = new_pod(own_redis.url)
    await pod.bus.start()
    await pod.subscribe()
    await pod.subscribe()
    await pod.publish("once")
    await pod.publish("end")
    await until(lambda: pod.heard == ["once", "end"])


async def test_messages_arrive_in_the_order_of_their_positions(own_redis: RedisServer, new_pod: NewPod) -> None:
    """The offsets of a room have no gap for a subscriber, while several pods publish at once."""
    pods = [new_pod(own_redis.url) for _ in range(3)]
    await asyncio.gather(*(pod.bus.start() for pod in pods))
    offsets: list[int] = []
    pods[0].on_message = lambda message: offsets.append(message.position.offset if message.position else -1)
    await pods[0].subscribe()
    for _ in range(100):
        for pod in pods:
            pod.offer("x", KEPT)
        await asyncio.sleep(0)
    await until(lambda: len(offsets) == 300)
    assert offsets == list(range(1, 301))


class Calls:
    """A receiver that records what it is called with."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def received(self, subscription: Subscription, data: bytes) -> None:
        self.calls.append(data)

    def doubted(self, subscriptions: Collection[Subscription]) -> None:
        self.calls.append(sorted(one.room for one in subscriptions))


class IdleOwner:
    """The owner of a node of which only the listener runs."""

    def node_up(self) -> None: ...

    def node_down(self, node: Node, reason: str) -> None: ...

    def redirected(self, node: Node, pipeline: Pipeline, commands: Sequence[tuple[Command, ErrorReply]]) -> None: ...


async def test_a_message_between_two_confirmations_comes_after_the_doubt() -> None:
    """A room is doubted before its next message, also if both arrive in one read."""
    replies = (
        b"*3\r\n$9\r\nsubscribe\r\n$1\r\np\r\n:1\r\n"
        b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:2\r\n"
        b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n"
        b"*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:3\r\n"
    )

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(replies)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    address = parse_address(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    async def dial() -> Dialed:
        return Dialed(await open_client(address, address.hosts[0], 5), b"")

    access = NodeAccess(address.hosts[0], dial, PlainTasks(), 5, PLAIN)
    receiver = Calls()
    node = Node(access, IdleOwner(), receiver, Report(lambda _: None), ProbeChannel(0, b"p"), 5)
    for name in ("a", "b"):
        subscription = Subscription(RoomName(name), name.encode(), 0, FunctionSubscriber())
        subscription.confirm()
        subscription.interrupt()
        node.listener.add(subscription)
    node.listener.start()
    await until(lambda: len(receiver.calls) == 3)
    assert receiver.calls == [["a"], b"x", ["b"]]
    await node.close()
    server.close()
    await server.wait_closed()
