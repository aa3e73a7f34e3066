"""A connection is registered where its user has a place and its token is not revoked."""

import asyncio

from forestay.core.ports.registry import Revocation
from forestay.protocol.codes import CloseCode
from tests.support.cluster import BORN, ClusterPod
from tests.support.virtual_time import virtual

REVOKED = Revocation(jti="t1", until=BORN + 60)


@virtual
async def test_a_revoked_token_gets_no_place() -> None:
    """The connection must end with 4403, and the place that was claimed for it is released."""
    pod = ClusterPod(per_user=1)
    pod.revocations.learn(REVOKED)
    ending = await pod.registration.register(pod.connection(token="t1"))
    assert ending is not None
    assert ending.code == CloseCode.REVOKED
    assert (pod.counted(), len(pod.hub)) == ([], 0)


@virtual
async def test_a_user_who_is_disconnected_while_the_place_is_claimed_does_not_come_in() -> None:
    """A connection that is not welcomed yet is ended like the others of the user."""
    pod = ClusterPod(per_user=3)
    there = await pod.connect()
    pod.registry.holding = True
    coming = asyncio.create_task(pod.registration.register(pod.connection()))
    other = asyncio.create_task(pod.registration.register(pod.connection("bob")))
    await asyncio.sleep(0)
    await pod.all_pods.connections("alice", end=True)
    pod.registry.holding = False
    pod.registry.answer()
    ending = await coming
    assert ending is not None
    assert ending.code == CloseCode.REVOKED
    assert there.ended is not None
    assert (await other, len(pod.hub)) == (None, 1)


@virtual
async def test_a_token_that_is_revoked_while_the_place_is_claimed_does_not_come_in() -> None:
    """The revocation is looked up after the answer to the claim, because it may arrive before that."""
    pod = ClusterPod(per_user=1)
    pod.registry.holding = True
    registering = asyncio.create_task(pod.registration.register(pod.connection(token="t1")))
    await asyncio.sleep(1)
    pod.revocations.learn(REVOKED)
    pod.registry.answer()
    ending = await registering
    assert ending is not None
    assert ending.code == CloseCode.REVOKED
    assert (pod.counted(), len(pod.hub)) == ([], 0)


@virtual
async def test_a_connection_holds_its_place_until_it_ends() -> None:
    """A registered connection is in the hub and counts for its user. After its end it does neither."""
    pod = ClusterPod(per_user=1)
    connection = await pod.connect(token="t2")
    assert (pod.hub.by_id(connection.id), pod.counted()) == (connection, [connection.id])
    pod.registration.remove(connection)
    assert (pod.hub.by_id(connection.id), pod.counted()) == (None, [])


@virtual
async def test_a_connection_that_moves_gives_its_place_to_the_next_one() -> None:
    """It stays in the hub as moving and no longer counts for its user."""
    pod = ClusterPod(per_user=1)
    moving = await pod.connect()
    pod.registration.uncount(moving)
    assert (pod.hub.moving, len(pod.hub), pod.counted()) == (1, 1, [])
    new = await pod.connect()
    pod.registration.remove(moving)
    assert (pod.hub.moving, pod.hub.everybody(), pod.counted()) == (0, [new], [new.id])
