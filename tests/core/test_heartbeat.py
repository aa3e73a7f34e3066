"""Heartbeats keep a pod counted, tell the registry what it lacks, and find pods that must be reaped."""

import asyncio
import json

import pytest

from forestay.core.cluster.pods import Pods
from forestay.core.ports.bus import BusLost, Outcome
from forestay.core.ports.registry import HeartbeatReply, Revocation
from forestay.core.rules.access import Identity, Rights
from forestay.protocol.codes import CloseCode
from forestay.protocol.message import Kind
from forestay.protocol.presence import Member
from tests.support.cluster import BORN, GRACE, LEASE, LOUD, QUIET, ClusterPod, Shared
from tests.support.registry import EVERYTHING, ReluctantRegistry
from tests.support.subscriber import FunctionSubscriber
from tests.support.virtual_time import virtual


def identity(user: str) -> Identity:
    return Identity(user, Rights({}), 0.0)


async def cluster(me: str, *others: str) -> ClusterPod:
    """A pod that has sent its first heartbeat. The other pods exist only in the registry, and sent theirs before."""
    pod = ClusterPod(me)
    for other in others:
        await send_heartbeat(pod.shared, other)
    await pod.heartbeat.send()
    pod.registry.asked.clear()
    return pod


async def send_heartbeat(shared: Shared, name: str) -> None:
    """One heartbeat of another pod."""
    await registry(shared, name).heartbeat(LEASE)


def registry(shared: Shared, name: str) -> ReluctantRegistry:
    """The registry as another pod has it."""
    return ReluctantRegistry(name, state=shared.state)


def lapse(shared: Shared, name: str) -> None:
    """The lease of this pod is over."""
    shared.state.leases[name] = 0.0


@pytest.mark.parametrize(("lease", "pause"), [(9.0, 3.0), (15.0, 5.0), (600.0, 5.0)])
@virtual
async def test_heartbeats_go_on_after_a_lost_bus(lease: float, pause: float) -> None:
    """A third of the lease lies between two heartbeats, at most 5 s, also after a lost one."""
    pod = ClusterPod(lease=lease)
    task = asyncio.create_task(pod.heartbeat.run())
    counts = []
    for lost in ((), EVERYTHING, EVERYTHING, ()):
        pod.registry.lost = lost
        await asyncio.sleep(pause - 0.5)
        counts.append(len(pod.registry.calls("heartbeat")))
        await asyncio.sleep(0.5)
    task.cancel()
    assert counts == [1, 1, 1, 1]


@virtual
async def test_a_bug_ends_the_heartbeats() -> None:
    """Only a lost bus is ignored. The supervisor of the task gets any other exception."""
    pod = ClusterPod()
    pod.shared.state.leases = None  # type: ignore[assignment]  # the bug
    with pytest.raises(AttributeError):
        await pod.heartbeat.run()


@virtual
async def test_a_heartbeat_carries_the_lease_and_the_connections() -> None:
    """The answer says which pods are alive and what each of them carries."""
    pod = ClusterPod()
    await registry(pod.shared, "p2").heartbeat(LEASE, 7)
    await pod.connect()
    await pod.heartbeat.send()
    assert pod.registry.calls("heartbeat") == [("heartbeat", str(LEASE), "1")]
    assert (set(pod.pods.alive), pod.pods.load, pod.pods.alone) == ({"p1", "p2"}, {"p1": 1, "p2": 7}, False)


@virtual
async def test_a_pod_that_is_known_tells_only_what_was_not_accepted() -> None:
    """Users and connections that the registry has accepted, and all revocations, are not sent again."""
    pod = ClusterPod(per_user=5)
    await pod.heartbeat.send()
    await pod.connect()
    pod.presence.enter(QUIET, identity("alice"))
    pod.revocations.learn(Revocation(jti="t1", until=BORN + 60))
    pod.registry.lost, pod.registry.outcome = EVERYTHING, Outcome.REFUSED
    owed = await pod.connect()
    pod.presence.enter(QUIET, identity("bob"))
    pod.registry.lost, pod.registry.outcome = (), Outcome.ACCEPTED
    pod.registry.asked.clear()
    await pod.heartbeat.send()
    assert pod.registry.asked == [
        ("heartbeat", str(LEASE), "2"),
        ("put", QUIET, "bob", "1"),
        ("claim", owed.id, "0"),
    ]


@virtual
async def test_a_pod_that_is_forgotten_tells_everything() -> None:
    """It removes what the registry wrongly has, and sends its users, connections and revocations again."""
    pod = ClusterPod(per_user=5)
    await pod.heartbeat.send()
    connection = await pod.connect()
    pod.presence.enter(QUIET, identity("alice"))
    for token, until in (("t1", 60), ("t2", 600)):
        pod.revocations.learn(Revocation(jti=token, until=BORN + until))
    pod.revocations.learn(Revocation(user="eve", before=BORN, until=BORN + 600))
    before = registry(pod.shared, "p1")
    before.put(Member("carol", 1), QUIET, None, lambda _: None)
    await before.claim("dave", "older", 0, replace=False)
    await asyncio.sleep(100)
    pod.registry.asked.clear()
    await pod.heartbeat.send()
    assert pod.registry.asked[:2] == [("heartbeat", str(LEASE), "1"), ("recall",)]
    assert sorted(pod.registry.asked[2:]) == [
        ("claim", connection.id, "0"),
        ("put", QUIET, "alice", "1"),
        ("put", QUIET, "carol", "0"),
        ("release", "older"),
        ("revoke", "eve"),
        ("revoke", "t2"),
    ]


@virtual
async def test_a_revoked_connection_is_ended_before_anything_is_renewed() -> None:
    """A connection that came while the bus was lost and whose token is revoked is never claimed."""
    pod = ClusterPod(per_user=5)
    await pod.heartbeat.send()
    pod.registry.lost = EVERYTHING
    revoked, other = await pod.connect(token="t1"), await pod.connect()
    pod.registry.lost = ()
    await registry(pod.shared, "p2").revoke(Revocation(jti="t1", until=BORN + 60))
    pod.registry.asked.clear()
    await pod.heartbeat.send()
    assert revoked.ended is not None
    assert (revoked.ended.code, other.ended) == (CloseCode.REVOKED, None)
    assert pod.registry.calls("claim", "release") == [("claim", other.id, "0")]


@pytest.mark.parametrize(
    ("me", "others", "gone", "heartbeats"),
    [
        ("p3", ["p1", "p4", "p5"], "p2", 1),
        ("p4", ["p1", "p3", "p5"], "p2", 2),
        ("p5", ["p1", "p3", "p4"], "p2", 3),
        ("p1", ["p3", "p4", "p5"], "p2", 3),
        ("p1", ["p2"], "p9", 1),
        ("p2", ["p1"], "p9", 2),
        ("p1", [], "p0", 1),
    ],
)
@virtual
async def test_the_next_pod_of_the_ring_reaps_first(me: str, others: list[str], gone: str, heartbeats: int) -> None:
    """The second one reaps one heartbeat later where the first one has not, and all others two later."""
    pod = await cluster(me, *others, gone)
    lapse(pod.shared, gone)
    for _ in range(heartbeats - 1):
        await pod.heartbeat.send()
        assert pod.registry.calls("reap") == []
    await pod.heartbeat.send()
    assert pod.registry.calls("reap") == [("reap", gone)]
    await pod.heartbeat.send()
    assert pod.registry.calls("reap") == []


@virtual
async def test_a_pod_that_is_not_in_its_own_list_reaps_last() -> None:
    """A pod that the registry does not count leaves the others to those that it counts."""
    pods = Pods("p1", ReluctantRegistry())
    pods.update(HeartbeatReply(known=False, pods=["p2"], expired=["p0"], revocations=[], load={}))
    assert pods.rank("p0") == 2


@virtual
async def test_a_pod_that_comes_back_is_not_reaped() -> None:
    """Its countdown is dropped, and starts again when its lease ends again."""
    pod = await cluster("p2", "p1", "p0")
    lapse(pod.shared, "p0")
    await pod.heartbeat.send()
    await send_heartbeat(pod.shared, "p0")
    await pod.heartbeat.send()
    lapse(pod.shared, "p0")
    await pod.heartbeat.send()
    assert pod.registry.calls("reap") == []
    await pod.heartbeat.send()
    assert pod.registry.calls("reap") == [("reap", "p0")]


@virtual
async def test_each_user_of_a_reaped_pod_is_announced_once() -> None:
    """Members hear that a user left if the user is then on no pod."""
    pod = await cluster("p1", "p0")
    pod.bus.subscribe(LOUD, FunctionSubscriber())
    for user in ("alice", "bob"):
        registry(pod.shared, "p0").put(Member(user, 1), LOUD, None, lambda _: None)
    pod.presence.enter(LOUD, identity("bob"))
    lapse(pod.shared, "p0")
    pod.received.clear()
    for _ in range(2):
        await pod.heartbeat.send()
    [news] = pod.received
    assert (news.kind, news.room, json.loads(news.payload)) == (Kind.USER_LEFT, LOUD, {"user": "alice"})


@virtual
async def test_a_pod_that_could_not_be_reaped_is_tried_again() -> None:
    """A bus that is lost during the reaping leaves the pod for the next heartbeat."""
    pod = await cluster("p1", "p0")
    lapse(pod.shared, "p0")
    pod.registry.lost = ("reap",)
    with pytest.raises(BusLost):
        await pod.heartbeat.send()
    pod.registry.lost = ()
    pod.registry.asked.clear()
    await pod.heartbeat.send()
    assert pod.registry.calls("reap") == [("reap", "p0")]


async def beat(pod: ClusterPod, seconds: float, *others: str) -> None:
    """Let the time pass with a heartbeat every 5 s, also of these other pods."""
    for _ in range(int(seconds / 5)):
        await asyncio.sleep(5)
        for other in others:
            await send_heartbeat(pod.shared, other)
        await pod.heartbeat.send()


@virtual
async def test_after_an_outage_a_lease_passes_before_a_pod_is_reaped() -> None:
    """While the registry was away no pod could keep its lease. One that does not come back is reaped after all."""
    pod = await cluster("p1", "p0", "p2")
    pod.registry.lost = EVERYTHING
    with pytest.raises(BusLost):
        await pod.heartbeat.send()
    await asyncio.sleep(LEASE + 1)
    pod.registry.lost = ()
    await pod.heartbeat.send()
    assert set(pod.registry.calls("reap")) == set()
    await beat(pod, LEASE - 5, "p2")
    assert pod.registry.calls("reap") == []
    await beat(pod, 20, "p2")
    assert pod.registry.calls("reap") == [("reap", "p0")]


@virtual
async def test_after_a_gap_in_its_own_heartbeats_a_pod_reaps_later() -> None:
    """A pod that was stopped itself, or whose heartbeat was answered late, does not judge the others by that time."""
    pod = await cluster("p1", "p0")
    await asyncio.sleep(LEASE + 1)
    await pod.heartbeat.send()
    await pod.heartbeat.send()
    assert pod.registry.calls("reap") == []


@virtual
async def test_a_new_pod_does_not_reap_what_it_finds_expired() -> None:
    """An outage may have ended just before it started. So it leaves a lease to the others."""
    pod = ClusterPod("p1")
    await send_heartbeat(pod.shared, "p0")
    await asyncio.sleep(LEASE + 1)
    await pod.heartbeat.send()
    await pod.heartbeat.send()
    assert pod.registry.calls("reap") == []
    await beat(pod, 20)
    assert pod.registry.calls("reap") == [("reap", "p0")]


@virtual
async def test_a_wall_clock_that_jumps_changes_no_lease() -> None:
    """Only the loop's time counts, which never jumps."""
    pod = await cluster("p1", "p0")
    for jump in (3600.0, -3600.0):
        object.__setattr__(pod.shared.runtime, "clock", lambda jump=jump: BORN + jump)
        await beat(pod, 30, "p0")
    assert (pod.registry.calls("reap"), set(pod.pods.alive)) == ([], {"p0", "p1"})


@virtual
async def test_a_registry_that_lost_its_memory_is_told_without_news() -> None:
    """The members know the users already. A user that came meanwhile is announced."""
    pod = await cluster("p1")
    pod.bus.subscribe(LOUD, FunctionSubscriber())
    pod.presence.enter(LOUD, identity("alice"))
    pod.registry.outcome = Outcome.REFUSED
    pod.presence.enter(LOUD, identity("bob"))
    pod.registry.outcome = Outcome.ACCEPTED
    pod.received.clear()
    pod.shared.state.rooms.clear()
    lapse(pod.shared, "p1")
    pod.registry.lost_memory = True
    await pod.heartbeat.send()
    assert [json.loads(news.payload) for news in pod.received] == [{"user": "bob"}]
    page = await pod.registry.presence_page(LOUD, None, 10)
    assert [member.user for member in page.members] == ["alice", "bob"]


@pytest.mark.parametrize(
    ("others", "users", "grace", "left"),
    [([], ["alice"], 0, ["0"]), ([], [], 0, []), (["p2"], ["alice"], GRACE, []), (["p2"], [], 0, [])],
)
@virtual
async def test_a_pod_retires(others: list[str], users: list[str], grace: float, left: list[str]) -> None:
    """Only users who may come back on another pod keep a pod counted for the grace period."""
    pod = await cluster("p1", *others)
    for user in users:
        pod.presence.enter(QUIET, identity(user))
        pod.presence.leave(QUIET, user, grace=True)
    pod.registry.asked.clear()
    await pod.heartbeat.retire(GRACE)
    *told, retired = pod.registry.calls("put", "retire")
    assert ([call[3] for call in told], retired) == (left, ("retire", str(grace)))
    assert ("p1" in pod.shared.state.leases) is bool(grace)
