"""Metrics: labels come from closed sets, clients cannot add series, and each fact is counted once."""

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest

from forestay.bus.memory.bus import Exchange, MemoryBus
from forestay.core.facts.source import Source
from forestay.core.ports.bus import Outcome, Subscriber
from forestay.core.rules.policies import Policy, Retention, Slow
from forestay.core.sessions.relocation import Reason
from forestay.ops.health.loop_lag import LoopLag
from forestay.ops.metrics.counts import Counts
from forestay.ops.metrics.metrics import Metrics
from forestay.protocol.message import Message
from forestay.protocol.names import RoomName
from forestay.protocol.timestamps import timestamp
from forestay.protocol.trace import TraceContext
from tests.support.core import Core, passes
from tests.support.exposition import OPENMETRICS, TEXT, Scrape, scrape
from tests.support.gateway import KEY, Client, Gateway, call, frame, gateway, token, upgrade
from tests.support.readings import readings
from tests.support.subscriber import FunctionSubscriber

ROOM = RoomName("chat.lobby")
SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = "00-1bf7651916cd43dd8448eb211c80319c-c7ad6b7169203331-00"

MANY = 2_000


@dataclass
class Watched:
    """A core with metrics."""

    core: Core
    counts: Counts
    metrics: Metrics

    def __init__(self, *policies: Policy, bus: MemoryBus | None = None, exemplars: bool = False, **given: Any) -> None:
        self.counts = Counts(exemplars=exemplars)
        self.metrics = Metrics(self.counts, readings())
        self.core = Core(*policies, bus=bus, observer=self.counts, traffic=self.counts.traffic, **given)

    def scrape(self, accept: str = TEXT) -> Scrape:
        return Scrape(*self.metrics.render(accept))


class LossyBus(MemoryBus):
    """A memory bus that loses messages while `deaf` is set, and reports the doubt afterwards."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self.deaf = False
        self.subscribers: dict[RoomName, Subscriber] = {}

    def subscribe(self, room: RoomName, subscriber: Subscriber) -> None:
        self.subscribers[room] = subscriber

        def received(message: Message) -> None:
            if not self.deaf:
                subscriber.received(message)

        super().subscribe(room, FunctionSubscriber(subscriber.confirmed, received, subscriber.doubted))


def accepted(seconds_ago: float, traceparent: str | None = None) -> Message:
    """A message that another pod accepted that many seconds ago."""
    trace = None if traceparent is None else TraceContext(traceparent)
    return Message(ROOM, b"1", timestamp(int((time.time() - seconds_ago) * 1000)), trace=trace)


async def test_two_thousand_rooms_and_users_add_no_series(tmp_path: Path) -> None:
    """Joins, broadcasts, presence, API calls and refusals with new names add no series."""
    rng = Random(1)
    rooms_file = tmp_path / "rooms.toml"
    rooms_file.write_text('[[rooms]]\npattern = "**"\npresence = true\n[rooms.history]\nsize = 10\nttl = 60\n')
    async with gateway(rooms_file=str(rooms_file), message_rate=0, presence_grace=0) as running:
        before = await scrape(running.running.internal_port)
        named = [f"n{rng.getrandbits(64):x}" for _ in range(MANY)]
        await asyncio.gather(*(_crowd(running, named[at : at + 100]) for at in range(0, MANY, 100)))
        await _backends(running, [f"u{rng.getrandbits(64):x}" for _ in range(MANY)])
        await _unknown_values(running, rng)
        after = await scrape(running.running.internal_port)
        assert after.series == before.series
        assert not any(name in after.text for name in named)
        assert after['forestay_messages_received_total{type="join"}'] == MANY + 200
        assert after["forestay_messages_delivered_total"] == MANY
        assert after["forestay_connections_accepted_total"] > MANY / 100
        assert after['forestay_messages_published_total{outcome="accepted"}'] >= 2 * MANY
        assert after['forestay_connections_closed_total{code="other",by="client"}'] > 100


async def _crowd(running: Gateway, rooms: list[str]) -> None:
    """One user in a hundred rooms: joins, publishes, queries, and closes with its own code."""
    client = await running.connect(rooms[0])
    await client.say(*({"type": "join", "room": room} for room in rooms))
    for _ in rooms:
        await client.hear("joined")
    await client.say(*({"type": "broadcast", "room": room, "payload": 1} for room in rooms))
    for _ in rooms:
        await client.hear("broadcast")
    rest = ("presence", "leave", "leave")
    await client.say(*({"type": kind, "room": room} for room in rooms for kind in rest))
    heard = [(await client.hear())["type"] for _ in range(len(rest) * len(rooms))]
    assert {kind: heard.count(kind) for kind in heard} == {"presence": 100, "left": 100, "error": 100}
    await client.send(frame(8, (3000 + int(rooms[0][1:], 16) % 1000).to_bytes(2, "big")))
    await client.ended()


async def _backends(running: Gateway, users: list[str]) -> None:
    """Sends one message to each user, twelve at a time."""
    waiting = iter(users)

    async def work(session: aiohttp.ClientSession) -> None:
        for user in waiting:
            async with session.post(
                f"{running.internal}/v1/users/{user}/messages", json={"payload": 1}, headers=KEY
            ) as answer:
                assert answer.status == 200

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(work(session) for _ in range(12)))


async def _unknown_values(running: Gateway, rng: Random) -> None:
    """Sends message types, binary types, headers, paths and close codes that the gateway does not know."""
    for number in range(200):
        client = await running.connect(f"stranger-{number}")
        await client.say({"type": f"t{rng.getrandbits(64):x}"}, {"type": "join", "room": f"!{number}"}, "\u2028{")
        await client.send(frame(2, rng.randbytes(12)))
        assert [(await client.hear())["type"] for _ in range(4)] == ["error"] * 4
        await client.send(frame(8, (3000 + number * 9).to_bytes(2, "big")))
        await client.ended()
    for number in range(100):
        headers = {"Origin": f"https://{rng.getrandbits(64):x}.example", "X_Anything": f"{number}"}
        await Client.request(running.port, upgrade(None, f"/ws?token={rng.getrandbits(64):x}", **headers))
        await Client.request(running.port, upgrade(token(), Sec_WebSocket_Protocol=f"p{number}"))
        await call(running, "GET", f"/v1/rooms/{rng.getrandbits(64):x}/presence", headers={})
        await call(running, "GET", f"/v1/{rng.getrandbits(64):x}")


@pytest.mark.parametrize("accept", [TEXT, OPENMETRICS])
async def test_both_formats_have_the_same_values(accept: str) -> None:
    """Both text formats have the same counters, and a gauge without labels that autoscalers can sum."""
    async with gateway() as running:
        alice, _ = await running.join("alice", ROOM), await running.join("bob", ROOM)
        await alice.ask('{"type": "broadcast", "room": "chat.lobby", "payload": "é"}')
        found = await scrape(running.running.internal_port, accept)
    assert found["forestay_connections"] == found['forestay_handshakes_total{outcome="ok"}'] == 2
    assert found["forestay_messages_delivered_total"] == 2
    assert found["forestay_delivery_latency_seconds_count"] == 1
    assert found['forestay_publish_seconds_count{outcome="accepted"}'] == 1
    assert found['forestay_ready{reason="ready"}'] == 1
    sent = ['{"type": "join", "room": "chat.lobby"}'] * 2 + [
        '{"type": "broadcast", "room": "chat.lobby", "payload": "é"}'
    ]
    assert found["forestay_received_bytes_total"] == sum(len(one.encode()) for one in sent)


async def test_latency_is_counted_from_the_pod_that_accepted_the_message() -> None:
    """Latency runs from the accepting pod, is counted once per room, and is never negative."""
    exchange = Exchange()
    watched, elsewhere = Watched(bus=MemoryBus(exchange)), MemoryBus(exchange)
    elsewhere.publish(accepted(1.5))
    for _ in range(3):
        watched.core.join(ROOM)
    elsewhere.publish(accepted(1.5))
    elsewhere.publish(accepted(-3600))
    await passes()
    found = watched.scrape()
    assert found["forestay_delivery_latency_seconds_count"] == 2
    assert found['forestay_delivery_latency_seconds_bucket{le="0.002"}'] == 1
    assert found['forestay_delivery_latency_seconds_bucket{le="1.0"}'] == found["forestay_delivery_early_total"] == 1
    assert 1.5 <= found["forestay_delivery_latency_seconds_sum"] < 5
    assert found["forestay_messages_delivered_total"] == 6


async def test_a_message_without_recipients_has_no_latency() -> None:
    """A message whose only member asked for no echo adds no latency."""
    watched = Watched()
    alice, _ = watched.core.join(ROOM)
    watched.core.say(alice, type="broadcast", room=ROOM, payload=1, echo=False)
    await passes()
    assert watched.scrape()["forestay_delivery_latency_seconds_count"] == 0


async def test_an_invalid_timestamp_is_not_counted() -> None:
    """A message with an invalid timestamp from the bus adds no latency."""
    watched = Watched()
    watched.core.join(ROOM)
    for text in ("", "now", "2026-13-01T00:00:00.000Z", "0001-01-01T00:00:00", "9" * 10_000):
        watched.core.bus.publish(Message(ROOM, b"1", text))
    await passes()
    found = watched.scrape()
    assert found["forestay_delivery_latency_seconds_count"] == 0
    assert found["forestay_delivery_wait_seconds_count"] == 5


async def test_what_is_written_together_is_one_batch() -> None:
    """Messages of one tick are one batch, and the wait of each is counted."""
    watched = Watched()
    alice, _ = watched.core.join(ROOM)
    await passes()
    for number in range(4):
        watched.core.say(alice, type="broadcast", room=ROOM, payload=number)
    await passes()
    found = watched.scrape()
    assert found["forestay_delivery_batch_messages_count"] == 1
    assert found["forestay_delivery_batch_messages_sum"] == 4
    assert found["forestay_delivery_wait_seconds_count"] == 4
    assert 0 < found["forestay_delivery_wait_seconds_sum"] < 5


async def test_exemplars_lead_to_traces_that_are_kept() -> None:
    """Only a sampled message leaves an exemplar, with the ids of its trace, in OpenMetrics only."""
    watched = Watched(exemplars=True)
    watched.core.join(ROOM)
    for traceparent in (SAMPLED, UNSAMPLED, None):
        message = accepted(0.0, traceparent)
        await watched.core.pod.backend._publisher.accepted(message, Source(0.0))
    await passes()
    ids = {"trace_id": SAMPLED[3:35], "span_id": SAMPLED[36:52]}
    found = watched.scrape(OPENMETRICS)
    assert found.exemplars("forestay_delivery_latency_seconds_bucket") == [ids]
    assert found.exemplars("forestay_publish_seconds_bucket") == [ids]
    assert found["forestay_delivery_latency_seconds_count"] == 3
    assert "trace_id" not in watched.scrape().text


async def test_requests_of_backends_are_counted_by_their_answers() -> None:
    """Each API request is counted by its answer: `ok` or the code of the refusal."""
    async with gateway() as running:
        for path, headers in (("/v1/rooms", KEY), ("/v1/rooms", {}), ("/v1/rooms/a%20b/presence", KEY)):
            await call(running, "GET", path, headers=headers)
        found = await scrape(running.running.internal_port)
    assert {
        outcome: found[f'forestay_api_requests_total{{outcome="{outcome}"}}']
        for outcome in ("ok", "bad_token", "invalid_room", "forbidden", "failed")
    } == {"ok": 1, "bad_token": 1, "invalid_room": 1, "forbidden": 0, "failed": 0}


async def test_clients_write_no_exemplars_without_tracing() -> None:
    """Without tracing, a client's trace context does not become an exemplar."""
    async with gateway() as running:
        alice = await running.join("alice", ROOM)
        await alice.ask({"type": "broadcast", "room": ROOM, "payload": 1, "traceparent": SAMPLED})
        found = await scrape(running.running.internal_port, OPENMETRICS)
    assert found["forestay_delivery_latency_seconds_count"] == 1
    assert "trace_id" not in found.text


async def test_a_gap_that_is_filled_and_one_that_is_not() -> None:
    """A gap filled from history is counted with its true latency; without history members get `resync`."""
    history = Policy("log.*", history=Retention(10, 60.0))
    exchange = Exchange()
    bus = LossyBus(exchange)
    watched, elsewhere = Watched(history, bus=bus), MemoryBus(exchange)
    rooms = RoomName("log.a"), RoomName("live.a")
    for room in (*rooms, *rooms):
        watched.core.join(room)
    await passes()
    bus.deaf = True
    for number in range(3):
        elsewhere.publish(Message(rooms[0], b"1", timestamp(int(time.time() * 1000) - 2500)), kept=history.history)
        elsewhere.publish(Message(rooms[1], b"%d" % number, ""))
    bus.deaf = False
    for room in rooms:
        bus.subscribers[room].doubted()
    await passes()
    found = watched.scrape()
    assert (found["forestay_gaps_filled_total"], found["forestay_gap_messages_total"]) == (1, 3)
    assert found['forestay_resyncs_total{reason="missed"}'] == 2
    assert found['forestay_delivery_latency_seconds_bucket{le="2.0"}'] == 0
    assert found["forestay_delivery_latency_seconds_count"] == 3


async def test_a_gap_that_is_too_large_is_told_to_every_member() -> None:
    """A gap beyond the history counts one `resync` with the reason `lost` per member."""
    history = Policy("log.*", history=Retention(2, 60.0))
    exchange = Exchange()
    bus = LossyBus(exchange)
    watched, elsewhere = Watched(history, bus=bus), MemoryBus(exchange)
    room = RoomName("log.a")
    for _ in range(3):
        watched.core.join(room)
    await passes()
    bus.deaf = True
    for _ in range(5):
        elsewhere.publish(Message(room, b"1", ""), kept=history.history)
    bus.deaf = False
    bus.subscribers[room].doubted()
    await passes()
    found = watched.scrape()
    assert found['forestay_resyncs_total{reason="lost"}'] == 3
    assert found["forestay_gaps_filled_total"] == 0


async def test_a_slow_client_is_counted() -> None:
    """A slow client is counted by its room's policy, and as one member that lost messages."""
    watched = Watched(Policy("**", slow=Slow.DROP_OLDEST), send_buffer_bytes=4096)
    alice, _ = watched.core.join(ROOM)
    _, stuck = watched.core.join(ROOM)
    stuck.stuck = True
    for _ in range(3):
        watched.core.say(alice, type="broadcast", room=ROOM, payload="x" * 5000)
        await passes()
    stuck.waiting = 0
    watched.core.say(alice, type="ping")
    await passes()
    found = watched.scrape()
    assert found['forestay_slow_consumers_total{policy="drop_oldest"}'] == 1
    assert found['forestay_resyncs_total{reason="slow"}'] == 1


async def test_a_publish_that_the_bus_refuses_is_counted_with_its_time() -> None:
    """A publish that the bus refuses is counted as refused, with its duration."""
    watched = Watched()
    alice, _ = watched.core.join(ROOM)
    await watched.core.bus.close()
    watched.core.say(alice, type="broadcast", room=ROOM, payload=1)
    found = watched.scrape()
    assert found['forestay_messages_published_total{outcome="refused"}'] == 1
    assert found['forestay_publish_seconds_count{outcome="refused"}'] == 1
    assert found['forestay_messages_refused_total{code="unavailable"}'] == 1


async def test_a_clients_close_code_is_not_counted_as_ours() -> None:
    """Close code 1011 from a client is counted as the client's, because an alert watches ours."""
    async with gateway() as running:
        client = await running.connect()
        await client.send(frame(8, (1011).to_bytes(2, "big")))
        await client.ended()
        await running.running._pod.backend.disconnect("nobody")
        found = await scrape(running.running.internal_port)
    assert found['forestay_connections_closed_total{code="1011",by="client"}'] == 1
    assert found['forestay_connections_closed_total{code="1011",by="gateway"}'] == 0


async def test_connections_change_their_state_and_leave_it() -> None:
    """A connection is counted as open, then as relocating, and no more once it ended."""
    async with gateway() as running:
        port, pod = running.running.internal_port, running.running._pod
        stays, goes, ended = [await running.connect(user) for user in ("stays", "goes", "ended")]
        for user in ("goes", "ended"):
            [connection] = pod.hub.of_user(user)
            pod.relocation.ask(connection, reason=Reason.REBALANCING, within=60.0)
        assert await states(port) == {"open": 1, "relocating": 2}
        pod.relocation.force(connection, Reason.REBALANCING)
        assert (await ended.ended()).code == 1001
        assert await states(port) == {"open": 1, "relocating": 1}
        await goes.hear("reconnect")
        await goes.send(frame(8, (1000).to_bytes(2, "big")))
        await goes.ended()
        assert await states(port) == {"open": 1, "relocating": 0}
        found = await scrape(port)
        assert found['forestay_relocated_total{reason="rebalancing",outcome="client_closed"}'] == 1
        assert (await stays.ask({"type": "ping"}))["type"] == "pong"


async def states(port: int) -> dict[str, float]:
    found = await scrape(port)
    return {state: found[f'forestay_connections_by_state{{state="{state}"}}'] for state in ("open", "relocating")}


async def test_presence_is_the_users_of_this_pod() -> None:
    """A user counts once per room for any number of connections, and no more after the last one left."""
    watched = Watched(Policy("**", presence=True), presence_grace=0)
    presence = watched.core.pod.presence
    for user in ("alice", "alice", "bob"):
        watched.core.join(ROOM, user)
    carol, _ = watched.core.join("other", "carol")
    await passes()
    assert len(presence) == 3
    watched.core.say(carol, type="leave", room="other")
    await passes()
    assert len(presence) == 2


async def test_a_scrape_takes_nothing_away_from_the_next() -> None:
    """The worst lag stays readable for 30 to 60 seconds, for any number of scrapes."""
    lag = LoopLag()
    lag.note(100.0, 0.5)
    for now, expected in ((110.0, 0.5), (129.0, 0.5), (131.0, 0.5), (159.0, 0.5), (162.0, 0.0)):
        lag.note(now, 0.0)
        assert lag.worst == lag.worst == expected


def test_the_process_is_described_as_it_is() -> None:
    """The process metrics agree with the kernel's own figures."""
    found = Scrape(*Metrics(Counts(), readings()).render(TEXT))
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the folder is open while it is listed, as in the code
    assert abs(found["process_open_fds"] - files) <= 1
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    [resident] = [int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS")]
    assert found["process_resident_memory_bytes"] == pytest.approx(resident, rel=0.1)
    assert found["process_virtual_memory_bytes"] > found["process_resident_memory_bytes"]
    assert 0 < time.time() - found["process_start_time_seconds"] < 86_400
    assert 0 < found["process_cpu_seconds_total"] <= time.process_time()
    assert found["process_max_fds"] >= files


def test_every_series_is_there_before_anything_happens() -> None:
    """Every series exists from the start at 0, so that rates have a beginning and panels are not empty."""
    found = Scrape(*Metrics(Counts(), readings()).render(TEXT))
    for series in (
        'forestay_messages_refused_total{code="rate_limited"}',
        'forestay_messages_published_total{outcome="unknown"}',
        'forestay_api_requests_total{outcome="bad_token"}',
        'forestay_connections_closed_total{code="4413",by="gateway"}',
        'forestay_drain_closed_total{outcome="aborted"}',
        'forestay_resyncs_total{reason="lost"}',
        'forestay_kubernetes_faults_total{cause="denied"}',
        'forestay_publish_seconds_bucket{outcome="unknown",le="+Inf"}',
    ):
        assert found[series] == 0


def test_outcome_labels_are_the_enum_names() -> None:
    """The labels of outcomes are the names of the enum's members."""
    found = Scrape(*Metrics(Counts(), readings()).render(TEXT))
    assert {f'forestay_messages_published_total{{outcome="{one.name.lower()}"}}' for one in Outcome} <= found.series
