"""2,000 messages a second that a receiver on loopback is told of: whether it keeps up, and what that costs the pod."""

import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench.chart import Bars
from bench.inbound import Inbound
from bench.rounds import Case, Figures, measure, options, ratio, report
from bench.servers import Running, on_redis
from tests.support.local_redis import QUICK, RedisServer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
_PUBLISHERS, _RATE = 200, 10
_PATIENCE = 60.0


class _Handler(BaseHTTPRequestHandler):
    """Counts the events of a request, and answers 204."""

    protocol_version = "HTTP/1.1"
    events = 0
    requests = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        _Handler.events += body.count(b'"id":"evt_')
        _Handler.requests += 1
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Write nothing."""


@contextmanager
def receiver() -> Iterator[Mapping[str, str]]:
    """A receiver in a thread. Yields the environment of a pod that tells it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield {
            "FORESTAY_WEBHOOKS_URL": f"http://127.0.0.1:{server.server_port}/",
            "FORESTAY_WEBHOOKS_SECRET": SECRET,
            "FORESTAY_ROOMS_FILE": str(Path(__file__).with_suffix(".toml")),
        }
    finally:
        server.shutdown()


def told(server: Running, *, seconds: float, events: bool) -> Figures:
    """Let them publish, and wait until the receiver has each event. `events`: whether there are some."""
    load = Inbound(server, publishers=_PUBLISHERS, rate=_RATE)
    load.run(1.0)
    load.crowd.reset()
    _wait_quiet()
    before, requests = _Handler.events, _Handler.requests
    cpu, started = server.cpu(), time.perf_counter()
    sent = load.run(seconds)
    while events and _Handler.events - before < sent and time.perf_counter() - started < seconds + _PATIENCE:
        time.sleep(0.005)
    taken, cpu = time.perf_counter() - started, server.cpu() - cpu
    load.crowd.close()
    count = _Handler.events - before
    return {
        "us CPU/message": cpu / sent * 1e6,
        "messages/s": sent / taken,
        "events/s": count / taken,
        "missing": sent - count if events else 0,
        "events/request": count / max(1, _Handler.requests - requests),
    }


def _wait_quiet() -> None:
    """Wait until the receiver is told nothing more."""
    last = -1
    while last != _Handler.events:
        last = _Handler.events
        time.sleep(1.2)


def main() -> None:
    given = options(__doc__, "forestay", seconds=6).parse_args()
    if given.quick:
        given.rounds, given.seconds = 1, 1.0
    with tempfile.TemporaryDirectory() as folder, receiver() as telling:
        redis = RedisServer(Path(folder), *QUICK)
        redis.start()
        try:
            cases = [
                Case(f"{bus}, {'webhooks' if events else 'none'}", given.servers, work, environ | more)
                for bus, environ in (("memory", {}), ("redis", on_redis("forestay", redis.url)))
                for events, more in ((False, {}), (True, dict(telling)))
                for work in [partial(told, seconds=given.seconds, events=events)]
            ]
            found = measure(cases, given.rounds)
        finally:
            redis.close()
    middle = report(
        "webhooks",
        f"Webhooks: {_PUBLISHERS * _RATE:,} messages a second, each told to a receiver on loopback",
        found,
        Bars("us CPU/message", "CPU microseconds per message", "less is better"),
        keep=not given.quick,
    )
    for bus in ("memory", "redis"):
        ratio(middle, "us CPU/message", f"{bus}, webhooks", f"{bus}, none")


if __name__ == "__main__":
    main()
