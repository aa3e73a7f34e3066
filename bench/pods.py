"""Two pods on one Redis with the 200 subscribers on the second one; one pod alone; and one hop by redis-py alone."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import redis

from bench.chart import Bars
from bench.checkouts import ROOT, Checkout
from bench.crowd import crowd_at
from bench.hearing import CHANNEL, ROOM
from bench.rounds import Figures, interleaved, medians, options, report
from bench.servers import Running, on_redis, running, serving
from forestay.protocol.envelope import encode
from forestay.protocol.message import Message
from forestay.terminal.crowd import Speech, message, percentile
from tests.support.local_redis import QUICK, RedisServer

SUBSCRIBERS = 200
_ROOM = "bench.0"


class Heard:
    """`rate` messages a second by the client of one pod, to the subscribers on another one."""

    def __init__(self, near: Running, far: Running, rate: float) -> None:
        self.crowd = crowd_at(far.port)
        far.dialect.connect(self.crowd, far.port, _ROOM, SUBSCRIBERS, sample=4)
        self._speaker = crowd_at(near.port)
        [one] = near.dialect.connect(self._speaker, near.port, "bench.elsewhere", 1)
        self._speech = Speech([(one, _ROOM)], rate, encode=near.dialect.encode)

    def run(self, seconds: float) -> int:
        """Publish for `seconds` and count the deliveries. Returns how many are expected."""
        due = self._speech.give(self.crowd, seconds) * SUBSCRIBERS
        self.crowd.read_until(due, 10.0)
        return due

    def close(self) -> None:
        """Close the connections to both pods."""
        self._speaker.close()
        self.crowd.close()


@contextmanager
def hearing(checkout: Checkout, rate: float, **environ: str) -> Iterator[tuple[Running, Heard]]:
    """The pod of `checkout` that hears `rate` messages a second from another one by Redis, and that load."""
    with tempfile.TemporaryDirectory() as folder:
        redis = RedisServer(Path(folder), *QUICK)
        redis.start()
        environ["FORESTAY_BUS_URL"] = redis.url
        try:
            with serving(checkout, **environ) as near, serving(checkout, **environ) as far:
                load = Heard(near, far, rate)
                try:
                    yield far, load
                finally:
                    load.close()
        finally:
            redis.close()


def fan_out(hearing: Running, load: Heard, seconds: float) -> Figures:
    """Count what arrives, and what that cost the pod that has the subscribers."""
    load.run(1.0)
    load.crowd.reset()
    cpu = hearing.cpu()
    due = load.run(seconds)
    cpu = hearing.cpu() - cpu
    load.close()
    return {
        "k deliveries/CPU-s": load.crowd.count / max(cpu, 0.01) / 1000,
        "p50 ms": percentile(load.crowd.latencies, 0.5) / 1e6,
        "p99 ms": percentile(load.crowd.latencies, 0.99) / 1e6,
        "lost": due - load.crowd.count,
    }


def two_pods(url: str, rate: float, seconds: float, name: str = "forestay") -> Figures:
    """The publisher on one pod, the subscribers on the other. `name`: the server."""
    environ = on_redis(name, url)
    with running(name, **environ) as near, running(name, **environ) as far:
        return fan_out(far, Heard(near, far, rate), seconds)


def one_pod(rate: float, seconds: float) -> Figures:
    """All clients on one pod, without Redis."""
    with running("forestay") as pod:
        return fan_out(pod, Heard(pod, pod, rate), seconds)


def one_hop(url: str, kind: str, rate: float, seconds: float) -> Figures:
    """From a publisher by redis-py to one subscriber: redis-py's, or our bus."""
    number = int(rate * seconds)
    client = redis.Redis.from_url(url)
    with subscriber(kind, url, number) as process:
        started = time.monotonic()
        for sent in range(number):
            while (wait := started + sent / rate - time.monotonic()) > 0:
                time.sleep(wait)
            client.publish(CHANNEL, said())
        heard = json.loads(process.communicate(timeout=60)[0].splitlines()[-1])
    client.close()
    nothing = float("nan")
    return {"k deliveries/CPU-s": nothing, "p50 ms": heard["p50"] / 1e6, "p99 ms": heard["p99"] / 1e6, "lost": 0}


def receiving(url: str, kind: str, number: int) -> Figures:
    """Microseconds of CPU for each received message, in a stream of them."""
    client = redis.Redis.from_url(url)
    with subscriber(kind, url, number) as process:
        for _ in range(number // 500):
            batch = client.pipeline(transaction=False)
            for _ in range(500):
                batch.publish(CHANNEL, said())
            batch.execute()
        heard = json.loads(process.communicate(timeout=120)[0].splitlines()[-1])
    with subscriber(kind, url, 1) as process:
        client.publish(CHANNEL, said())
        start = json.loads(process.communicate(timeout=60)[0].splitlines()[-1])
    client.close()
    return {"us CPU/message": (heard["cpu"] - start["cpu"]) / number * 1e6}


def said() -> bytes:
    """A message as a pod publishes it, with the time it was made."""
    body = message("x")
    payload = body[body.index(b'"payload":') + len(b'"payload":') : -1]
    return b"L" + encode(Message(ROOM, payload, "2026-01-01T00:00:00.000Z", "bench"))


@contextmanager
def subscriber(kind: str, url: str, number: int) -> Iterator["subprocess.Popen[str]"]:
    """A subscriber in a process of its own."""
    command = [sys.executable, "-m", "bench.hearing", kind, url, str(number)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = options(__doc__, "forestay", seconds=6)
    parser.add_argument("--rates", default="100,1000", help="messages per second (100,1000)")
    given = parser.parse_args()
    number = 50_000
    if given.quick:
        given.rounds, given.seconds, given.rates, number = 1, 1.0, "100", 2000
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder), *QUICK)
        server.start()
        try:
            for rate in map(float, given.rates.split(",")):
                compare(server.url, rate, given.rounds, given.seconds, keep=not given.quick)
            hear(server.url, given.rounds, number, keep=not given.quick)
        finally:
            server.close()


def compare(url: str, rate: float, rounds: int, seconds: float, *, keep: bool) -> None:
    """Two pods beside one pod and one hop."""
    cases = {
        "two pods": partial(two_pods, url, rate, seconds),
        "one pod": partial(one_pod, rate, seconds),
        "redis-py hop": partial(one_hop, url, "redis-py", rate, seconds),
    }
    found = interleaved(cases, rounds)
    title = f"Two pods: {SUBSCRIBERS} subscribers on the other one, {rate:g} messages/s"
    bars = Bars("p99 ms", "99th percentile of latency, ms", "less is better")
    middle = report(f"pods-{rate:g}", title, found, bars, keep=keep)
    together = middle["one pod"]["p99 ms"] + middle["redis-py hop"]["p99 ms"]
    print(f"p99 ms: two pods / (one pod + redis-py hop) = {middle['two pods']['p99 ms'] / together:.2f}")


def hear(url: str, rounds: int, number: int, *, keep: bool) -> None:
    """Measure the CPU time of receiving a message."""
    kinds = {kind: partial(receiving, url, kind, number) for kind in ("forestay", "redis-py")}
    found = interleaved(kinds, rounds)
    bars = Bars("us CPU/message", "CPU microseconds per message heard", "less is better")
    report("hearing", "Hearing a message: our bus up to delivery, redis-py's listen()", found, bars, keep=keep)
    middle = medians(found)
    ratio = middle["forestay"]["us CPU/message"] / middle["redis-py"]["us CPU/message"]
    print(f"us CPU/message: forestay / redis-py = {ratio:.2f}")


if __name__ == "__main__":
    main()
