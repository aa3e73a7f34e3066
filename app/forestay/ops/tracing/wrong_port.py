"""Says what is wrong where spans are sent to a port of OTLP over gRPC, which does not speak HTTP/1.1.

The SDK would print the bytes with which such a port answers, several times for each batch.
"""

import logging
from collections.abc import Mapping
from http.client import BadStatusLine, RemoteDisconnected
from typing import Final
from urllib.parse import urlsplit

_INTERVAL: Final = 60.0
"""Seconds between two lines in the log."""

_GRPC: Final = 4317
"""The port of OTLP over gRPC, as it is registered. That over HTTP is 4318."""

_HINT: Final = (
    "no spans are taken: what listens at the OTLP endpoint does not speak HTTP/1.1, as a port for gRPC does not; give "
    "the port for OTLP over HTTP, which is 4318 unless the collector's configuration says otherwise"
)


def port_of_grpc(environ: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    """What to do where the endpoint, the first of these variables that is set, has the port of gRPC."""
    for name in names:
        if environ.get(name):
            try:
                port = urlsplit(environ[name]).port
            except ValueError:
                return None
            ours = f"{name} has the port {_GRPC}, which collectors use for gRPC; spans go by HTTP, usually to port 4318"
            return ours if port == _GRPC else None
    return None


class NoHttp(logging.Filter):
    """Tells of an answer that is no HTTP in words, and once in a while. Other lines of the SDK's exporter stay."""

    def __init__(self) -> None:
        super().__init__()
        self._told_at = 0.0
        """Unix seconds of the last line."""

    def filter(self, record: logging.LogRecord) -> bool:
        arguments = record.args if isinstance(record.args, tuple) else ()
        if not any(_is_no_http(argument) for argument in arguments):
            return True
        record.msg, record.args = _HINT, ()
        due = record.created - self._told_at >= _INTERVAL
        if due:
            self._told_at = record.created
        return due


def _is_no_http(error: object, depth: int = 0) -> bool:
    """Whether a server answered with something else than HTTP. Libraries pack the error into others."""
    if isinstance(error, BadStatusLine) and not isinstance(error, RemoteDisconnected):
        return True
    return (
        isinstance(error, Exception)
        and depth < 4
        and any(_is_no_http(inner, depth + 1) for inner in (*error.args, error.__cause__, error.__context__))
    )
