"""Pods send queries and orders over the control channel, and report a missing answer."""

import asyncio
import json
from typing import Any

import pytest

from forestay.bus.memory.bus import MemoryBus
from forestay.core.cluster.control import ANSWER_TIMEOUT
from forestay.core.cluster.control_messages import Connected
from forestay.core.ports.registry import Revocation
from forestay.protocol.codes import CloseCode
from forestay.protocol.message import Kind, Message
from forestay.protocol.names import personal_room, pods_room
from tests.support.cluster import BORN, LEASE, ClusterPod, Shared
from tests.support.core import Core
from tests.support.subscriber import FunctionSubscriber
from tests.support.virtual_time import virtual


class Peer:
    """Another pod. It sends only the messages of the test."""

    def __init__(self, shared: Shared, name: str) -> None:
        self.name = name
        self._bus = MemoryBus(shared.exchange)
        self._payloads: list[bytes] = []
        for room in (pods_room(), pods_room(name)):
            self._bus.subscribe(
                room, FunctionSubscriber(on_message=lambda message: self._payloads.append(message.payload))
            )

    @property
    def received(self) -> list[dict[str, Any]]:
        """The messages that it has received, as JSON."""
        return [json.loads(payload) for payload in self._payloads]

    def send(self, payload: bytes, to: str = "") -> None:
        """Send `payload` to all pods, or to one."""
        self._bus.publish(Message(pods_room(to), payload, "", kind=Kind.PODS))

    def tell(self, to: str = "", **fields: object) -> None:
        """Send a control message as JSON."""
        self.send(json.dumps(fields).encode(), to)

    def answer(self, number: int, *ids: str, to: str = "p1", **more: object) -> None:
        """Answer a question for connections with these ids."""
        found = [{"id": id, "pod": self.name, "rooms": []} for id in ids]
        self.tell(to, ask="answer", number=number, asker=self.name, connections=found, **more)


def alone(*others: str) -> tuple[ClusterPod, list[Peer]]:
    """A real pod, and others that send only the messages of the test."""
    pod = ClusterPod("p1")
    pod.shared.state.load |= dict.fromkeys(["p1", *others], 0)
    return pod, [Peer(pod.shared, name) for name in others]


def both() -> tuple[ClusterPod, ClusterPod]:
    """Two real pods."""
    shared = Shared()
    pods = ClusterPod("p1", shared), ClusterPod("p2", shared)
    shared.state.load |= {"p1": 0, "p2": 0}
    return pods


def ids(found: tuple[list[Connected], bool]) -> tuple[list[str], bool]:
    """The ids of the connections, and whether all pods answered."""
    return [each.id for each in found[0]], found[1]


@virtual
async def test_a_pod_that_is_alone_answers_at_once() -> None:
    """The pod publishes nothing and waits for nothing."""
    pod, _ = alone()
    connection = await pod.connect()
    async with asyncio.timeout(0):
        assert ids(await pod.all_pods.connections("alice")) == ([connection.id], True)
        assert await pod.all_pods.rooms("", 10) == ([], True)
    assert pod.received == []


@virtual
async def test_all_pods_answer_and_each_only_once() -> None:
    """A pod that asks has its own answer already, and publishes none for its own question."""
    here, there = both()
    mine, other = await here.connect(), await there.connect()
    here.join(mine, "b", "a", personal_room("alice"))
    found, complete = await here.all_pods.connections("alice")
    assert complete
    assert [(one.id, one.pod, one.rooms) for one in found] == [(mine.id, "p1", ["a", "b"]), (other.id, "p2", [])]
    assert [json.loads(message.payload)["ask"] for message in here.received] == ["connections", "answer"]


@virtual
async def test_a_pod_that_does_not_answer_is_reported() -> None:
    """After the timeout the caller has the other answers and knows that one is missing; a late answer is ignored."""
    pod, [quick, slow] = alone("p2", "p3")
    started = asyncio.get_running_loop().time()
    asking = asyncio.create_task(pod.all_pods.connections("alice"))
    await asyncio.sleep(ANSWER_TIMEOUT / 2)
    quick.answer(1, "c7")
    assert ids(await asking) == (["c7"], False)
    assert asyncio.get_running_loop().time() - started == pytest.approx(ANSWER_TIMEOUT)
    slow.answer(1, "c8")
    asking = asyncio.create_task(pod.all_pods.connections("alice"))
    await asyncio.sleep(0)
    for peer in (quick, slow):
        peer.answer(2)
    assert ids(await asking) == ([], True)


@virtual
async def test_a_pod_that_has_just_registered_is_asked() -> None:
    """The pod has heard nothing of it with a heartbeat yet. What it has is found, and is part of the answer."""
    pod, _ = alone()
    newest = ClusterPod("p2", pod.shared)
    await newest.heartbeat.send()
    connection = await newest.connect()
    assert ids(await pod.all_pods.connections("alice", end=True)) == ([connection.id], True)
    assert connection.ended is not None


@pytest.mark.parametrize("how", ["lost", "late"])
@virtual
async def test_without_the_registry_an_answer_is_not_complete(how: str) -> None:
    """The pods of the last heartbeat are asked all the same. There may be others."""
    pod, peer = both()
    await peer.heartbeat.send()
    await pod.heartbeat.send()
    connection = await peer.connect()
    if how == "lost":
        pod.registry.lost = ("pods",)
    else:
        pod.registry.holding = True
    started = asyncio.get_running_loop().time()
    assert ids(await pod.all_pods.connections("alice")) == ([connection.id], False)
    assert asyncio.get_running_loop().time() - started == (0 if how == "lost" else ANSWER_TIMEOUT)


@virtual
async def test_pods_that_the_registry_may_have_forgotten_are_asked_for_a_lease() -> None:
    """They are there before their next heartbeat, and dead if they send none until then."""
    pod, peer = both()
    await peer.heartbeat.send()
    await pod.heartbeat.send()
    connection = await peer.connect()
    for known in (pod.shared.state.leases, pod.shared.state.load):
        known.clear()
    await pod.heartbeat.send()
    assert ids(await pod.all_pods.connections("alice")) == ([connection.id], True)
    peer.control.close()
    assert ids(await pod.all_pods.connections("alice")) == ([], False)
    await asyncio.sleep(LEASE / 2)
    await pod.heartbeat.send()
    assert ids(await pod.all_pods.connections("alice")) == ([], False)
    await asyncio.sleep(LEASE / 2)
    await pod.heartbeat.send()
    assert ids(await pod.all_pods.connections("alice")) == ([], True)


@virtual
async def test_only_the_first_answer_of_a_pod_that_was_asked_counts() -> None:
    """A second answer, that of a pod that came later, and one to another question change nothing."""
    pod, [peer, last] = alone("p2", "p3")
    asking = asyncio.create_task(pod.all_pods.connections("alice"))
    await asyncio.sleep(0)
    peer.answer(1, "c7")
    peer.answer(1, "c8")
    Peer(pod.shared, "p4").answer(1, "c9")
    last.answer(9, "c10")
    await asyncio.sleep(0)
    assert not asking.done()
    last.answer(1, "c11")
    last.answer(1, "c12")
    assert ids(await asking) == (["c7", "c11"], True)


@virtual
async def test_two_questions_at_once_keep_their_answers_apart() -> None:
    """Each answer goes to the question that it names, in any order."""
    pod, [peer] = alone("p2")
    first, second = (asyncio.create_task(pod.all_pods.connections(user)) for user in ("alice", "bob"))
    await asyncio.sleep(0)
    assert [(asked["number"], asked["user"]) for asked in peer.received] == [(1, "alice"), (2, "bob")]
    peer.answer(2, "of-bob")
    peer.answer(1, "of-alice")
    assert (ids(await first), ids(await second)) == ((["of-alice"], True), (["of-bob"], True))


@virtual
async def test_a_cancelled_question_leaves_nothing_behind() -> None:
    """The answer to a question that was given up is ignored."""
    pod, [peer] = alone("p2")
    asking = asyncio.create_task(pod.all_pods.connections("alice"))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.sleep(0)
    peer.answer(1, "c7")
    assert asking.cancelled()
    assert pod.control._pending == {}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"{}",
        b'{"ask":"weather","number":1,"asker":"p2"}',
        b'{"ask":"connections","number":1,"asker":"p2"}',
        b'{"ask":"rooms","number":1,"asker":"p2","after":0,"limit":1}',
        b'{"ask":"end","connections":["c1"],"code":1}',
        b'{"ask":"revoked"}',
        b'{"ask":"status","asker":"\xff"}',
        b'{"ask":"answer","number":1,"asker":"p2","rooms":"all"}',
        b'{"ask":"answer","number":1,"asker":"p2","more":' + 100_000 * b"[" + 100_000 * b"]" + b"}",
    ],
)
@virtual
async def test_what_cannot_be_read_is_ignored(payload: bytes) -> None:
    """A newer release may send messages that this one does not know. The pod ignores them and goes on."""
    pod, [peer] = alone("p2")
    connection = await pod.connect()
    asking = asyncio.create_task(pod.all_pods.connections("bob"))
    await asyncio.sleep(0)
    pod.received.clear()
    peer.send(payload)
    assert (connection.ended, len(pod.received)) == (None, 1)
    peer.answer(1)
    assert ids(await asking) == ([], True)


@virtual
async def test_unknown_fields_are_ignored() -> None:
    """A question and an answer of a newer release are read without the fields that it added."""
    pod, [peer] = alone("p2")
    connection = await pod.connect()
    peer.tell(ask="connections", number=4, asker="p2", user="alice", mood="good")
    [[found]] = [said["connections"] for said in peer.received if said["ask"] == "answer"]
    assert (found["id"], found["pod"], found["rooms"]) == (connection.id, "p1", [])
    asking = asyncio.create_task(pod.all_pods.connections("bob"))
    await asyncio.sleep(0)
    peer.answer(1, "c7", weather="fine")
    assert ids(await asking) == (["c7"], True)


@pytest.mark.parametrize("asker", ["", "@alice", "!p2", "a b", "x" * 129])
@virtual
async def test_a_question_of_a_pod_without_a_proper_name_is_not_answered(asker: str) -> None:
    """The answer goes to a room that is made of the asker's name, so a name that is no room name gets no answer."""
    pod, [peer] = alone("p2")
    pod.bus.subscribe(pods_room(asker), FunctionSubscriber())
    peer.tell(ask="connections", number=1, asker=asker, user="alice")
    assert [json.loads(message.payload)["ask"] for message in pod.received] == ["connections"]


@virtual
async def test_rooms_are_summed_over_all_pods() -> None:
    """Members of a room on several pods are added up; personal rooms are left out."""
    here, there = both()
    for pod, names in ((here, ("a", "b")), (here, ("a",)), (there, ("c", "b"))):
        pod.join(await pod.connect(), personal_room("alice"), *names)
    assert await here.all_pods.rooms("", 10) == ([("a", 2), ("b", 2), ("c", 1)], True)
    assert await there.all_pods.rooms("a", 10) == ([("b", 2), ("c", 1)], True)


@virtual
async def test_a_page_of_rooms_ends_where_a_full_answer_ends() -> None:
    """A pod that filled its page may have more rooms after it; those come with the next page, with all members."""
    here, there = both()
    here.join(await here.connect(), "a", "d", "e")
    there.join(await there.connect(), "b", "c", "d", "e")
    pages = [(await here.all_pods.rooms(after, 2))[0] for after in ("", "b", "d", "e")]
    assert pages == [[("a", 1), ("b", 1)], [("c", 1), ("d", 2)], [("e", 2)], []]


@virtual
async def test_a_page_is_cut_at_the_smallest_last_name() -> None:
    """A room behind the last name of a full answer is not shown, because that pod may have members in it too."""
    pod, [peer] = alone("p2")
    pod.join(await pod.connect(), "a", "b", "x")
    for number, rooms, expected in (
        (1, [["a", 5], ["b", 1], ["c", 2]], [("a", 6), ("b", 2), ("c", 2)]),
        (2, [["a", 5], ["c", 1], ["x", 2]], [("a", 6), ("b", 1), ("c", 1)]),
        (3, [["y", 1]], [("a", 1), ("b", 1), ("x", 1)]),
        (4, [["0", 1], ["1", 1], ["2", 1]], [("0", 1), ("1", 1), ("2", 1)]),
    ):
        asking = asyncio.create_task(pod.all_pods.rooms("", 3))
        await asyncio.sleep(0)
        peer.tell("p1", ask="answer", number=number, asker="p2", rooms=rooms)
        assert await asking == (expected, True)


@virtual
async def test_connections_are_listed_before_they_are_ended() -> None:
    """The list shows the rooms of each connection. Then all of them end with 4403, on each pod."""
    here, there = both()
    mine, other = await here.connect(), await there.connect()
    bob = await there.connect("bob")
    here.join(mine, "a")
    there.join(other, "b")
    found, _ = await here.all_pods.connections("alice", end=True)
    assert [list(each.rooms) for each in found] == [["a"], ["b"]]
    assert [one.ended and one.ended.code for one in (mine, other, bob)] == [CloseCode.REVOKED, CloseCode.REVOKED, None]


@virtual
async def test_end_ends_the_connections_that_a_pod_has() -> None:
    """Each pod ends its own connections and ignores the other ids."""
    here, there = both()
    mine, other, spared = await here.connect(), await there.connect(), await there.connect()
    here.control.end([mine.id, other.id, "unknown"], CloseCode.CONNECTION_LIMIT)
    codes = [one.ended and one.ended.code for one in (mine, other, spared)]
    assert codes == [CloseCode.CONNECTION_LIMIT, CloseCode.CONNECTION_LIMIT, None]


@virtual
async def test_a_revocation_reaches_all_pods() -> None:
    """The other pod learns it at once and ends the connection that uses the token."""
    here, there = both()
    connection = await there.connect(token="t1")
    here.control.revoke(Revocation(jti="t1", until=BORN + 60))
    assert connection.ended is not None
    assert (connection.ended.code, len(there.revocations)) == (CloseCode.REVOKED, 1)


@virtual
async def test_a_pod_hears_the_channel_until_it_closes() -> None:
    """The channel subscribes to its two rooms, of all pods and of this one, and unsubscribes when it stops."""
    pod = ClusterPod("p1")
    assert set(pod.shared.exchange.subscribers) == {pods_room(), pods_room("p1")}
    pod.control.close()
    assert pod.shared.exchange.subscribers == {}


async def test_a_message_that_nests_too_deep_is_ignored() -> None:
    """The limit counts the message itself, so 63 more levels are read and 64 are not."""
    core = Core()
    connection, transport = core.connect()
    for levels in (64, 5000):
        core.pod.control.received(_ending(connection.id, levels))
    assert not transport.closed()
    core.pod.control.received(_ending(connection.id, 63))
    assert transport.closed()


def _ending(connection: str, levels: int) -> Message:
    """The request to end `connection`, with an unknown field that nests."""
    nested = "[" * levels + "]" * levels
    payload = f'{{"ask":"end","connections":["{connection}"],"code":4403,"x":{nested}}}'
    return Message(pods_room(), payload.encode(), "now", kind=Kind.PODS)
