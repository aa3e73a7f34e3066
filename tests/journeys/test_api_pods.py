"""Any pod answers a backend for all pods: it puts users into rooms, takes them out, and says how the pods are."""

import asyncio

import pytest
from structlog.testing import capture_logs

from forestay import __version__
from tests.support.gateway import call, token
from tests.support.pods import NewPod
from tests.support.streams import Stream

ROOMS = """
[[rooms]]
pattern = "log.*"
presence = true
[rooms.history]
size = 10
ttl = 60

[[rooms]]
pattern = "chat.*"
join_leave = true
"""


async def test_a_backend_puts_a_user_into_a_room_on_all_pods(new_pod: NewPod) -> None:
    """Each connection of the user hears `joined` without an id, and then the messages; others hear nothing."""
    one, two = await new_pod(), await new_pod()
    mine = [await pod.connect("alice", rooms={}) for pod in (one, two)]
    bob = await two.connect("bob", rooms={})
    answer = await call(one, "PUT", "/v1/rooms/log.a/members/alice")
    assert answer == (200, {"joined": 2, "refused": [], "complete": True})
    for client in mine:
        joined = await client.hear("joined")
        assert (joined["room"], "id" in joined, joined["payload"]["offset"]) == ("log.a", False, 0)
    assert (await call(two, "GET", "/v1/rooms/log.a/presence"))[1]["count"] == 2
    await call(two, "POST", "/v1/rooms/log.a/messages", b'{"payload": 1}')
    for client in mine:
        assert (await client.hear("broadcast"))["payload"] == 1
    assert await bob.silent()
    # Again: it changes nothing, and is not told again.
    assert (await call(two, "PUT", "/v1/rooms/log.a/members/alice"))[1]["joined"] == 2
    assert await mine[0].silent()


async def test_a_backend_takes_a_user_out_of_a_room_on_all_pods(new_pod: NewPod) -> None:
    """Each connection hears `left` with the reason `removed`, the others that the user left, and it may join again."""
    one, two = await new_pod(), await new_pod()
    bob = await one.join("bob", "chat.a")
    mine = [await pod.join("alice", "chat.a") for pod in (one, two)]
    assert (await bob.hear("user-joined"))["payload"]["user"] == "alice"
    answer = await call(two, "DELETE", "/v1/rooms/chat.a/members/alice")
    assert answer == (200, {"removed": 2, "refused": [], "complete": True})
    for client in mine:
        left = await client.hear("left")
        assert (left["room"], left["payload"], "id" in left) == ("chat.a", {"reason": "removed"}, False)
    assert (await bob.hear("user-left"))["payload"]["user"] == "alice"
    assert (await call(one, "DELETE", "/v1/rooms/chat.a/members/alice"))[1]["removed"] == 0
    assert (await mine[0].ask({"type": "join", "room": "chat.a"}))["type"] == "joined"


async def test_one_connection_can_be_meant(new_pod: NewPod) -> None:
    """With `connection` the others of the user stay as they are, on whichever pod it is."""
    one, two = await new_pod(), await new_pod()
    first, second = await one.connect("alice"), await two.connect("alice")
    listed = (await call(one, "GET", "/v1/users/alice/connections"))[1]["connections"]
    pod = two.running._pod.pods.me
    [id] = [each["id"] for each in listed if each["pod"] == pod]  # type: ignore[attr-defined]
    path = f"/v1/rooms/a/members/alice?connection={id}"
    assert (await call(one, "PUT", path))[1]["joined"] == 1
    assert (await second.hear("joined"))["room"] == "a"
    assert await first.silent()
    assert (await call(one, "DELETE", path))[1]["removed"] == 1
    assert (await second.hear("left"))["room"] == "a"
    # The connection of another user is not hers.
    assert (await call(one, "PUT", f"/v1/rooms/a/members/bob?connection={id}"))[1]["joined"] == 0


async def test_what_a_backend_grants_outlives_a_token_but_not_a_leave(new_pod: NewPod) -> None:
    """A new token without the right leaves the client in the room; after its own `leave` the token decides again."""
    pod = await new_pod()
    alice = await pod.join("alice", "b", rooms={"b": "r"})
    await call(pod, "PUT", "/v1/rooms/a/members/alice")
    await alice.hear("joined")
    assert (await alice.ask({"type": "join", "room": "a", "id": "1"}))["type"] == "joined"
    await alice.say({"type": "auth", "payload": {"token": token("alice", rooms={})}})
    assert (await alice.hear("left"))["room"] == "b"
    await alice.hear("ack")
    await call(pod, "POST", "/v1/rooms/a/messages", b'{"payload": 1}')
    assert (await alice.hear("broadcast"))["room"] == "a"
    assert (await alice.ask({"type": "leave", "room": "a"}))["type"] == "left"
    assert (await alice.ask({"type": "join", "room": "a"}))["payload"]["code"] == "forbidden"


async def test_a_connection_with_too_many_rooms_is_named(new_pod: NewPod) -> None:
    """The limit of rooms holds for backends too; the answer has the id and the code."""
    one, two = await new_pod(rooms_per_connection=1), await new_pod(rooms_per_connection=1)
    await one.join("alice", "b")
    await two.connect("alice")
    status, answer = await call(one, "PUT", "/v1/rooms/a/members/alice")
    assert (status, answer["joined"], answer["complete"]) == (200, 1, True)
    assert [each["code"] for each in answer["refused"]] == ["too_many_rooms"]  # type: ignore[attr-defined]


async def test_a_stream_is_put_into_a_room_and_taken_out(new_pod: NewPod) -> None:
    """The events of the room come on the stream, though its URL does not name the room."""
    pod = await new_pod()
    stream = await Stream.open(pod, token("alice", rooms={"b": "r"}), "b")
    await stream.hear("welcome")
    await stream.hear("joined")
    assert (await call(pod, "PUT", "/v1/rooms/log.a/members/alice"))[1]["joined"] == 1
    assert (await stream.hear("joined"))["room"] == "log.a"
    await call(pod, "POST", "/v1/rooms/log.a/messages", b'{"payload": 1}')
    assert (await stream.hear("broadcast"))["room"] == "log.a"
    assert (await call(pod, "DELETE", "/v1/rooms/log.a/members/alice"))[1]["removed"] == 1
    assert (await stream.hear("left"))["payload"] == {"reason": "removed"}


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_pod_that_does_not_answer_is_reported(new_pod: NewPod, method: str) -> None:
    """`complete` is false, and what the others did is counted."""
    one, two = await new_pod(), await new_pod()
    await one.join("alice", "a")
    await two.join("alice", "a")
    two.running._pod.control.close()
    status, answer = await call(one, method, "/v1/rooms/a/members/alice")
    assert (status, answer["complete"]) == (200, False)
    assert answer["joined" if method == "PUT" else "removed"] == 1
    status, answer = await call(one, "GET", "/v1/info")
    assert (status, answer["complete"], len(answer["pods"])) == (200, False, 1)  # type: ignore[arg-type]


async def test_members_that_cannot_be_are_refused(new_pod: NewPod) -> None:
    """A bad room, a bad user and a bad connection have their codes; the personal room of a user has no members."""
    pod = await new_pod()
    for path, code in (
        ("a%20b/members/alice", "invalid_room"),
        ("@me/members/alice", "invalid_room"),
        ("a/members/%FF", "bad_message"),
        ("a/members/%0A", "bad_message"),
        ("a/members/alice?connection=", "bad_message"),
        ("a/members/alice?connection=" + "x" * 65, "bad_message"),
    ):
        for method in ("PUT", "DELETE"):
            status, problem = await call(pod, method, f"/v1/rooms/{path}")
            assert (path, status, problem["code"]) == (path, 400, code)


async def test_each_change_of_members_has_a_line_in_the_log(new_pod: NewPod) -> None:
    """It names the key, the room, the user and the result."""
    pod = await new_pod()
    await pod.connect("alice")
    with capture_logs() as logged:
        await call(pod, "PUT", "/v1/rooms/a/members/alice")
        await call(pod, "DELETE", "/v1/rooms/a/members/alice")
    lines = [line for line in logged if line["event"] == "audit"]
    assert [(line["action"], line["room"], line["user"], line["result"]) for line in lines] == [
        ("join", "a", "alice", "ok"),
        ("remove", "a", "alice", "ok"),
    ]
    assert [lines[0]["joined"], lines[1]["removed"]] == [1, 1]


async def test_any_pod_tells_how_all_pods_are(new_pod: NewPod) -> None:
    """Each pod has its version, its state, its connections and rooms, and whether it has the bus."""
    one, two = await new_pod(), await new_pod()
    await one.join("alice", "a")
    await two.join("bob", "a")
    await two.join("eve", "@me")
    for asked in (one, two):
        status, answer = await call(asked, "GET", "/v1/info")
        assert (status, answer["complete"], answer["connections"]) == (200, True, 3)
        pods = {each["pod"]: each for each in answer["pods"]}  # type: ignore[attr-defined]
        assert sorted(pods) == sorted(pod.running._pod.pods.me for pod in (one, two))
        there = pods[two.running._pod.pods.me]
        assert (there["connections"], there["rooms"], there["version"]) == (2, 1, __version__)
        assert (there["state"], there["bus"]["kind"], there["bus"]["up"]) == ("ready", "redis", True)
    while "round_trip_ms" not in pods[one.running._pod.pods.me]["bus"]:
        await asyncio.sleep(0.02)
        pods = {each["pod"]: each for each in (await call(one, "GET", "/v1/info"))[1]["pods"]}  # type: ignore[attr-defined]


async def test_a_full_pod_answers_backends(new_pod: NewPod) -> None:
    """It is not ready, so that clients go elsewhere; publishing and placing work as before."""
    pod = await new_pod(max_connections=1)
    alice = await pod.connect("alice")
    while (await pod.probe("/readyz"))[0] == 200:
        await asyncio.sleep(0.02)
    assert (await call(pod, "PUT", "/v1/rooms/a/members/alice"))[1]["joined"] == 1
    await alice.hear("joined")
    assert await call(pod, "POST", "/v1/rooms/a/messages", b'{"payload": 1}') == (200, {})
    assert (await alice.hear("broadcast"))["payload"] == 1
    answer = (await call(pod, "GET", "/v1/info"))[1]
    assert [one["state"] for one in answer["pods"]] == ["saturated"]  # type: ignore[attr-defined]


async def test_a_draining_pod_answers_backends(new_pod: NewPod) -> None:
    """As long as a client is there, backends reach it, and the pod says that it drains."""
    pod = await new_pod(drain_window=30)
    alice = await pod.connect("alice")
    hurry = asyncio.Event()
    stopping = asyncio.create_task(pod.running.stop(hurry, paced=True))
    while (await pod.probe("/readyz"))[1]["state"] != "draining":
        await asyncio.sleep(0.02)
    assert (await call(pod, "PUT", "/v1/rooms/a/members/alice"))[1]["joined"] == 1
    assert await call(pod, "POST", "/v1/publish", b'{"rooms": ["a"], "payload": 1}') == (
        200,
        {"results": [{"room": "a"}], "failed": 0},
    )
    heard = [await alice.hear() for _ in range(3)]
    assert {"joined", "broadcast"} < {one["type"] for one in heard}
    answer = (await call(pod, "GET", "/v1/info"))[1]
    assert [one["state"] for one in answer["pods"]] == ["draining"]  # type: ignore[attr-defined]
    await alice.close()
    hurry.set()
    await stopping
