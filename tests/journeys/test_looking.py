"""Any pod shows operators what goes on on all pods."""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import jwt
import pytest
from structlog.testing import capture_logs

from tests.support.gateway import KEY, Gateway, call, token, upgrade
from tests.support.pods import NewPod

ROOMS = """
[[rooms]]
pattern = "log.*"
[rooms.history]
size = 10
ttl = 60
"""
BODY = b'{"payload": "hello"}'


async def get(pod: Gateway, path: str) -> Any:
    """The answer of the API, which must be complete where it says whether it is."""
    status, answer = await call(pod, "GET", path)
    assert status == 200, answer
    assert answer.get("complete", True)
    return answer


def name(pod: Gateway) -> str:
    return pod.running._pod.pods.me


async def test_each_pod_says_how_it_is(new_pod: NewPod) -> None:
    """Its limit, its lag, its memory and its rates, and all pods together the sums."""
    one, two = await new_pod(max_connections=70), await new_pod(max_connections=30)
    alice, _ = await one.join("alice", "a"), await two.join("bob", "a")
    for number in range(20):
        await alice.say({"type": "broadcast", "room": "a", "payload": number})
    rates: dict[str, float] = {}
    while rates.get("delivered", 0) <= 0 or rates["received"] <= 0:
        info = await get(two, "/v1/info")
        rates = info["rates"]
        await asyncio.sleep(0.05)
    assert info["limit"] == 100
    there = {pod["pod"]: pod for pod in info["pods"]}[name(one)]
    assert (there["reason"], there["limit"], there["moving"], there["slow"]) == ("ready", 70, 0, 0)
    assert there["memory_bytes"] > 10**6
    assert there["loop_lag_ms"] <= there["worst_loop_lag_ms"]
    assert abs(there["started_at"] - time.time()) < 36000
    assert "drain" not in there


async def test_a_drain_is_shown_as_it_runs(new_pod: NewPod) -> None:
    """How many connections there were, and how many are left."""
    one, two = await new_pod(drain_window=30), await new_pod()
    alice, bob = await one.connect("alice"), await one.connect("bob")
    await call(two, "POST", f"/v1/pods/{name(one)}/drain")

    async def drain() -> Any:
        return {pod["pod"]: pod for pod in (await get(two, "/v1/info"))["pods"]}[name(one)].get("drain")

    while (found := await drain()) is None:
        await asyncio.sleep(0.02)
    assert (found["window"], found["from"], found["left"]) == (30, 2, 2)
    await alice.close()
    while (await drain())["left"] != 1:
        await asyncio.sleep(0.02)
    await bob.close()


async def test_the_largest_rooms_are_found_on_all_pods(new_pod: NewPod) -> None:
    """A room that is on several pods has the sum of their members; personal rooms are not shown."""
    one, two = await new_pod(), await new_pod()
    for pod, user, room in (
        (one, "a", "wide"),
        (two, "b", "wide"),
        (one, "c", "wide"),
        (two, "d", "tall"),
        (one, "e", "@me"),
    ):
        await pod.join(user, room)
    for asked in (one, two):
        found = await get(asked, "/v1/rooms?by=members&limit=1")
        assert [(room["room"], room["members"]) for room in found["rooms"]] == [("wide", 3)]
        assert (found["by"], found["exact"]) == ("members", True)


async def test_the_busiest_rooms_are_found_while_somebody_looks(new_pod: NewPod) -> None:
    """The messages of a room count once, whichever pods it is on, and its deliveries on each of them."""
    one, two = await new_pod(), await new_pod()
    members = [await one.join("a", "busy"), await one.join("b", "busy"), await two.join("c", "busy")]
    await one.join("d", "calm")
    began = time.monotonic()
    assert (await get(one, "/v1/rooms?by=traffic"))["seconds"] == 0
    begun = time.monotonic()
    assert not (await get(one, "/v1/rooms?by=traffic"))["rooms"]
    for _ in range(10):
        await call(two, "POST", "/v1/rooms/busy/messages", BODY)
    await call(two, "POST", "/v1/rooms/calm/messages", BODY)
    for member in members:
        for _ in range(10):
            await member.hear("broadcast")
    near = math.inf
    # Each number is one of a second. The pods do not begin to count at the same moment, nor do they answer at the same.
    while near > 0.4:
        asked = time.monotonic()
        found = await get(two, "/v1/rooms?by=traffic")
        near = 0.01 + (begun - began + time.monotonic() - asked) / found["seconds"]
    busy, calm = found["rooms"]
    assert (busy["room"], busy["members"], calm["room"]) == ("busy", 3, "calm")
    assert busy["deliveries"] == pytest.approx(3 * busy["messages"], rel=near)
    assert busy["bytes"] == pytest.approx(len(b'"hello"') * busy["messages"], rel=0.01)
    assert busy["messages"] == pytest.approx(10 * calm["messages"], rel=near)


async def test_a_connection_tells_its_story(new_pod: NewPod) -> None:
    """Its pod, its wire, its rooms, its token's end, and whether something waits for it; by its user and by its id."""
    one, two = await new_pod(), await new_pod()
    started = time.time()
    await two.join("alice", "log.a", exp=started + 600)
    [found] = (await get(one, "/v1/users/alice/connections"))["connections"]
    # Times are made of the loop's clock, which is coarse on uvloop: they differ by a millisecond from answer to answer.
    by_id = await get(one, f"/v1/connections/{found['id']}")
    assert by_id == found | {moment: pytest.approx(found[moment], abs=0.1) for moment in ("since", "heard_at")}
    assert (found["pod"], found["user"], found["wire"], found["rooms"]) == (name(two), "alice", "v1", ["log.a"])
    assert started - 1 <= found["since"] <= found["heard_at"] <= time.time() + 1
    assert found["expires_at"] == pytest.approx(started + 600, abs=0.01)
    assert (found["waiting_bytes"], found["slow_rooms"], found["pings"]["waiting"]) == (0, [], 0)
    assert not {"address", "rights", "moving"} & set(found)


async def test_rights_are_shown_where_the_settings_say_so(new_pod: NewPod) -> None:
    """Letters by pattern, as the token has them."""
    pod = await new_pod(ops_show="rights")
    await pod.connect("alice", rooms={"chat.*": "rw"})
    [found] = (await get(pod, "/v1/users/alice/connections"))["connections"]
    assert found["rights"] == {"chat.*": "rw"}


async def test_one_connection_can_be_ended(new_pod: NewPod) -> None:
    """On whichever pod it is. The others of the user stay, and the log has a line."""
    one, two = await new_pod(), await new_pod()
    first, second = await one.connect("alice"), await two.connect("alice")
    listed = (await get(one, "/v1/users/alice/connections"))["connections"]
    [id] = [each["id"] for each in listed if each["pod"] == name(two)]
    with capture_logs() as logged:
        assert await call(one, "DELETE", f"/v1/connections/{id}") == (200, {"ended": 1, "user": "alice"})
    assert [(line["action"], line["connection"], line["user"]) for line in logged if line["event"] == "audit"] == [
        ("disconnect", id, "alice")
    ]
    assert (await second.ended()).code == 4403
    assert await first.silent()
    for method in ("GET", "DELETE"):
        status, problem = await call(one, method, f"/v1/connections/{id}")
        assert (status, problem["code"]) == (404, "not_found")


async def test_what_has_happened_is_told_of_all_pods(new_pod: NewPod) -> None:
    """Endings, refusals and clients that could not connect, the newest first, by user and by kind; and no token.

    Who could not connect has a name only where the signature of the token is good.
    """
    one, two = await new_pod(), await new_pod()
    alice, bob = await one.connect("alice"), await two.connect("bob", rooms={})
    await bob.ask({"type": "join", "room": "secret.room"})
    await bob.ask({"type": "join", "room": "secret.room"})
    for over in (1.0, 2.0):  # The reasons differ in what they say of the time.
        wrong = token("eve", exp=over)
        assert (await type(bob).request(two.port, upgrade(wrong))).status == 401
    forged = jwt.encode({"sub": "mallory", "exp": 1.0}, "a secret of somebody else, of more than 32 bytes")
    assert (await type(bob).request(two.port, upgrade(forged))).status == 401
    await alice.close()
    await call(one, "DELETE", "/v1/users/bob/connections")
    found: list[dict[str, Any]] = []
    while [one["kind"] for one in found].count("ended") != 2:
        found = (await get(one, "/v1/recent"))["recent"]
        await asyncio.sleep(0.02)
    assert [each["at"] for each in found] == sorted((each["at"] for each in found), reverse=True)
    by_kind = {(each["kind"], each.get("user")): each for each in found}
    ended = by_kind["ended", "bob"]
    assert (ended["code"], ended["by"], ended["pod"], ended["wire"]) == (4403, "gateway", name(two), "v1")
    assert by_kind["ended", "alice"]["by"] == "client"
    again = by_kind["refused", "bob"]
    assert (again["code"], again["room"], again["times"]) == ("forbidden", "secret.room", 2)
    away = by_kind["turned_away", "eve"]
    assert (away["status"], away["code"], away["times"], "address" in away) == (401, "bad_token", 2, False)
    assert "00:00:02" in away["reason"]
    assert wrong not in str(found)
    assert by_kind["turned_away", None]["reason"].startswith("signature does not match")
    assert "mallory" not in str(found)
    assert "expired" in away["reason"]
    of_bob = (await get(two, "/v1/recent?user=bob&kind=ended,refused"))["recent"]
    assert [each["kind"] for each in of_bob] == ["ended", "refused"]
    assert (await get(two, "/v1/recent?room=secret.room&limit=1"))["recent"] == [again]
    minutes = (await get(one, "/v1/closes?minutes=2"))["minutes"]
    assert len(minutes) == 2
    assert (sum(each["opened"] for each in minutes), sum(each["turned_away"] for each in minutes)) == (2, 3)
    assert sum(each["gateway"].get("4403", 0) for each in minutes) == 1


async def test_a_share_of_the_clients_of_a_pod_can_be_asked_to_go(new_pod: NewPod) -> None:
    """Each of them hears `reconnect`; the log has a line, and the pod goes on."""
    one, two = await new_pod(drain_lead=30), await new_pod()
    clients = [await one.connect(f"user-{number}") for number in range(4)]
    with capture_logs() as logged:
        answer = await call(two, "POST", f"/v1/pods/{name(one)}/shed", b'{"share": 0.5, "within": 0}')
    assert answer == (200, {"pod": name(one), "asked": 2})
    assert [(line["action"], line["asked"]) for line in logged if line["event"] == "audit"] == [("shed", 2)]
    heard = [not await client.silent() for client in clients]
    assert sum(heard) == 2
    info = {pod["pod"]: pod for pod in (await get(two, "/v1/info"))["pods"]}
    assert (info[name(one)]["state"], info[name(one)]["moving"], info[name(two)]["moving"]) == ("ready", 2, 0)
    for body in (b"{}", b'{"share": 0}', b'{"share": 1.1}', b'{"share": 0.5, "within": -1}'):
        status, problem = await call(two, "POST", f"/v1/pods/{name(one)}/shed", body)
        assert (status, problem["code"]) == (400, "bad_message")
    assert (await call(two, "POST", "/v1/pods/nothing/shed", b'{"share": 0.5}'))[0] == 404


async def test_a_pod_that_does_not_answer_is_missing(new_pod: NewPod) -> None:
    """`complete` is false, and what the others know is there."""
    one, two = await new_pod(), await new_pod()
    await one.join("alice", "a")
    await two.join("bob", "a")
    two.running._pod.control.close()
    paths = ("/v1/rooms?by=members", "/v1/recent", "/v1/closes", "/v1/slow")
    for status, answer in await asyncio.gather(*[call(one, "GET", path) for path in paths]):
        assert (status, answer["complete"]) == (200, False)
    # The connection may be on the pod that does not answer.
    assert (await call(one, "GET", "/v1/connections/nothing"))[0] == 504


@pytest.mark.parametrize(
    "path",
    [
        "/v1/rooms?by=name",
        "/v1/rooms?by=traffic&limit=1001",
        "/v1/recent?kind=endings",
        "/v1/recent?limit=0",
        "/v1/recent?connection=" + "x" * 65,
        "/v1/recent?connection=",
        "/v1/closes?minutes=121",
        "/v1/closes?minutes=1.5",
        "/v1/connections/" + "x" * 65,
    ],
)
async def test_what_cannot_be_asked_is_refused(new_pod: NewPod, path: str) -> None:
    """With 400, and what is possible."""
    status, problem = await call(await new_pod(), "GET", path)
    assert (status, problem["code"]) == (400, "bad_message")


class Lines:
    """The lines of a watch."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def next(self) -> dict[str, Any]:
        """The next line but those that say that the stream is alive."""
        while True:
            found: dict[str, Any] = json.loads(await asyncio.wait_for(self._response.content.readline(), 20))
            if found["kind"] != "alive":
                return found

    async def frame(self, **fields: object) -> dict[str, Any]:
        """The next frame with these fields."""
        while True:
            found = await self.next()
            assert found["kind"] == "frame", found
            if fields.items() <= found.items():
                return found

    def go(self) -> None:
        """The reader goes, without a word."""
        self._response.close()


@asynccontextmanager
async def watch(pod: Gateway, path: str) -> AsyncIterator[Lines]:
    """The stream at `path`."""
    async with aiohttp.request("GET", f"{pod.internal}{path}", headers=KEY) as response:
        assert (response.status, response.content_type) == (200, "application/x-ndjson")
        yield Lines(response)


async def the_connection(pod: Gateway, user: str) -> str:
    """The id of the only connection of `user`."""
    [found] = (await get(pod, f"/v1/users/{user}/connections"))["connections"]
    return str(found["id"])


async def test_a_connection_is_watched_from_another_pod(new_pod: NewPod) -> None:
    """What it sends and what it is written, in their order, without payloads, until it ends."""
    one, two = await new_pod(), await new_pod()
    alice, bob = await two.connect("alice"), await one.join("bob", "log.a")
    id = await the_connection(one, "alice")
    async with watch(one, f"/v1/connections/{id}/watch") as lines:
        first = await lines.next()
        assert (first["kind"], first["pods"], first["complete"]) == ("watching", [name(two)], True)
        assert not first["payloads"]
        await alice.ask({"type": "join", "room": "log.a"})
        asked = await lines.frame(way="in", type="join", room="log.a")
        assert (asked["connection"], asked["user"], asked["pod"]) == (id, "alice", name(two))
        assert (await lines.frame(way="out", type="joined"))["room"] == "log.a"
        await bob.say({"type": "broadcast", "room": "log.a", "payload": {"secret": 1}})
        got = await lines.frame(way="out", type="message")
        assert (got["from"], got["offset"], got["bytes"]) == ("bob", 1, len(b'{"secret": 1}'))
        assert not {"payload", "lost"} & set(got)
        await alice.ask({"type": "join", "room": "no room"})
        assert (await lines.frame(way="out", type="error"))["code"] == "invalid_room"
        await call(one, "DELETE", f"/v1/connections/{id}")
        ended = await lines.next()
        while ended["kind"] == "frame":
            ended = await lines.next()
        assert (ended["kind"], ended["reason"]) == ("end", "ended")
    assert (await call(one, "GET", f"/v1/connections/{id}/watch"))[0] == 404


async def test_a_room_is_watched_on_all_pods(new_pod: NewPod) -> None:
    """Each message once, with its sender, whether a client or a backend publishes it; payloads where they are shown."""
    one, two = await new_pod(ops_show="payloads"), await new_pod(ops_show="payloads")
    bob = await two.join("bob", "a")
    async with watch(one, "/v1/rooms/a/watch") as lines:
        first = await lines.next()
        assert (first["pods"], first["payloads"]) == (sorted([name(one), name(two)]), True)
        await bob.say({"type": "broadcast", "room": "a", "payload": "x" * 2000})
        await bob.say({"type": "broadcast", "room": "other", "payload": 1})
        found = await lines.frame()
        assert (found["way"], found["type"], found["user"], found["pod"]) == ("in", "broadcast", "bob", name(two))
        assert (found["payload"], found["cut"], found["bytes"]) == ('"' + "x" * 999, True, 2002)
        await call(one, "POST", "/v1/rooms/a/messages", BODY)
        found = await lines.frame()
        assert ("user" in found, found["payload"], found["pod"]) == (False, '"hello"', name(one))


async def test_a_watch_ends_when_nobody_reads_it(new_pod: NewPod) -> None:
    """All pods look no more, as soon as the reader is gone, or the time is over."""
    one, two = await new_pod(), await new_pod()
    looks = [pod.running._pod.watching for pod in (one, two)]
    async with watch(one, "/v1/rooms/a/watch") as lines:
        await lines.next()
        assert [look.active for look in looks] == [True, True]
        lines.go()
        # The next line does not reach the reader.
        await call(one, "POST", "/v1/rooms/a/messages", BODY)
        while True in [look.active for look in looks]:
            await asyncio.sleep(0.05)
    async with watch(one, "/v1/rooms/a/watch?seconds=0") as lines:
        assert [(await lines.next())["kind"] for _ in range(2)] == ["watching", "end"]
    async with aiohttp.request("GET", f"{one.internal}/v1/rooms/a/watch?seconds=1", headers=KEY) as response:
        # A line that says that nothing has come for a while would be wrong here.
        assert [json.loads(line)["kind"] async for line in response.content] == ["watching", "end"]


async def test_a_watch_ends_with_its_pod(new_pod: NewPod) -> None:
    """The reader of a pod that stops gets the last line, and the other pods look no more, without a lease's end."""
    one, two = await new_pod(), await new_pod()
    async with watch(one, "/v1/rooms/a/watch") as lines:
        await lines.next()
        await one.running.stop(asyncio.Event())
        ended = await lines.next()
        assert (ended["kind"], ended["reason"]) == ("end", "stopped")
    async with asyncio.timeout(5):
        while two.running._pod.watching.active:
            await asyncio.sleep(0.05)


async def test_a_pod_that_stops_begins_no_watch(new_pod: NewPod) -> None:
    """It refuses one with 503, as its bus is about to close."""
    pod = await new_pod()
    await pod.running.api.close()
    status, problem = await call(pod, "GET", "/v1/rooms/a/watch")
    assert (status, problem["code"]) == (503, "unavailable")


async def test_what_comes_too_fast_is_counted(new_pod: NewPod) -> None:
    """A watch has some of the frames, and says how many more there were: together all of them."""
    pod = await new_pod(message_rate=0)
    alice = await pod.connect("alice")
    async with watch(pod, f"/v1/connections/{await the_connection(pod, 'alice')}/watch") as lines:
        await lines.next()
        await alice.say(*[{"type": "ping"} for _ in range(1000)])
        frames = dropped = 0
        while frames + dropped < 2000:
            line = await lines.next()
            frames += line["kind"] == "frame"
            dropped += line.get("frames", 0)
        assert (frames + dropped, frames >= 100, dropped > 0) == (2000, True, True)


async def test_a_pod_has_a_number_of_watches(new_pod: NewPod) -> None:
    """One more is refused, and may come when another one has ended."""
    pod = await new_pod()
    async with AsyncExitStack() as stack:
        for _ in range(10):
            await (await stack.enter_async_context(watch(pod, "/v1/rooms/a/watch"))).next()
        status, problem = await call(pod, "GET", "/v1/rooms/a/watch")
        assert (status, problem["code"]) == (503, "unavailable")
    while (await call(pod, "GET", "/v1/rooms/a/watch?seconds=0"))[0] == 503:
        await call(pod, "POST", "/v1/rooms/a/messages", BODY)
