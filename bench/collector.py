"""Three kinds of collector: one that takes spans, one that never answers, and one that does not listen.

The first one is a process of its own, so that its CPU is not counted for the server.
"""

import multiprocessing
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def taking() -> Iterator[int]:
    """The port of a collector that takes all spans and keeps none."""
    server = _Server(("127.0.0.1", 0), _Taking)
    process = multiprocessing.get_context("fork").Process(target=server.serve_forever, daemon=True)
    process.start()
    server.socket.close()
    try:
        yield server.server_port
    finally:
        process.kill()
        process.join()


@contextmanager
def hanging() -> Iterator[int]:
    """The port of a collector that never reads: only the kernel takes its connections and requests."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        yield listening.getsockname()[1]


@contextmanager
def closed() -> Iterator[int]:
    """A port without a listener, which no other process can get."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def sending(port: int, share: float) -> dict[str, str]:
    """The environment of a gateway that keeps a `share` of traces and sends them to `port`."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": str(share),
    }


class _Taking(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing: the bench prints a table."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        # A server under test is killed at the end of its round.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]
