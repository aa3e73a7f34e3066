"""The Python client with a real gateway."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from forestay_client import (
    Client,
    ClientState,
    DisconnectedError,
    Joined,
    Message,
    RefusedError,
    RoomState,
    UnauthorizedError,
    UnknownOutcomeError,
)
from tests.support.gateway import PATIENCE, Gateway, call, gateway, token

ROOMS = """
[[rooms]]
pattern = "log.*"
[rooms.history]
size = 5
ttl = 60

[[rooms]]
pattern = "chat.*"
join_leave = true
"""


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway with the rooms above."""
    rooms = tmp_path / "rooms.toml"
    rooms.write_text(ROOMS)
    async with gateway(rooms_file=str(rooms), reconnect_spread=0.1) as running:
        yield running


class Collected:
    """Collects the arguments of a handler's calls, and waits for one of them."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._more = asyncio.Event()

    def __call__(self, value: object) -> None:
        self.values.append(value)
        self._more.set()

    async def until(self, wanted: Callable[[Any], bool]) -> Any:
        """The first value for which `wanted` is true."""
        async with asyncio.timeout(PATIENCE):
            while not (found := [value for value in self.values if wanted(value)]):
                self._more.clear()
                await self._more.wait()
        return found[0]


def client(pod: Gateway, user: str = "alice", **options: Any) -> Client:
    claims = options.pop("claims", {})
    return Client(pod.url, get_token=lambda: token(user, **claims), **options)


async def take(messages: AsyncIterator[Message], number: int) -> list[Message]:
    async with asyncio.timeout(PATIENCE):
        return [await anext(messages) for _ in range(number)]


def deafen(client: Client) -> None:
    """From now on what comes on the connection gets lost on the way."""
    current = client._lines.current
    assert current is not None
    current._hear = lambda *_: None  # type: ignore[method-assign]


def cut(client: Client) -> None:
    """Aborts the connection without a close frame."""
    current = client._lines.current
    assert current is not None
    current._socket.abort()


async def test_a_room_is_read_with_a_loop(pod: Gateway) -> None:
    """A loop gets all messages since the join, even if it starts late, and ends when the room is left."""
    async with client(pod) as alice, client(pod, "bob") as bob:
        room = alice.room("log.a")
        await room.join()
        positions = [await bob.room("log.a").publish({"number": number}) for number in range(3)]
        heard = []
        async with asyncio.timeout(PATIENCE):
            async for message in room:
                heard.append(message)
                if len(heard) == 3:
                    await room.leave()
        assert [(one.payload["number"], one.sender, one.position) for one in heard] == [
            (number, "bob", position) for number, position in enumerate(positions)
        ]


async def test_a_break_is_not_noticed_in_the_loop(pod: Gateway) -> None:
    """After a lost connection the loop continues with the missed messages, and the room has recovered."""
    async with client(pod) as alice, client(pod, "bob") as bob:
        room, joined = alice.room("log.a"), Collected()
        room.on("joined", joined)
        await room.join()
        messages = aiter(room)
        await bob.room("log.a").publish(0)
        await take(messages, 1)
        cut(alice)
        for number in (1, 2, 3):
            await bob.room("log.a").publish(number)
        assert [(one.payload, one.gap) for one in await take(messages, 3)] == [(1, None), (2, None), (3, None)]
        assert [one.recovered for one in joined.values] == [None, True]


async def test_a_gap_is_shown_in_the_loop(pod: Gateway) -> None:
    """Where the history does not reach back, the first message after the gap says so."""
    async with client(pod) as alice, client(pod, "bob") as bob:
        room, joined = alice.room("log.a"), Collected()
        room.on("joined", joined)
        await room.join()
        messages = aiter(room)
        deafen(alice)
        for number in range(8):
            await bob.room("log.a").publish(number)
        cut(alice)
        await joined.until(lambda one: one.recovered is False)
        await bob.room("log.a").publish("after")
        [message] = await take(messages, 1)
        assert (message.payload, message.gap) == ("after", "unrecovered")
        page = await room.history(before=message.position)
        assert [one.payload for one in page.messages] == [4, 5, 6, 7]


async def test_a_loop_raises_what_ended_it(pod: Gateway) -> None:
    """The loop raises the error that ended the room."""
    async with client(pod) as alice:
        room = alice.room("chat.a")
        await room.join()
        messages = aiter(room)
        await call(pod, "DELETE", "/v1/users/alice/connections")
        with pytest.raises(DisconnectedError) as ended:
            await take(messages, 1)
        assert ended.value.code == 4403
        assert alice.state is ClientState.DISCONNECTED
        with pytest.raises(DisconnectedError, match="4403"):
            await alice.ready()
        with pytest.raises(RefusedError, match="4403"):
            await asyncio.wait_for(room.publish("to no_token"), PATIENCE / 2)


async def test_a_slow_loop_is_told_of_what_it_missed(pod: Gateway) -> None:
    """A loop that is slower than the room loses the oldest messages, and gets `resync` with the reason."""
    async with client(pod, inbox=3) as alice, client(pod, "bob") as bob:
        room, resync, heard = alice.room("log.a"), Collected(), Collected()
        room.on("resync", resync)
        room.on("message", heard)
        await room.join()
        await bob.room("log.a").publish("first")
        messages = aiter(room)
        await take(messages, 1)
        for number in range(5):
            await bob.room("log.a").publish(number)
        await heard.until(lambda one: one.payload == 4)
        assert [(one.payload, one.gap) for one in await take(messages, 3)] == [(2, "overflow"), (3, None), (4, None)]
        assert [one.reason for one in resync.values] == ["overflow"]


async def test_a_token_that_runs_out_is_renewed_on_the_way(pod: Gateway) -> None:
    """The connection outlives its first token, with one token call per renewal."""
    calls: list[float] = []

    def get_token() -> str:
        calls.append(time.monotonic())
        return token(exp=time.time() + (3.5 if len(calls) == 1 else 60))

    async with Client(pod.url, get_token=get_token, refresh_margin=2.5) as alice:
        states, first = Collected(), alice.connection
        alice.on("state", states)
        await asyncio.sleep(4)
        await alice.room("chat.a").join()
        assert (alice.connection, len(calls), states.values) == (first, 2, [])


async def test_rights_that_a_renewed_token_lacks_are_lost_at_once(pod: Gateway) -> None:
    """When a renewed token lacks the right, the room is left with the gateway's reason, and the loop raises it."""
    rights = iter([{"chat.*": "rw"}, {"news.*": "r"}])

    def get_token() -> str:
        return token(exp=time.time() + 4.5, rooms=next(rights))

    async with Client(pod.url, get_token=get_token, refresh_margin=2.5) as alice:
        room = alice.room("chat.a")
        await room.join()
        with pytest.raises(RefusedError) as refused:
            await take(aiter(room), 1)
        assert (refused.value.code, room.state) == ("forbidden", RoomState.LEFT)


async def test_a_client_without_a_good_token_stops(pod: Gateway) -> None:
    """A bad token is replaced once; then, or if there is no token, the client stops with the reason."""
    calls: list[str] = []

    def rubbish() -> str:
        calls.append("")
        return "rubbish"

    with pytest.raises(DisconnectedError) as ended:
        async with Client(pod.url, get_token=rubbish):
            pass
    assert (ended.value.code, ended.value.reason, len(calls)) == (401, "bad_token", 2)

    def no_token() -> str:
        raise UnauthorizedError

    with pytest.raises(UnauthorizedError):
        async with Client(pod.url, get_token=no_token):
            pass


async def test_a_publish_that_is_not_answered_in_time_is_of_unknown_outcome(pod: Gateway) -> None:
    """A timed-out publish has an unknown outcome, and a retry with its key publishes it once."""
    async with client(pod) as alice, client(pod, "bob", timeout=2) as bob:
        room = bob.room("log.a")
        await room.join()
        deafen(bob)
        with pytest.raises(UnknownOutcomeError) as unknown:
            await room.publish("once")
        cut(bob)
        again = await room.publish("once", key=unknown.value.key)
        page = await alice.room("log.a").history()
        assert [one.payload for one in page.messages] == ["once"]
        assert page.messages[0].position == again


async def test_what_waits_for_a_connection_goes_out_with_it(pod: Gateway) -> None:
    """Requests before the connection are sent in order with it, or fail after the timeout."""
    alice = client(pod, timeout=PATIENCE)
    asked = [asyncio.ensure_future(alice.room("log.a").publish(number)) for number in range(3)]
    await asyncio.sleep(0)
    async with alice:
        positions = await asyncio.gather(*asked)
    assert [one.offset for one in positions if one is not None] == [1, 2, 3]
    never = Client("ws://127.0.0.1:9/ws", get_token=lambda: "", timeout=0.2)
    with pytest.raises(RefusedError) as refused:
        await never.room("log.a").publish(1)
    assert refused.value.code == "unavailable"


async def test_bytes_go_to_the_room_that_bound_their_type(pod: Gateway) -> None:
    """Bytes go to the room that bound their type, also after a reconnect; others go to the client."""
    async with client(pod) as alice, client(pod, "bob") as bob:
        for name in ("chat.a", "chat.b"):
            await alice.room(name).join()
            await bob.room(name).join()
        await bob.room("chat.b").bind(7)
        await alice.room("chat.b").bind(7)
        bound, loose = Collected(), Collected()
        alice.room("chat.b").on("binary", bound)
        alice.on("binary", loose)
        cut(bob)
        await bob.room("chat.b").send(7, b"seven")
        assert (await bound.until(lambda _: True)).data == b"seven"
        await bob.room("chat.a").bind(8)
        await bob.room("chat.a").send(8, b"eight")
        assert (await loose.until(lambda _: True)).type == 8


async def test_a_refusal_that_answers_nothing_is_an_error_of_the_client(pod: Gateway) -> None:
    """A refused binary message becomes an `error` event of the client, because it has no reply."""
    async with client(pod) as alice:
        errors = Collected()
        alice.on("error", errors)
        await alice.room("chat.a").send(9, b"")
        assert (await errors.until(lambda _: True)).code == "unbound_type"


async def test_presence_is_had_page_by_page(pod: Gateway) -> None:
    """Presence comes in pages, and changes are announced to other users only."""
    async with client(pod) as alice, client(pod, "bob", claims={"info": {"name": "Bob"}}) as bob:
        room, came, joined = alice.room("chat.a"), Collected(), Collected()
        room.on("user-joined", came)
        room.on("joined", joined)
        await room.join()
        await bob.room("chat.a").join()
        change = await came.until(lambda _: True)
        assert (change.user, change.info) == ("bob", {"name": "Bob"})
        first = await room.presence(limit=1)
        second = await room.presence(after=first.next, limit=1)
        assert [one.user for one in (*first.members, *second.members)] == ["alice", "bob"]
        assert (first.count, second.next) == (2, None)
        [event] = joined.values
        assert isinstance(event, Joined)
        assert event.members is not None
        assert [one.user for one in event.members.members] == ["alice"]


async def test_a_client_can_go_and_come_back(pod: Gateway) -> None:
    """`disconnect` ends loops and keeps the wanted rooms; `connect` rejoins them with missed messages."""
    async with client(pod) as alice, client(pod, "bob") as bob:
        room = alice.room("log.a")
        await room.join()
        await alice.disconnect()
        assert [message async for message in room] == []
        await bob.room("log.a").publish("meanwhile")
        alice.connect()
        assert [one.payload for one in await take(aiter(room), 1)] == ["meanwhile"]


async def test_what_waits_is_answered_when_the_client_goes() -> None:
    """Waiting requests fail at once when the client disconnects."""
    alice = Client("ws://127.0.0.1:9/ws", get_token=lambda: "", timeout=PATIENCE)
    alice.connect()
    asked = [asyncio.ensure_future(one) for one in (alice.ready(), alice.room("r").join(), alice.room("r").publish(1))]
    await asyncio.sleep(0)
    await alice.disconnect()
    async with asyncio.timeout(PATIENCE / 2):
        ready, joined, published = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(ready, DisconnectedError)
    assert isinstance(joined, DisconnectedError)
    assert isinstance(published, RefusedError)


async def test_nothing_is_left_behind(pod: Gateway) -> None:
    """After `disconnect` the client has no task, and its pod no connection."""
    before = asyncio.all_tasks()
    for _ in range(3):
        async with client(pod, "mallory") as one:
            await one.room("chat.a").join()
            cut(one)
            await asyncio.sleep(0.05)
    async with asyncio.timeout(PATIENCE):
        while pod.running._pod.hub.of_user("mallory"):
            await asyncio.sleep(0.01)
    assert {task for task in asyncio.all_tasks() - before if "forestay_client" in repr(task)} == set()
