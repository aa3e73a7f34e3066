"""The limit of a user's connections holds on all pods, and on this one alone while the registry is lost."""

import asyncio

import pytest

from forestay.core.cluster.user_limit import UserLimitPolicy
from forestay.core.ports.bus import BusLost, Outcome
from forestay.protocol.codes import CloseCode
from tests.support.cluster import ClusterPod, Shared
from tests.support.registry import EVERYTHING
from tests.support.virtual_time import virtual

REJECT, REPLACE = UserLimitPolicy.REJECT, UserLimitPolicy.REPLACE


@pytest.mark.parametrize("lost", [(), EVERYTHING])
@virtual
async def test_reject_closes_the_new_connection(lost: tuple[str, ...]) -> None:
    """A user with as many connections as allowed gets no other one, and other users do not count."""
    pod = ClusterPod(per_user=2)
    pod.registry.lost = lost
    await pod.connect("bob")
    old = [await pod.connect() for _ in range(2)]
    ending = await pod.registration.register(pod.connection())
    assert ending is not None
    assert ending.code == CloseCode.CONNECTION_LIMIT
    assert (pod.hub.of_user("alice"), len(pod.hub)) == (old, 3)


@pytest.mark.parametrize("lost", [(), EVERYTHING])
@virtual
async def test_replace_closes_the_oldest_connection(lost: tuple[str, ...]) -> None:
    """The oldest connection of the user ends with 4409 for the new one."""
    pod = ClusterPod(per_user=2, policy=REPLACE)
    pod.registry.lost = lost
    bob = await pod.connect("bob")
    oldest, older = [await pod.connect() for _ in range(2)]
    new = await pod.connect()
    assert oldest.ended is not None
    assert oldest.ended.code == CloseCode.CONNECTION_LIMIT
    assert (pod.hub.of_user("alice"), bob.ended) == ([older, new], None)


@virtual
async def test_a_place_can_be_lost_before_the_registry_has_answered() -> None:
    """The news that another pod gave the place away can come before the answer. The connection ends all the same."""
    shared = Shared()
    one, two = (
        ClusterPod("one", shared, per_user=1, policy=REPLACE),
        ClusterPod("two", shared, per_user=1, policy=REPLACE),
    )
    one.registry.holding = True
    early = asyncio.create_task(one.registration.register(one.connection()))
    await asyncio.sleep(0)
    new = await two.connect()
    await asyncio.sleep(0)
    one.registry.answer()
    ending = await early
    assert ending is not None
    assert ending.code == CloseCode.CONNECTION_LIMIT
    assert (len(one.hub), two.hub.of_user("alice")) == (0, [new])
    one.registry.answer()
    assert one.counted() == [new.id]


@virtual
async def test_a_registration_that_is_cancelled_is_not_expected_any_more() -> None:
    """What its claim may have taken is released with the next heartbeat."""
    pod = ClusterPod(per_user=1)
    await pod.heartbeat.send()
    pod.registry.holding = True
    early = asyncio.create_task(pod.registration.register(pod.connection()))
    await asyncio.sleep(0)
    early.cancel()
    await asyncio.wait([early])
    pod.registry.holding = False
    await pod.heartbeat.send()
    assert pod.counted() == []
    await pod.connect()


@pytest.mark.parametrize("policy", [REJECT, REPLACE])
@virtual
async def test_a_connection_that_moves_does_not_count_on_a_lost_bus(policy: UserLimitPolicy) -> None:
    """A client that was asked to move opens its next connection, and loses none of the two for it."""
    pod = ClusterPod(per_user=1, policy=policy)
    pod.registry.lost = EVERYTHING
    moving = await pod.connect()
    moving.relocating = "draining"
    new = await pod.connect()
    assert (moving.ended, new.ended) == (None, None)


@virtual
async def test_without_a_limit_nothing_is_asked() -> None:
    """A limit of 0 counts no connection and releases none."""
    pod = ClusterPod(per_user=0)
    connection = await pod.connect()
    pod.registration.remove(connection)
    assert pod.registry.asked == []


@virtual
async def test_connections_of_a_lost_bus_are_registered_later() -> None:
    """A place that this pod granted alone is claimed by the next renewal, without a limit and only once."""
    pod = ClusterPod(per_user=2)
    pod.registry.lost = EVERYTHING
    one, other = await pod.connect(), await pod.connect()
    pod.registry.lost = ()
    assert pod.counted() == []
    pod.registry.asked.clear()
    await pod.user_limit.renew()
    assert pod.registry.calls("claim") == [("claim", one.id, "0"), ("claim", other.id, "0")]
    assert pod.counted() == [one.id, other.id]
    await pod.user_limit.renew()
    assert pod.registry.asked == []


@virtual
async def test_a_connection_that_ended_before_the_renewal_is_never_claimed() -> None:
    """The registry never learns of a connection that lived only while the bus was lost."""
    pod = ClusterPod(per_user=2)
    pod.registry.lost = EVERYTHING
    connection = await pod.connect()
    pod.registration.remove(connection)
    pod.registry.lost = ()
    pod.registry.asked.clear()
    await pod.user_limit.renew()
    assert pod.registry.asked == []


@virtual
async def test_a_connection_that_moves_before_the_renewal_is_never_claimed() -> None:
    """A connection whose client was asked to move no longer needs a place."""
    pod = ClusterPod(per_user=2)
    pod.registry.lost = EVERYTHING
    connection = await pod.connect()
    connection.relocating = "age"
    pod.registry.lost = ()
    pod.registry.asked.clear()
    await pod.user_limit.renew()
    assert pod.registry.asked == []


@virtual
async def test_a_connection_that_ends_during_the_renewal_is_released_at_once() -> None:
    """The claim is under way when the connection ends; its answer leads to a release."""
    pod = ClusterPod(per_user=2)
    pod.registry.lost = EVERYTHING
    connection = await pod.connect()
    pod.registry.lost, pod.registry.holding = (), True
    renewal = asyncio.create_task(pod.user_limit.renew())
    await asyncio.sleep(1)
    pod.registration.remove(connection)
    pod.registry.holding = False
    pod.registry.answer()
    await renewal
    assert pod.registry.calls("release") == [("release", connection.id)]
    assert pod.counted() == []


@pytest.mark.parametrize("lost", [(), EVERYTHING])
@virtual
async def test_a_connection_that_ends_during_the_renewal_is_released_until_that_is_accepted(
    lost: tuple[str, ...],
) -> None:
    """The registry counts it, also where the answer is lost, and does not take the first release."""
    pod = ClusterPod(per_user=2)
    pod.registry.lost = EVERYTHING
    connection = await pod.connect()
    pod.registry.lost, pod.registry.holding = (), True
    renewal = asyncio.create_task(pod.user_limit.renew())
    await asyncio.sleep(1)
    pod.registration.remove(connection)
    pod.registry.lost, pod.registry.holding, pod.registry.outcome = lost, False, Outcome.REFUSED
    pod.registry.answer()
    await asyncio.wait([renewal])
    assert (renewal.exception() is None) is (not lost)
    assert pod.counted() == [connection.id]
    pod.registry.lost, pod.registry.outcome = (), Outcome.ACCEPTED
    await pod.user_limit.renew()
    assert pod.counted() == []


@virtual
async def test_a_granted_connection_whose_answer_was_lost_is_released_at_its_end() -> None:
    """The registry may count it although this pod granted it alone, so its place is free again before the renewal."""
    pod = ClusterPod(per_user=1)
    pod.registry.holding = True
    connection = pod.connection()
    registering = asyncio.create_task(pod.registration.register(connection))
    await asyncio.sleep(1)
    pod.registry.lost, pod.registry.holding = EVERYTHING, False
    pod.registry.answer()
    assert (await registering, pod.counted()) == (None, [connection.id])
    pod.registration.remove(connection)
    assert pod.counted() == []


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.UNKNOWN])
@virtual
async def test_a_release_is_repeated_until_it_is_accepted(outcome: Outcome) -> None:
    """Each renewal releases again what the registry may still count."""
    pod = ClusterPod(per_user=1)
    connection = await pod.connect()
    pod.registry.outcome = outcome
    pod.registration.remove(connection)
    pod.registry.asked.clear()
    await pod.user_limit.renew()
    pod.registry.outcome = Outcome.ACCEPTED
    await pod.user_limit.renew()
    await pod.user_limit.renew()
    assert pod.registry.calls("release") == 2 * [("release", connection.id)]
    assert pod.counted() == []


@virtual
async def test_a_refused_connection_is_not_released() -> None:
    """The registry refused to count the connection, so it gets no release."""
    pod = ClusterPod(per_user=1)
    await pod.connect()
    refused = pod.connection()
    assert await pod.registration.register(refused) is not None
    assert pod.registry.calls("release") == []


@virtual
async def test_correct_makes_the_registry_count_what_is_here() -> None:
    """It claims all connections of this pod again, and releases those that it only believes to be here."""
    pod = ClusterPod(per_user=2)
    here = await pod.connect()
    pod.registry.outcome = Outcome.REFUSED
    ended = await pod.connect()
    pod.registration.remove(ended)
    pod.registry.outcome = Outcome.ACCEPTED
    await pod.registry.claim("bob", "older", 0, replace=False)
    pod.shared.state.claims["alice"].pop(here.id)
    pod.registry.asked.clear()
    await pod.user_limit.correct((await pod.registry.recall()).claims)
    assert pod.registry.asked == [
        ("recall",),
        ("release", ended.id),
        ("release", "older"),
        ("claim", here.id, "0"),
    ]
    assert (pod.counted(), pod.counted("bob")) == ([here.id], [])


@virtual
async def test_a_bus_that_is_lost_during_the_renewal_changes_nothing() -> None:
    """Places that were claimed before the loss are counted. The next renewal claims the others."""
    pod = ClusterPod(per_user=3)
    pod.registry.lost = EVERYTHING
    ids = [(await pod.connect()).id for _ in range(3)]
    pod.registry.lost, pod.registry.holding = (), True
    renewal = asyncio.create_task(pod.user_limit.renew())
    await asyncio.sleep(1)
    pod.registry.answer()
    await asyncio.sleep(1)
    pod.registry.lost, pod.registry.holding = EVERYTHING, False
    pod.registry.answer()
    with pytest.raises(BusLost):
        await renewal
    pod.registry.lost = ()
    pod.registry.asked.clear()
    await pod.user_limit.renew()
    assert pod.registry.calls("claim") == [("claim", id, "0") for id in ids[1:]]
    assert pod.counted() == ids


@virtual
async def test_a_claim_under_way_is_not_taken_for_one_of_a_lost_connection() -> None:
    """A correction that runs before the claim is answered keeps the place of the new connection."""
    pod = ClusterPod(per_user=1)
    pod.registry.holding = True
    connection = pod.connection()
    registering = asyncio.create_task(pod.registration.register(connection))
    await asyncio.sleep(1)
    pod.registry.holding = False
    await pod.user_limit.correct((await pod.registry.recall()).claims)
    await pod.user_limit.renew()
    pod.registry.answer()
    assert await registering is None
    assert (pod.registry.calls("release"), pod.counted()) == ([], [connection.id])
    pod.registration.remove(connection)
    assert pod.counted() == []


@virtual
async def test_a_refused_connection_whose_answer_was_lost_is_released() -> None:
    """The registry may have counted a connection that this pod then refused alone, so it gets a release."""
    pod = ClusterPod(per_user=1)
    pod.registry.lost = EVERYTHING
    old = await pod.connect()
    pod.registry.lost, pod.registry.holding = (), True
    refused = pod.connection()
    registering = asyncio.create_task(pod.registration.register(refused))
    await asyncio.sleep(1)
    pod.registry.lost, pod.registry.holding = EVERYTHING, False
    pod.registry.answer()
    assert await registering is not None
    pod.registry.lost = ()
    await pod.user_limit.renew()
    assert pod.counted() == [old.id]


@virtual
async def test_a_connection_on_another_pod_yields_through_the_control_channel() -> None:
    """The pod of the new connection tells the pod of the oldest one to end it with 4409."""
    shared = Shared()
    here, there = (ClusterPod(name, shared, per_user=1, policy=REPLACE) for name in ("p1", "p2"))
    old = await there.connect()
    new = await here.connect()
    assert old.ended is not None
    assert (old.ended.code, new.ended) == (CloseCode.CONNECTION_LIMIT, None)
    assert (here.counted(), len(there.hub)) == ([new.id], 0)


@virtual
async def test_the_pod_counts_all_its_connections() -> None:
    """The number that goes with a heartbeat is that of the hub."""
    pod = ClusterPod(per_user=2)
    await pod.connect()
    await pod.connect("bob")
    assert pod.user_limit.connections == 2
