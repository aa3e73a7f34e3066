"""Joins that read presence and history keep their order, and undo their effects where one fails."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from forestay.bus.memory.bus import MemoryBus
from forestay.core.fanout.connection import Connection
from forestay.core.ports.bus import PAGE_BYTES, BusLost, Page, Query
from forestay.core.rules.access import Identity, Rights
from forestay.core.rules.policies import Policy, Retention
from forestay.protocol.codes import ENDINGS, CloseCode
from forestay.protocol.names import RoomName
from forestay.protocol.presence import PresencePage
from tests.support.core import Core, RecordingTransport, passes
from tests.support.registry import EVERYTHING, ReluctantRegistry
from tests.support.virtual_time import virtual

ALL = {"**": "rwp"}
TIMEOUT = 5.0
KEPT = Policy("kept.*", history=Retention(100, 60.0), presence=True)


class AwayBus(MemoryBus):
    """A bus that cannot read a history while it is `away`."""

    away = False

    async def history(self, room: RoomName, query: Query, kept: Retention) -> Page:
        if self.away:
            raise BusLost
        return await super().history(room, query, kept)


class BrokenRegistry(ReluctantRegistry):
    """A bus whose `history` has a bug."""

    async def presence_page(
        self, room: RoomName, after: str | None, limit: int, max_bytes: int = PAGE_BYTES
    ) -> PresencePage:
        raise RuntimeError("a bug")


class Pod:
    """A core on a reluctant registry."""

    def __init__(self, registry: type[ReluctantRegistry] = ReluctantRegistry) -> None:
        self.bus = AwayBus()
        self.registry = registry("p1", self.bus)
        self.core = Core(KEPT, bus=self.bus, registry=self.registry, bus_timeout=TIMEOUT)

    def connect(self, user: str, rooms: dict[str, str] | None = None) -> "Client":
        return Client(self, *self.core.connect(user, rooms or ALL))

    async def users(self) -> list[tuple[str, int]]:
        """Who is in the room, with how many connections, as the registry knows it."""
        page = await ReluctantRegistry.presence_page(self.registry, RoomName("kept.a"), None, 100)
        return [(member.user, member.connections) for member in page.members]


class Client:
    """One connection, and the replies that came since the last look."""

    def __init__(self, pod: Pod, connection: Connection, transport: RecordingTransport) -> None:
        self._pod = pod
        self.connection = connection
        self.transport = transport
        self._seen = 1

    def say(self, type: str, room: str = "kept.a", **more: object) -> None:
        self._pod.core.say(self.connection, type=type, room=room, **more)

    async def heard(self) -> list[dict[str, Any]]:
        """The new replies and messages, without the welcome."""
        await passes()
        heard = self.transport.heard()
        new, self._seen = heard[self._seen :], len(heard)
        return new

    async def joined(self, since: dict[str, Any] | None = None) -> dict[str, Any]:
        """Join, and the payload of the reply."""
        self.say("join", since=since)
        [reply] = await self.heard()
        assert reply["type"] == "joined"
        return reply["payload"]  # type: ignore[no-any-return]

    @property
    def pending(self) -> list[str]:
        return list(self._pod.core.pod.joins.pending(self.connection))


def position(payload: dict[str, Any]) -> dict[str, Any]:
    """Where the live messages of a join start."""
    return {"epoch": payload["epoch"], "offset": payload["offset"]}


def short(heard: list[dict[str, Any]]) -> Iterator[object]:
    """Payloads of broadcasts, and types and ids of all others."""
    for each in heard:
        yield each["payload"] if each["type"] == "broadcast" else (each["type"], each.get("id"))


@virtual
async def test_a_bug_while_joining_ends_that_connection_alone() -> None:
    """It ends with 1011, the bug is reported, and nothing of the join is left."""
    pod = Pod(BrokenRegistry)
    bugs: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: bugs.append(context))
    other, unlucky = pod.connect("bob", {"**": "r"}), pod.connect("alice")
    await other.joined()
    unlucky.say("join", id="1")
    unlucky.say("leave", id="2")
    unlucky.say("join", id="3")
    assert await unlucky.heard() == []
    assert unlucky.transport.ending == ENDINGS[CloseCode.INTERNAL_ERROR]
    assert [str(context["exception"]) for context in bugs] == ["a bug"]
    assert (unlucky.pending, unlucky.connection.rooms, other.connection.ended) == ([], set(), None)
    assert await pod.users() == [("bob", 1)]


@virtual
async def test_a_client_finds_itself_among_the_members_and_misses_nothing() -> None:
    """The reply waits for presence; then come the missed messages in order, and the live ones after them."""
    pod = Pod()
    speaker = pod.connect("bob", {"**": "rw"})
    start = await speaker.joined()
    for number in (1, 2):
        speaker.say("broadcast", payload=number)
    pod.registry.holding = True
    client = pod.connect("alice")
    client.say("join", id="1", since=position(start))
    speaker.say("broadcast", payload=3)
    assert await client.heard() == []
    pod.registry.answer()
    assert await client.heard() == []
    speaker.say("broadcast", payload=4)
    pod.registry.answer()
    heard = await client.heard()
    assert list(short(heard)) == [("joined", "1"), 1, 2, 3, 4]
    payload = heard[0]["payload"]
    assert (payload["recovered"], payload["offset"]) == (True, 4)
    assert [member["user"] for member in payload["members"]["members"]] == ["alice", "bob"]
    speaker.say("broadcast", payload=5)
    assert list(short(await client.heard())) == [5]


@virtual
async def test_a_join_that_waits_holds_up_its_own_room_only() -> None:
    """Requests about the same room are answered after it in their order, those about others at once."""
    pod = Pod()
    client = pod.connect("alice")
    pod.registry.holding = True
    for number, (kind, room) in enumerate(
        [("join", "kept.a"), ("leave", "kept.a"), ("join", "other"), ("join", "kept.a"), ("leave", "other")]
    ):
        client.say(kind, room, id=str(number))
    assert list(short(await client.heard())) == [("joined", "2"), ("left", "4")]
    pod.registry.holding = False
    for _ in range(3):
        pod.registry.answer()
        await passes()
    assert list(short(await client.heard())) == [("joined", "0"), ("left", "1"), ("joined", "3")]
    assert (client.pending, await pod.users()) == ([], [("alice", 1)])


@virtual
async def test_a_connection_that_ends_while_it_joins_does_not_come_in() -> None:
    """Its presence is taken back as soon as the registry answers."""
    pod = Pod()
    client = pod.connect("alice")
    pod.registry.holding = True
    client.say("join")
    await passes()
    client.connection.end(ENDINGS[CloseCode.GOING_AWAY])
    pod.registry.holding = False
    pod.registry.answer()
    assert await client.heard() == []
    assert (client.pending, await pod.users()) == ([], [])


@virtual
async def test_a_registry_that_does_not_answer_refuses_the_join_in_time() -> None:
    """The client hears `unavailable` after the timeout, and a late answer gives back what the join held."""
    pod = Pod()
    client = pod.connect("alice")
    pod.registry.holding = True
    client.say("join", id="1")
    client.say("leave", id="2")
    await asyncio.sleep(TIMEOUT - 0.1)
    assert await client.heard() == []
    await asyncio.sleep(0.1)
    assert [each["payload"]["code"] for each in await client.heard()] == ["unavailable", "not_joined"]
    assert client.pending == []
    pod.registry.holding = False
    pod.registry.answer()
    assert await client.heard() == []
    assert (client.connection.rooms, await pod.users()) == (set(), [])


@pytest.mark.parametrize("rights", [{"other": "r"}, {"kept.a": "wp"}])
@virtual
async def test_a_right_that_ends_while_the_join_waits_refuses_it(rights: dict[str, str]) -> None:
    """A token that was renewed meanwhile decides, and presence is taken back."""
    pod = Pod()
    client = pod.connect("alice")
    pod.registry.holding = True
    client.say("join", id="1")
    await passes()
    renewed = Identity("alice", Rights(rights), client.connection.identity.expires_at)
    pod.core.pod.sessions.renew(client.connection, renewed)
    pod.registry.holding = False
    pod.registry.answer()
    [refusal] = await client.heard()
    assert (refusal["id"], refusal["payload"]["code"]) == ("1", "forbidden")
    assert await pod.users() == []


@virtual
async def test_presence_that_cannot_be_read_does_not_refuse_a_join() -> None:
    """The reply leaves the members out, and the client is in the room."""
    pod = Pod()
    pod.registry.lost = EVERYTHING
    client = pod.connect("alice")
    assert "members" not in await client.joined()
    assert client.connection.rooms == {"kept.a"}


@virtual
async def test_a_history_that_cannot_be_read_does_not_refuse_a_join() -> None:
    """The reply says that the missed messages do not follow, and live ones do."""
    pod = Pod()
    speaker, client = pod.connect("bob"), pod.connect("alice")
    start = await speaker.joined()
    speaker.say("broadcast", payload=1)
    pod.bus.away = True
    assert (await client.joined(since=position(start)))["recovered"] is False
    speaker.say("broadcast", payload=2)
    assert list(short(await client.heard())) == [2]


@virtual
async def test_a_member_that_joins_again_is_counted_once() -> None:
    """It is shown the members again and gets no missed messages, and one leave takes it out."""
    pod = Pod()
    client = pod.connect("alice")
    start = await client.joined()
    again = await client.joined(since=position(start))
    assert (again["recovered"], again["members"]) == (False, start["members"])
    assert await pod.users() == [("alice", 1)]
    client.say("leave", id="1")
    assert list(short(await client.heard())) == [("left", "1")]
    assert await pod.users() == []


@virtual
async def test_two_connections_of_a_user_count_as_two() -> None:
    """Each one that joins adds one, and the user leaves with the last one."""
    pod = Pod()
    one, other = pod.connect("alice"), pod.connect("alice")
    await one.joined()
    assert (await other.joined())["members"] == {
        "count": 2,
        "users": 1,
        "members": [{"user": "alice", "connections": 2}],
    }
    one.say("leave")
    assert await pod.users() == [("alice", 1)]
