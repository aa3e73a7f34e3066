"""Event streams: the rooms of the URL as server-sent events."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from forestay.core.rules.lifecycle import State
from forestay.core.sessions.relocation import Reason
from tests.support.gateway import PATIENCE, Client, Gateway, call, gateway, token
from tests.support.streams import Stream, ask, get

ROOMS = """
[[rooms]]
pattern = "loose"
slow = "drop_oldest"

[[rooms]]
pattern = "traced"
trace = true

[[rooms]]
pattern = "log.*"
history = { size = 100, ttl = 60 }

[[rooms]]
pattern = "who.*"
presence = true
join_leave = true
"""
ALL = {"**": "rwph"}
BEARER = token("alice", rooms=ALL)


@asynccontextmanager
async def streaming(tmp_path: Path, **given: object) -> AsyncIterator[Gateway]:
    rooms = tmp_path / "rooms.toml"
    rooms.write_text(ROOMS)
    async with gateway(rooms_file=str(rooms), **given) as running:
        yield running


async def publish(running: Gateway, room: str, *payloads: bytes) -> None:
    for payload in payloads:
        status, _ = await call(running, "POST", f"/v1/rooms/{room}/messages", b'{"payload": %b}' % payload)
        assert status == 200


async def until_gone(running: Gateway, others: int = 0) -> None:
    """Wait until the pod has no connection and no place is taken, but those of `others`."""
    server = running.running
    async with asyncio.timeout(PATIENCE):
        while {len(server._pod.hub), server._admission.sockets, server._public._lobby.sockets} != {others}:
            await asyncio.sleep(0.01)


async def test_a_stream_has_the_messages_of_its_rooms(tmp_path: Path) -> None:
    """It is welcomed and joins like a socket, and has the same JSON. A native client and a stream hear each other."""
    async with streaming(tmp_path) as running:
        native = await running.join("bob", "who.a", rooms=ALL)
        stream = await Stream.open(running, BEARER, "log.a", "who.a", "no room", "log.a")
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["cache-control"] == "no-store, no-transform"
        assert stream.headers["x-accel-buffering"] == "no"
        assert stream.headers["connection"] == "close"
        assert not stream.headers.keys() & {"content-length", "transfer-encoding"}
        welcome = await stream.hear("welcome")
        assert welcome["payload"]["user"] == "alice"
        assert stream.retry is not None
        assert (await stream.hear("joined"))["payload"]["offset"] == 0
        members = (await stream.hear("joined"))["payload"]["members"]
        assert [one["user"] for one in members["members"]] == ["alice", "bob"]
        assert (await stream.hear("error"))["payload"]["code"] == "invalid_room"
        assert (await native.hear("user-joined"))["payload"]["user"] == "alice"
        await native.say({"type": "broadcast", "room": "who.a", "payload": {"a": 1}})
        heard = await stream.hear("broadcast")
        assert (heard["from"], heard["room"], heard["payload"]) == ("bob", "who.a", {"a": 1})
        await stream.client.close()
        await native.hear("broadcast")
        await until_gone(running, others=1)


async def test_a_stream_resumes_where_its_last_event_was(tmp_path: Path) -> None:
    """Each room goes on where it was, for all rooms of the URL at once; one without history says that it cannot."""
    async with streaming(tmp_path) as running:
        stream = await Stream.open(running, BEARER, "log.a", "chat.a", "log.b")
        for _ in range(4):
            assert "recovered" not in (await stream.hear())["payload"]
        await publish(running, "log.a", b"1", b"2")
        await publish(running, "log.b", b"10")
        for _ in range(3):
            await stream.hear("broadcast")
        last_id = stream.last_id
        await stream.client.close()
        await publish(running, "log.a", b"3")
        await publish(running, "log.b", b"11", b"12")
        for how in ({"last_id": last_id}, {"query": f"lastEventId={last_id}"}, {"query": f"last_event_id={last_id}"}):
            again = await Stream.open(running, BEARER, "log.a", "chat.a", "log.b", **how)
            await again.hear("welcome")
            events = [await again.hear() for _ in range(6)]
            recovered = {one["room"]: one["payload"]["recovered"] for one in events if one["type"] == "joined"}
            assert recovered == {"log.a": True, "chat.a": False, "log.b": True}
            assert [one["payload"] for one in events if one["type"] == "broadcast"] == [3, 11, 12]
            await again.client.close()
        newest = again.last_id
        stream = await Stream.open(running, BEARER, "log.a", "chat.a", "log.b", last_id=newest)
        assert [(await stream.hear())["type"] for _ in range(4)] == ["welcome", "joined", "joined", "joined"]


async def test_a_stream_may_be_cut_anywhere_in_a_write(tmp_path: Path) -> None:
    """Each event of a write has its own id. A client that got a part of them gets the rest, and nothing twice."""
    async with streaming(tmp_path) as running:
        rooms = ("log.a", "log.b", "log.c")
        stream = await Stream.open(running, BEARER, *rooms)
        while stream.last_id.endswith(",") or stream.last_id.count(".") < 1:
            await stream.hear("welcome", "joined")
        native = await running.connect("bob", rooms=ALL)
        # In one packet, so that one pass writes all of them.
        said = [{"type": "broadcast", "room": rooms[n % 5 % 3], "payload": n} for n in range(9)]
        await native.say(*said)
        whole: list[tuple[str, int]] = []
        while len(whole) < len(said):
            payload = (await stream.hear("broadcast"))["payload"]
            whole.append((stream.last_id, payload))
        for place, (last_id, _) in enumerate(whole):
            again = await Stream.open(running, BEARER, *rooms, last_id=last_id)
            rest = whole[place + 1 :]
            events = [await again.hear() for _ in range(4 + len(rest))]
            assert all(one["payload"]["recovered"] for one in events if one["type"] == "joined")
            payloads = [one["payload"] for one in events if one["type"] == "broadcast"]
            assert sorted(payloads) == sorted(payload for _, payload in rest)
            await again.client.close()


@pytest.mark.parametrize("last_id", ["nonsense", "aaaaaa:1.e", "x" * 5000, "\xff\xfe"])
async def test_an_id_that_is_none_is_told_the_truth(tmp_path: Path, last_id: str) -> None:
    """The client is in the room, and hears that it may have missed messages."""
    async with streaming(tmp_path) as running:
        await publish(running, "log.a", b"1")
        stream = await Stream.open(running, BEARER, "log.a", last_id=last_id)
        await stream.hear("welcome")
        assert (await stream.hear("joined"))["payload"]["recovered"] is False
        # The header is newer than the URL.
        old = await Stream.open(
            running, BEARER, "log.a", last_id=stream.last_id, query=f"lastEventId={stream.last_id[:-1]}"
        )
        await old.hear("welcome")
        assert (await old.hear("joined"))["payload"]["recovered"] is True


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (get("/stream", BEARER), 400, "bad_message"),
        (get("/stream?" + "&".join(f"room=r{n}" for n in range(101)), BEARER), 400, "too_many_rooms"),
        (get("/stream?room=a&access_token=other", BEARER), 400, "bad_token"),
        (get("/stream?room=a", BEARER, Content_Length="2") + b"{}", 400, "bad_message"),
        (get("/stream?room=a", BEARER, Origin="https://evil.example"), 403, "forbidden"),
        (get("/stream?room=a"), 401, "bad_token"),
        (get("/stream?room=a&access_token=rubbish"), 401, "bad_token"),
        (get("/stream?room=a", token(exp=time.time() - 1)), 401, "bad_token"),
        (get("/stream?room=a", BEARER, "HEAD"), 405, ""),
        (get("/stream?room=a", BEARER, "POST", Content_Length="0"), 405, "not_found"),
        (get("/stream/?room=a", BEARER), 404, "not_found"),
    ],
)
async def test_what_cannot_succeed_later_is_refused_for_good(
    tmp_path: Path, request_bytes: bytes, status: int, code: str
) -> None:
    """An EventSource gives up after these answers. They take no place."""
    async with streaming(tmp_path) as running:
        client = await Client.request(running.port, request_bytes)
        assert client.status == status
        assert code.encode() in client.body
        if status == 405:
            assert client.headers["allow"] == "GET, OPTIONS"
        await until_gone(running)


async def test_what_may_succeed_later_ends_and_says_when_to_come_back(tmp_path: Path) -> None:
    """Full, draining, or no bus: the answer is a stream, because an EventSource never comes back from an error."""
    async with streaming(tmp_path, max_connections=1) as running:
        first = await Stream.open(running, BEARER, "a")
        await first.until("joined")
        retries = []
        for _ in range(3):
            later = await Stream.open(running, BEARER, "a", Origin="http://127.0.0.1")
            assert later.headers["content-type"] == "text/event-stream"
            assert later.headers["x-accel-buffering"] == "no"
            [last] = await later.rest()
            assert (last["type"], last["payload"]["code"]) == ("close", 1013)
            assert later.retry is not None
            assert 3000 <= later.retry <= 6000
            retries.append(later.retry)
        assert len(set(retries)) > 1
        await first.client.close()
        await until_gone(running)
        bus = running.running._pod.bus
        bus.up = False  # type: ignore[misc]
        [last] = await (await Stream.open(running, BEARER, "a")).rest()
        assert "bus" in last["payload"]["reason"]
        bus.up = True  # type: ignore[misc]
        running.running._pod.lifecycle.move(State.DRAINING)
        [last] = await (await Stream.open(running, BEARER, "a")).rest()
        assert last["payload"]["code"] == 1013


async def test_a_page_may_read_a_stream(tmp_path: Path) -> None:
    """Also a page of another origin that is allowed, after a preflight where it sends a header."""
    page = "https://app.example.com"
    async with streaming(tmp_path, allowed_origins=[page]) as running:
        asked = await Client.request(running.port, get("/stream?room=a", None, "OPTIONS", Origin=page))
        assert asked.status == 204
        assert asked.headers["access-control-allow-methods"] == "GET"
        assert {"Authorization", "Last-Event-ID"} <= set(asked.headers["access-control-allow-headers"].split(", "))
        stream = await Stream.open(running, BEARER, "a", Origin=page)
        assert stream.headers["access-control-allow-origin"] == page
        assert stream.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in stream.headers


async def test_http_1_0_works_too(tmp_path: Path) -> None:
    """A proxy may speak it to the gateway. The stream ends with the connection in both versions."""
    async with streaming(tmp_path) as running:
        stream = await Stream.request(running, get("/stream?room=a", BEARER).replace(b"HTTP/1.1", b"HTTP/1.0"))
        await stream.until("joined")


@pytest.mark.parametrize("how", ["speaks", "half closes", "vanishes"])
async def test_a_client_that_does_anything_but_listen_is_ended_once(tmp_path: Path, how: str) -> None:
    """A second request, more bytes or half a close end the stream, which counts as one connection that ended."""
    async with streaming(tmp_path) as running:
        stream = await Stream.open(running, BEARER, "a")
        await stream.until("joined")
        if how == "speaks":
            await stream.client.send(get("/stream?room=b", BEARER))
            [last] = await stream.rest()
            assert last["payload"]["code"] == 1002
        elif how == "half closes":
            stream.client.writer.write_eof()
            assert await stream.rest() == []
        else:
            stream.client.writer.transport.abort()
        await until_gone(running)
        counts = running.running._observation.counts
        assert sum(number for ends in counts.closes.values() for _, number in ends.items()) == 1


async def test_a_comment_keeps_a_quiet_stream_open(tmp_path: Path) -> None:
    """The client answers nothing, and is not ended for it."""
    async with streaming(tmp_path, ping_interval=0.1, pong_timeout=0.05) as running:
        stream = await Stream.open(running, BEARER, "a")
        await stream.until("joined")
        hearing = asyncio.create_task(stream.hear("broadcast"))
        async with asyncio.timeout(PATIENCE):
            while stream.comments < 3:
                await asyncio.sleep(0.01)
        await publish(running, "a", b"1")
        await hearing


async def test_a_client_that_is_ended_for_good_does_not_get_in_again_by_itself(tmp_path: Path) -> None:
    """The last event has the code. Its id makes the next request of that EventSource a 403, which ends it."""
    async with streaming(tmp_path) as running:
        stream = await Stream.open(running, BEARER, "log.a")
        await stream.until("joined")
        assert (await call(running, "DELETE", "/v1/users/alice/connections"))[1]["ended"] == 1
        [last] = await stream.rest()
        assert (last["type"], last["payload"]) == ("close", {"code": 4403, "reason": "access revoked"})
        client = await Client.request(running.port, get("/stream?room=log.a", BEARER, Last_Event_ID=stream.last_id))
        assert (client.status, b"4403" in client.body) == (403, True)
        # Somebody who opens another one does.
        await (await Stream.open(running, BEARER, "log.a")).until("joined")


async def test_a_token_that_expires_ends_its_stream(tmp_path: Path) -> None:
    """The client comes back with the same token once, and gets 401. Its place in the rooms is not lost by that."""
    async with streaming(tmp_path) as running:
        bearer = token("alice", rooms=ALL, exp=time.time() + 2)
        stream = await Stream.open(running, bearer, "log.a")
        await stream.until("joined")
        here = stream.last_id
        [last] = await stream.rest()
        assert last["payload"]["code"] == 4401
        assert stream.last_id == here
        assert stream.retry is not None
        assert stream.retry < 3000
        client = await Client.request(running.port, get("/stream?room=log.a", bearer, Last_Event_ID=here))
        assert client.status == 401


async def test_the_limit_of_a_user_holds_for_streams(tmp_path: Path) -> None:
    """One that is too many is refused for good. Where the oldest yields, it is told not to come back."""
    async with streaming(tmp_path, max_connections_per_user=1) as running:
        await (await Stream.open(running, BEARER, "a")).until("joined")
        client, problem = await ask(running, "GET", "/stream?room=a", BEARER)
        assert (client.status, problem["code"]) == (403, "forbidden")
    async with streaming(tmp_path, max_connections_per_user=1, user_limit_policy="replace") as running:
        old = await Stream.open(running, BEARER, "a")
        await old.until("joined")
        await (await Stream.open(running, BEARER, "a")).until("joined")
        [last] = await old.rest()
        assert last["payload"]["code"] == 4409
        client, _ = await ask(running, "GET", "/stream?room=a", BEARER, Last_Event_ID=old.last_id)
        assert client.status == 403


async def test_a_room_that_cannot_be_had_now_ends_the_stream(tmp_path: Path) -> None:
    """A stream cannot ask again, so its client comes back for the room."""
    async with streaming(tmp_path, bus_timeout=0.2) as running:
        bus = running.running._pod.bus
        bus.subscribe = lambda *_: None  # type: ignore[method-assign]
        stream = await Stream.open(running, BEARER, "a", "log.a")
        *_, last = await stream.rest()
        assert (last["type"], last["payload"]["code"]) == ("close", 1013)
        assert stream.retry is not None
        assert stream.retry >= 3000


async def test_a_drain_asks_the_client_and_then_ends_the_stream(tmp_path: Path) -> None:
    """`reconnect` says when, for clients that act on it. The others come back by themselves when the stream ends."""
    async with streaming(tmp_path, drain_window=0.2, drain_lead=0.3) as running:
        stream = await Stream.open(running, BEARER, "log.a")
        await stream.until("joined")
        stopping = asyncio.create_task(running.running.stop(asyncio.Event(), paced=True))
        reconnect = await stream.hear("reconnect")
        assert reconnect["payload"]["reason"] == "draining"
        here = stream.last_id
        started = time.monotonic()
        [last] = await stream.rest()
        assert last["payload"]["code"] == 1001
        assert time.monotonic() - started < 5
        assert stream.last_id == here
        assert stream.retry is not None
        assert 100 <= stream.retry <= 2600
        await stopping
        departures = running.running._observation.counts.departures[Reason.DRAINING]
        assert departures["server_closed"] == 1


@pytest.mark.parametrize(("room", "last"), [("loose", "resync"), ("strict", "close")])
async def test_a_stream_that_is_not_read_has_the_policy_of_its_room(tmp_path: Path, room: str, last: str) -> None:
    """It loses messages and is told so, or it ends, as the policy says. The others hear everything."""
    async with streaming(tmp_path, send_buffer_bytes=65536, message_rate=0, message_bytes_rate=0) as running:
        stream = await Stream.open(running, BEARER, room)
        await stream.until("joined")
        native = await running.join("bob", room, rooms=ALL)
        stream.client.reader._limit = 2**24  # type: ignore[attr-defined]
        stream.client.writer.transport.pause_reading()  # type: ignore[attr-defined]

        async def hear_all() -> None:
            for _ in range(200):
                await native.hear("broadcast")

        hearing = asyncio.create_task(hear_all())
        for _ in range(200):
            await publish(running, room, b'"' + b"x" * 60_000 + b'"')
        await hearing
        stream.client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        events = await stream.until(last)
        assert 0 < len(events) < 200
        assert events[-1]["payload"] == (
            {"reason": "slow"} if last == "resync" else {"code": 4413, "reason": "too slow: the send buffer is full"}
        )


async def test_the_kernel_looks_for_dead_clients(tmp_path: Path) -> None:
    """A client that cannot be reached any more is ended like a socket that answers no ping: after as many seconds."""
    async with streaming(tmp_path, ping_interval=7, pong_timeout=3) as running:
        await (await Stream.open(running, BEARER, "a")).until("joined")
        [connection] = running.running._pod.hub.of_user("alice")
        sock = connection.transport._transport.get_extra_info("socket")  # type: ignore[attr-defined]
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000


async def test_an_operator_can_switch_streams_off() -> None:
    """Nothing is at the paths then, as at all others."""
    async with gateway(stream=False) as running:
        for method, path in (("GET", "/stream?room=a"), ("POST", "/rooms/a/messages"), ("POST", "/tickets")):
            client, problem = await ask(running, method, path, BEARER, b"")
            assert (client.status, problem["code"]) == (404, "not_found")


async def test_a_path_prefix_is_in_front_of_all_paths() -> None:
    """The prefix is also in front of the paths that have the name of a room in them."""
    async with gateway(path_prefix="/chat/v2") as running:
        stream = await Stream.request(running, get("/chat/v2/stream?room=a", BEARER))
        await stream.until("joined")
        client, _ = await ask(running, "POST", "/chat/v2/rooms/a/messages", BEARER, b'{"payload": 1}')
        assert client.status == 200
        assert (await stream.hear("broadcast"))["room"] == "a"
        assert (await ask(running, "POST", "/rooms/a/messages", BEARER, b'{"payload": 1}'))[0].status == 404
