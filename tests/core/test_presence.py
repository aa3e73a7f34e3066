"""Presence counts the users of a pod, and the registry learns each change at its time."""

import asyncio
import json

import pytest

from forestay.bus.memory.bus import MemoryBus
from forestay.core.ports.bus import Outcome
from forestay.core.rooms.presence import DOUBTED, Presence
from forestay.core.rules.access import Identity, Rights
from forestay.core.rules.policies import Policies
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.message import Message
from tests.support.cluster import GRACE, LOUD, POLICIES, QUIET, virtual_runtime
from tests.support.registry import EVERYTHING, ReluctantRegistry
from tests.support.subscriber import FunctionSubscriber
from tests.support.virtual_time import virtual


def identity(user: str = "alice", info: bytes | None = None) -> Identity:
    return Identity(user, Rights({}), 0.0, info=info)


ALICE = identity()


class Pod:
    """The presence of one pod on a reluctant registry."""

    def __init__(self, grace: float = GRACE) -> None:
        bus = MemoryBus()
        self.registry = ReluctantRegistry("p1", bus)
        self.presence = Presence(virtual_runtime(), bus, self.registry, Policies(POLICIES), grace)
        self.news: list[tuple[str, object]] = []
        """The news that the members of both rooms got: the kind and the fields."""
        for room in (QUIET, LOUD):
            bus.subscribe(room, FunctionSubscriber(on_message=self._hear))

    def _hear(self, message: Message) -> None:
        self.news.append((message.kind, json.loads(message.payload)))

    def counts(self) -> list[int]:
        """The numbers that the registry received since the last call."""
        return [int(call[3]) for call in self.registry.calls("put")]


@virtual
async def test_a_reconnect_within_the_grace_period_is_not_seen() -> None:
    """The registry never gets 0 for a user that comes back in time."""
    pod = Pod()
    pod.presence.enter(LOUD, ALICE)
    pod.presence.leave(LOUD, "alice", grace=True)
    await asyncio.sleep(GRACE - 1)
    pod.presence.enter(LOUD, ALICE)
    await asyncio.sleep(10 * GRACE)
    assert (pod.counts(), len(pod.presence)) == ([1, 1], 1)
    assert pod.news == [("user-joined", {"user": "alice"})]


@virtual
async def test_only_the_last_connection_starts_the_grace_period() -> None:
    """The registry gets each number, and 0 when the grace period of the last connection ends."""
    pod = Pod()
    for _ in range(3):
        pod.presence.enter(QUIET, ALICE)
    for _ in range(2):
        pod.presence.leave(QUIET, "alice", grace=True)
    await asyncio.sleep(2 * GRACE)
    assert pod.counts() == [1, 2, 3, 2, 1]
    pod.presence.leave(QUIET, "alice", grace=True)
    await asyncio.sleep(GRACE - 1)
    assert pod.counts() == []
    await asyncio.sleep(1)
    assert (pod.counts(), len(pod.presence)) == ([0], 0)


@pytest.mark.parametrize(("period", "grace"), [(GRACE, False), (0.0, True)])
@virtual
async def test_without_a_grace_period_the_user_is_gone_at_once(
    period: float,
    grace: bool,  # noqa: FBT001  # a table's column
) -> None:
    """A user that leaves, or that has no grace period, is reported as gone at once."""
    pod = Pod(period)
    pod.presence.enter(LOUD, ALICE)
    pod.presence.leave(LOUD, "alice", grace=grace)
    assert (pod.counts(), len(pod.presence)) == ([1, 0], 0)
    assert [kind for kind, _ in pod.news] == ["user-joined", "user-left"]


@virtual
async def test_the_registry_counts_one_during_the_grace_period() -> None:
    """A renewal of everything tells 1 for a user without a connection, and does not end the grace period early."""
    pod = Pod()
    pod.presence.enter(QUIET, ALICE)
    pod.presence.leave(QUIET, "alice", grace=True)
    await asyncio.sleep(GRACE - 1)
    pod.presence.renew(everything=True)
    assert pod.counts() == [1, 1]
    await asyncio.sleep(1)
    assert pod.counts() == [0]


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.UNKNOWN])
@virtual
async def test_a_user_that_is_gone_is_forgotten_once_the_registry_knows(outcome: Outcome) -> None:
    """While the registry has not accepted the 0, the pod keeps the user and tells 0 again."""
    pod = Pod()
    pod.presence.enter(QUIET, ALICE)
    pod.registry.outcome = outcome
    pod.presence.leave(QUIET, "alice", grace=False)
    pod.presence.renew()
    assert (pod.counts(), len(pod.presence)) == ([1, 0, 0], 1)
    pod.registry.outcome = Outcome.ACCEPTED
    pod.presence.renew()
    assert (pod.counts(), len(pod.presence)) == ([0], 0)


@virtual
async def test_a_user_that_comes_back_while_the_0_is_under_way_stays() -> None:
    """The answer to the 0 does not forget a user that has a connection again."""
    pod = Pod()
    pod.presence.enter(QUIET, ALICE)
    pod.registry.holding = True
    pod.presence.leave(QUIET, "alice", grace=False)
    pod.presence.enter(QUIET, ALICE)
    pod.registry.answer()
    assert (pod.counts(), len(pod.presence)) == ([1, 0, 1], 1)
    pod.presence.leave(QUIET, "alice", grace=False)
    pod.registry.answer()
    assert (pod.counts(), len(pod.presence)) == ([0], 0)


@virtual
async def test_a_user_is_not_forgotten_before_the_last_answer() -> None:
    """A user that came and left while a 0 was under way is reported as gone until the registry accepts it."""
    pod = Pod()
    pod.presence.enter(QUIET, ALICE)
    pod.registry.holding = True
    pod.presence.leave(QUIET, "alice", grace=False)
    pod.presence.enter(QUIET, ALICE)
    pod.registry.outcome = Outcome.REFUSED
    pod.presence.leave(QUIET, "alice", grace=False)
    pod.registry.answer()
    assert (await users(pod), len(pod.presence)) == (["alice"], 1)
    pod.registry.outcome = Outcome.ACCEPTED
    pod.presence.renew()
    pod.registry.answer()
    assert (await users(pod), len(pod.presence)) == ([], 0)


async def users(pod: Pod) -> list[str]:
    """The users whom the registry knows in the quiet room."""
    pod.registry.holding = False
    return [member.user for member in (await pod.presence.page(QUIET, None, 100)).members]


@pytest.mark.parametrize(
    ("outcome", "repeated"), [(Outcome.ACCEPTED, []), (Outcome.REFUSED, [1]), (Outcome.UNKNOWN, [1])]
)
@virtual
async def test_renew_repeats_what_the_registry_did_not_accept(outcome: Outcome, repeated: list[int]) -> None:
    """An accepted number is not sent again. Any other one is sent again until it is accepted."""
    pod = Pod()
    pod.registry.outcome = outcome
    pod.presence.enter(QUIET, ALICE)
    assert pod.counts() == [1]
    pod.registry.outcome = Outcome.ACCEPTED
    pod.presence.renew()
    assert pod.counts() == repeated
    pod.presence.renew()
    assert pod.counts() == []


@virtual
async def test_registered_returns_at_once_where_nothing_is_under_way() -> None:
    """An unknown user and one whose numbers are answered are not waited for."""
    pod = Pod()
    pod.presence.enter(QUIET, ALICE)
    async with asyncio.timeout(0):
        await pod.presence.registered(QUIET, "alice")
        await pod.presence.registered(QUIET, "bob")
        await pod.presence.registered(LOUD, "alice")


@pytest.mark.parametrize("outcome", list(Outcome))
@virtual
async def test_registered_waits_for_every_answer(outcome: Outcome) -> None:
    """A waiter returns with the last answer, also where it is a refusal."""
    pod = Pod()
    pod.registry.holding, pod.registry.outcome = True, outcome
    pod.presence.enter(QUIET, ALICE)
    pod.presence.enter(QUIET, ALICE)
    waiter = asyncio.create_task(pod.presence.registered(QUIET, "alice"))
    await asyncio.sleep(1)
    pod.registry.answer(1)
    await asyncio.sleep(1)
    assert not waiter.done()
    pod.registry.answer(1)
    await asyncio.sleep(0)
    assert waiter.done()
    await waiter


@virtual
async def test_a_cancelled_waiter_leaves_the_others_alone() -> None:
    """Of two waiters one is cancelled, and the other one returns with the answer."""
    pod = Pod()
    pod.registry.holding = True
    pod.presence.enter(QUIET, ALICE)
    cancelled, other = (asyncio.create_task(pod.presence.registered(QUIET, "alice")) for _ in range(2))
    await asyncio.sleep(1)
    cancelled.cancel()
    await asyncio.sleep(1)
    pod.registry.answer()
    async with asyncio.timeout(1):
        await other
    assert cancelled.cancelled()


@virtual
async def test_correct_makes_the_registry_know_what_is_here() -> None:
    """The pod sends all its users, accepted ones too, and removes those that the registry wrongly has."""
    pod = Pod()
    pod.presence.enter(QUIET, ALICE)
    pod.presence.enter(LOUD, identity("bob"))
    pod.registry.asked.clear()
    pod.presence.correct([(QUIET, "alice"), (QUIET, "carol"), (LOUD, "dave")])
    assert sorted(pod.registry.calls("put")) == [
        ("put", LOUD, "bob", "1"),
        ("put", LOUD, "dave", "0"),
        ("put", QUIET, "alice", "1"),
        ("put", QUIET, "carol", "0"),
    ]
    assert len(pod.presence) == 2


@virtual
async def test_what_is_only_believed_is_taken_back_until_the_registry_accepts_it() -> None:
    """A correction that was refused is repeated by the next renewal."""
    pod = Pod()
    pod.registry.outcome = Outcome.REFUSED
    pod.presence.correct([(QUIET, "carol")])
    pod.registry.outcome = Outcome.ACCEPTED
    pod.presence.renew()
    assert (pod.counts(), len(pod.presence)) == ([0, 0], 0)


@virtual
async def test_a_page_that_cannot_be_read_is_refused() -> None:
    """A lost bus is `unavailable` for the client, with a time to try again."""
    pod = Pod()
    pod.registry.lost = EVERYTHING
    with pytest.raises(Refusal) as refusal:
        await pod.presence.page(QUIET, None, 10)
    assert (refusal.value.code, refusal.value.retry_after) == (ErrorCode.UNAVAILABLE, 1.0)


@virtual
async def test_a_page_shows_the_users_after_a_name() -> None:
    """The page is cut at its limit and says whether more users follow."""
    pod = Pod()
    for user in ("carol", "alice", "bob"):
        pod.presence.enter(QUIET, identity(user))
    page = await pod.presence.page(QUIET, "alice", 1)
    assert ([member.user for member in page.members], page.users, page.more) == (["bob"], 3, True)


@virtual
async def test_only_rooms_that_announce_hear_news() -> None:
    """News carries the user's `info`. A room that has only presence gets no news."""
    pod = Pod()
    bob = identity("bob", b'{"name":"Bob"}')
    for room in (QUIET, LOUD):
        pod.presence.enter(room, bob)
        pod.presence.leave(room, "bob", grace=False)
        pod.presence.announce_leave(room, "carol")
    fields = {"user": "bob", "info": {"name": "Bob"}}
    assert pod.news == [("user-joined", fields), ("user-left", fields), ("user-left", {"user": "carol"})]


@virtual
async def test_the_newest_token_says_what_others_see() -> None:
    """A later connection replaces the `info` of the user, also by none."""
    pod = Pod()
    seen = []
    for info in (b"1", b"2", None):
        pod.presence.enter(QUIET, identity(info=info))
        seen += [member.info for member in (await pod.presence.page(QUIET, None, 10)).members]
    assert seen == [b"1", b"2", None]


@virtual
async def test_the_last_pod_says_that_its_users_are_gone() -> None:
    """With no other pod left, closing sends 0 for each user, in the grace period or not."""
    pod = Pod()
    pod.presence.enter(LOUD, ALICE)
    pod.presence.enter(LOUD, identity("bob"))
    pod.presence.leave(LOUD, "bob", grace=True)
    pod.registry.asked.clear()
    pod.presence.close(last_pod=True)
    assert (pod.counts(), len(pod.presence)) == ([0, 0], 0)
    assert [kind for kind, _ in pod.news] == ["user-joined", "user-joined", "user-left", "user-left"]
    await asyncio.sleep(2 * GRACE)
    assert pod.counts() == []


@virtual
async def test_one_of_several_pods_leaves_its_users_to_the_others() -> None:
    """Closing sends nothing and stops all grace periods, because the users may come back on another pod."""
    pod = Pod()
    pod.presence.enter(LOUD, ALICE)
    pod.presence.leave(LOUD, "alice", grace=True)
    pod.registry.asked.clear()
    pod.presence.close(last_pod=False)
    await asyncio.sleep(2 * GRACE)
    assert (pod.counts(), len(pod.presence)) == ([], 1)


@virtual
async def test_a_user_counts_once_for_each_room() -> None:
    """The number of entries follows users and rooms, and not connections."""
    pod = Pod()
    for room in (QUIET, LOUD):
        for user in ("alice", "alice", "bob"):
            pod.presence.enter(room, identity(user))
    assert len(pod.presence) == 4
    pod.presence.leave(LOUD, "bob", grace=False)
    pod.presence.leave(LOUD, "alice", grace=False)
    assert len(pod.presence) == 3


@virtual
@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.UNKNOWN])
async def test_a_page_is_degraded_where_users_may_be_missing(outcome: Outcome) -> None:
    """It is so from the first change that the registry did not take until all pods can have repeated theirs."""
    pod = Pod()
    assert not (await pod.presence.page(QUIET, None, 10)).degraded
    pod.registry.outcome = outcome
    pod.presence.enter(QUIET, ALICE)
    page = await pod.presence.page(QUIET, None, 10)
    assert (page.degraded, page.members) == (True, [])
    await asyncio.sleep(DOUBTED - 1)
    pod.presence.renew()
    await asyncio.sleep(DOUBTED - 1)
    assert (await pod.presence.page(QUIET, None, 10)).degraded
    pod.registry.outcome = Outcome.ACCEPTED
    pod.presence.renew()
    page = await pod.presence.page(QUIET, None, 10)
    assert (page.degraded, [member.user for member in page.members]) == (True, ["alice"])
    await asyncio.sleep(DOUBTED)
    assert not (await pod.presence.page(QUIET, None, 10)).degraded
