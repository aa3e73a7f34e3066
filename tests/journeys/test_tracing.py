"""One message is one trace, from its sender through the bus to the sockets of the other pod."""

import asyncio
import secrets
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest

from tests.support.gateway import API_KEY, Client, token, upgrade
from tests.support.local_redis import RedisServer, free_port
from tests.support.otlp_sink import Sink, Span, sink
from tests.support.process import Process, serving

ROOMS = """
[[rooms]]
pattern = "traced.*"
trace = true

[[rooms]]
pattern = "chat.**"
"""
CLIENT_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
THEIRS, THEIR_SPAN = CLIENT_TRACE[3:35], CLIENT_TRACE[36:52]


class Pods(NamedTuple):
    one: Process
    two: Process
    sink: Sink


@pytest.fixture
def environ(redis: RedisServer, tmp_path: Path) -> dict[str, str]:
    rooms = tmp_path / "rooms.toml"
    rooms.write_text(ROOMS)
    url = f"{redis.url}?prefix=t{secrets.token_hex(6)}"
    return {"FORESTAY_BUS_URL": url, "FORESTAY_ROOMS_FILE": str(rooms), "FORESTAY_LOG_LEVEL": "DEBUG"}


@pytest.fixture
async def pods(environ: dict[str, str]) -> AsyncIterator[Pods]:
    """Two processes on one Redis that keep every trace, and a collector."""
    async with AsyncExitStack() as stack:
        collector = await stack.enter_async_context(sink())
        first = await stack.enter_async_context(serving(**environ | collector.environ))
        second = await stack.enter_async_context(serving(**environ | collector.environ))
        yield Pods(first, second, collector)


async def joined(pod: Process, user: str, room: str) -> Client:
    client = await Client.open(pod.port, token(user))
    await client.hear("welcome")
    await client.say({"type": "join", "room": room})
    await client.hear("joined")
    return client


async def post(pod: Process, room: str, **headers: str) -> int:
    url = f"http://127.0.0.1:{pod.internal_port}/v1/rooms/{room}/messages"
    headers |= {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
    async with aiohttp.request("POST", url, data=b'{"payload": 1}', headers=headers) as response:
        return response.status


def one(spans: list[Span], name: str, kind: str, **attributes: object) -> Span:
    found = [
        span
        for span in spans
        if (span.name, span.kind) == (name, kind)
        and all(span.attributes.get(key.replace("_", ".")) == value for key, value in attributes.items())
    ]
    assert len(found) == 1, [(span.name, span.kind, span.attributes) for span in spans]
    return found[0]


async def test_a_message_is_one_trace_on_two_pods(pods: Pods) -> None:
    """Processing, publish and delivery on each pod are spans of one trace, each below the previous one."""
    alice, bob = await joined(pods.one, "alice", "chat.a"), await joined(pods.two, "bob", "chat.a")
    await alice.say({"type": "broadcast", "room": "chat.a", "payload": "hello", "id": "1"})
    await bob.hear("broadcast")
    spans = await pods.sink.named("publish chat.**", "process chat.**", "process chat.**", "process chat.**")

    came = one(spans, "process chat.**", "CONSUMER", messaging_system="websocket")
    sent = one(spans, "publish chat.**", "PRODUCER")
    heard = [span for span in spans if span.parent_id == sent.span_id]
    assert {span.trace_id for span in spans} == {came.trace_id}
    assert (came.parent_id, came.links) == ("", [])
    assert sent.parent_id == came.span_id
    assert [span.links for span in heard] == [[(sent.trace_id, sent.span_id)]] * 2
    assert {span.resource["service.instance.id"] for span in heard} > {sent.resource["service.instance.id"]}
    assert [span.attributes["forestay.fanout.recipients"] for span in heard] == [1, 1]
    assert [span.attributes["forestay.fanout.dropped"] for span in heard] == [0, 0]
    assert came.start <= sent.start <= min(span.start for span in heard)
    assert all(span.start <= span.end for span in spans)
    for span in spans:
        assert span.attributes["messaging.destination.template"] == "chat.**"
        assert not span.failed


async def test_a_clients_trace_is_linked_and_never_a_parent(pods: Pods) -> None:
    """A client's context is linked, decides nothing about sampling, and its tracestate is dropped."""
    alice = await joined(pods.one, "alice", "traced.a")
    request = {
        "type": "broadcast",
        "room": "traced.a",
        "payload": 1,
        "traceparent": CLIENT_TRACE,
        "tracestate": "them=1",
    }
    heard = await alice.ask(request)
    spans = await pods.sink.named("publish traced.*", "process traced.*", "process traced.*")
    came = one(spans, "process traced.*", "CONSUMER", messaging_system="websocket")
    sent = one(spans, "publish traced.*", "PRODUCER")
    assert came.trace_id != THEIRS
    assert (came.parent_id, came.links, came.state) == ("", [(THEIRS, THEIR_SPAN)], "")
    # A receiver can continue the trace, but learns nothing of its origin.
    assert heard["traceparent"] == f"00-{sent.trace_id}-{sent.span_id}-01"
    assert "tracestate" not in heard
    assert b"them" not in pods.sink.raw


async def test_a_backends_trace_is_continued(pods: Pods) -> None:
    """A backend's trace continues to the other pod with its tracestate, which receivers do not see."""
    bob = await joined(pods.two, "bob", "traced.a")
    assert await post(pods.one, "traced.a", traceparent=CLIENT_TRACE, tracestate="ours=1") == 200
    heard = await bob.hear("broadcast")
    spans = await pods.sink.named("publish traced.*", "process traced.*", "process traced.*")
    assert {span.trace_id for span in spans} == {THEIRS}
    came = one(spans, "process traced.*", "CONSUMER", messaging_system="http")
    sent = one(spans, "publish traced.*", "PRODUCER")
    assert (came.parent_id, came.links) == (THEIR_SPAN, [])
    assert heard["traceparent"] == f"00-{THEIRS}-{sent.span_id}-01"
    assert "tracestate" not in heard
    assert [span.state for span in spans] == ["ours=1"] * 3


async def test_a_backend_decides_that_its_trace_is_not_kept(pods: Pods) -> None:
    """For an unsampled backend trace receivers see the flag 00, and no pod makes a span."""
    bob = await joined(pods.two, "bob", "traced.a")
    assert await post(pods.one, "traced.a", traceparent=CLIENT_TRACE[:-2] + "00") == 200
    heard = await bob.hear("broadcast")
    assert heard["traceparent"][:36] == CLIENT_TRACE[:36]
    assert heard["traceparent"][-3:] == "-00"
    assert heard["traceparent"][36:52] != THEIR_SPAN
    # A sampled message follows: when its spans arrived, those of the first would have arrived too.
    assert await post(pods.one, "traced.a", traceparent=CLIENT_TRACE) == 200
    spans = await pods.sink.named("publish traced.*", "process traced.*", "process traced.*")
    assert len(spans) == 3


@pytest.mark.parametrize(("parent", "inherits"), [("link", False), ("child", True)])
async def test_clients_traces_are_continued_with_child(environ: dict[str, str], parent: str, *, inherits: bool) -> None:
    """With `FORESTAY_TRACE_PARENT=child` a client's trace continues, for messages and handshakes."""
    async with sink() as collector, serving(**environ | collector.environ | {"FORESTAY_TRACE_PARENT": parent}) as pod:
        other = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
        alice = await Client.request(pod.port, upgrade(token("alice"), traceparent=other))
        await alice.hear("welcome")
        await alice.say({"type": "broadcast", "room": "chat.a", "payload": 1, "id": "1", "traceparent": CLIENT_TRACE})
        await alice.hear("ack")
        spans = await collector.named("GET /ws", "process chat.**", "publish chat.**")
        assert (one(spans, "process chat.**", "CONSUMER").trace_id == THEIRS) is inherits
        shaken = one(spans, "GET /ws", "SERVER")
        assert (shaken.trace_id == "a" * 32) is inherits
        assert shaken.links == ([] if inherits else [("a" * 32, "b" * 16)])


async def test_a_handshake_ends_with_the_upgrade(pods: Pods) -> None:
    """The handshake span ends with the upgrade, and a refused one has its status."""
    alice = await joined(pods.one, "alice", "chat.a")
    await Client.open_or_refused(pods.one.port, "no token")
    spans = await pods.sink.named("GET /ws", "GET /ws")
    statuses = {span.attributes["http.response.status_code"]: span for span in spans}
    assert set(statuses) == {101, 401}
    assert {span.kind for span in spans} == {"SERVER"}
    assert {span.attributes["http.route"] for span in spans} == {"/ws"}
    assert await alice.silent()


async def test_a_refused_message_is_a_span_that_failed(pods: Pods) -> None:
    """A refused message makes a failed span with the code, and with the room's pattern if known."""
    alice = await Client.open(pods.one.port, token("alice", rooms={"chat.a": "r"}))
    await alice.hear("welcome")
    assert (await alice.ask({"type": "broadcast", "room": "chat.a", "payload": 1}))["type"] == "error"
    assert (await alice.ask({"type": "broadcast", "room": "no room", "payload": 1}))["type"] == "error"
    spans = await pods.sink.named("process chat.**", "process")
    assert one(spans, "process chat.**", "CONSUMER").attributes["error.type"] == "forbidden"
    assert one(spans, "process", "CONSUMER").attributes["error.type"] == "invalid_room"
    assert all(span.failed for span in spans)


CANARY = "canary7f3b"


@pytest.mark.parametrize(("names", "shown"), [("off", False), ("on", True)])
async def test_names_tokens_and_payloads_stay_out(environ: dict[str, str], names: str, *, shown: bool) -> None:
    """No span has a user, room, payload, key or token; names appear only with FORESTAY_TRACE_NAMES."""
    collecting = {"FORESTAY_TRACE_NAMES": names}
    async with sink() as collector, serving(**environ | collector.environ | collecting) as pod:
        room = f"chat.{CANARY}"
        alice = await joined(pod, CANARY, room)
        request = {"type": "broadcast", "room": room, "payload": CANARY, "id": CANARY, "tracestate": f"a={CANARY}"}
        await alice.ask(request | {"traceparent": CLIENT_TRACE})
        await alice.say(request | {"key": CANARY}, request | {"room": f"no {CANARY}"}, f"{CANARY} is no JSON")
        await Client.open_or_refused(pod.port, f"{CANARY}.{CANARY}.{CANARY}")
        await Client.request(pod.port, upgrade(None, f"/ws?token={CANARY}", tracestate=f"a={CANARY}"))
        await post(pod, f"{room}.more", tracestate=f"a={CANARY}")
        await collector.named("GET /ws", "GET /ws", "GET /ws", "process", *["publish chat.**"] * 2)
        assert (CANARY.encode() in collector.raw) is shown
        if shown:
            (sent, _) = [span for span in collector.spans if span.name.startswith("publish")]
            assert sent.attributes["messaging.destination.name"] == room
            assert sent.attributes["user.id"] == CANARY


async def test_without_an_endpoint_there_are_no_traces_and_no_ids(environ: dict[str, str]) -> None:
    """Without an endpoint receivers see the caller's context unchanged."""
    async with serving(**environ) as pod:
        alice = await joined(pod, "alice", "traced.a")
        heard = await alice.ask({"type": "broadcast", "room": "traced.a", "payload": 1, "traceparent": CLIENT_TRACE})
        assert heard["traceparent"] == CLIENT_TRACE
        assert "traceparent" not in await alice.ask({"type": "broadcast", "room": "traced.a", "payload": 1})


@pytest.mark.parametrize(
    "off", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_TRACES_SAMPLER": "always_off"}]
)
async def test_the_standard_ways_to_switch_it_off(environ: dict[str, str], off: dict[str, str]) -> None:
    """With each standard way to switch traces off nothing is sent, also not at the exit."""
    async with sink() as collector, serving(**environ | collector.environ | off) as pod:
        alice = await joined(pod, "alice", "chat.a")
        await alice.ask({"type": "broadcast", "room": "chat.a", "payload": 1})
        await alice.close()
        assert await pod.end() == 0
        assert collector.requests == 0


async def test_the_resource_says_which_process_it_was(environ: dict[str, str]) -> None:
    """Spans have the service name, the version and the pod's uid; OTEL_RESOURCE_ATTRIBUTES wins."""
    more = {"POD_UID": "uid-1", "OTEL_RESOURCE_ATTRIBUTES": "service.version=7,k8s.pod.name=p"}
    async with sink() as collector, serving(**environ | collector.environ | more) as pod:
        await joined(pod, "alice", "chat.a")
        (shaken,) = await collector.named("GET /ws")
    expected = {"service.name": "forestay", "service.version": "7", "service.instance.id": "uid-1"}
    assert expected.items() <= shaken.resource.items()
    assert shaken.resource["k8s.pod.name"] == "p"


async def test_a_missing_exporter_only_turns_traces_off(environ: dict[str, str]) -> None:
    """An exporter that is not installed is logged, and the gateway serves without traces."""
    wrong = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    async with serving(**environ | wrong) as pod:
        alice = await joined(pod, "alice", "chat.a")
        assert await alice.silent()
        assert "otlp_proto_grpc" in pod.log


async def test_a_drain_is_a_span_with_events(environ: dict[str, str]) -> None:
    """A drain is one span, from the signal to the last connection."""
    window = {"FORESTAY_DRAIN_WINDOW": "0.2"}
    async with sink() as collector, serving(**environ | collector.environ | window) as pod:
        alice = await joined(pod, "alice", "chat.a")
        ending = asyncio.ensure_future(pod.end())
        await alice.ended()
        await alice.close()
        assert await ending == 0
        (drain,) = await collector.named("drain")
    assert [event.name for event in drain.events] == ["forestay.drain.started", "forestay.drain.ended"]
    assert drain.events[0].attributes == {"forestay.connections": 1, "forestay.drain.window": 0.2}


async def test_a_lost_bus_is_a_span_until_it_is_back(environ: dict[str, str], redis: RedisServer) -> None:
    """A lost bus is one span until its return, and the gap that it left in a room is another."""
    async with sink() as collector, serving(**environ | collector.environ) as pod:
        alice = await joined(pod, "alice", "chat.a")
        assert redis.do("CLIENT", "KILL", "TYPE", "pubsub") == 1
        assert (await alice.hear())["type"] == "resync"
        spans = await collector.named("bus", "recovery")
        events = [event for span in spans for event in span.events]
        assert {"forestay.bus.lost", "forestay.bus.connected", "forestay.resync"} <= {event.name for event in events}
        (resync,) = [event for event in events if event.name == "forestay.resync"]
        assert resync.attributes["forestay.reason"] == "missed"


@pytest.mark.parametrize("collector", ["closed", "hanging"])
async def test_the_end_does_not_wait_for_a_dead_collector(environ: dict[str, str], collector: str) -> None:
    """With a dead or silent collector the process exits within the flush timeout, with status 0."""
    async with sink() as taking:
        taking.hanging = True
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = taking.port if collector == "hanging" else closed.getsockname()[1]
            sending = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_BSP_SCHEDULE_DELAY": "50"}
            async with serving(**environ | sending | {"FORESTAY_DRAIN_WINDOW": "0"}) as pod:
                alice = await joined(pod, "alice", "chat.a")
                for number in range(20):
                    await alice.ask({"type": "broadcast", "room": "chat.a", "payload": number})
                await alice.close()
                started = time.monotonic()
                assert await pod.end() == 0
                # The default flush timeout is 5 s. Without that limit the exit would take 20 s.
                assert time.monotonic() - started < 10
                assert '"stopped"' in pod.log


async def test_messages_flow_while_the_collector_comes_and_goes(environ: dict[str, str]) -> None:
    """While the collector is down every message is delivered, and after its return traces arrive again."""
    async with AsyncExitStack() as stack:
        first = AsyncExitStack()
        # A port outside of those that the system gives to others meanwhile.
        collector = await first.enter_async_context(sink(free_port()))
        pod = await stack.enter_async_context(serving(**environ | collector.environ))
        alice = await joined(pod, "alice", "chat.a")

        async def speak(word: str) -> None:
            heard = await alice.ask({"type": "broadcast", "room": "chat.a", "payload": word})
            assert heard["payload"] == word

        await speak("with it")
        await collector.named("publish chat.**")
        await first.aclose()
        for number in range(50):
            await speak(f"without it {number}")
        again = await stack.enter_async_context(sink(collector.port))
        await speak("with it again")
        await again.named("publish chat.**")
