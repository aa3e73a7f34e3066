"""Divides the files that the process may open among clients, strangers, the internal port, and everything else.

Each connection is an open file. Clients must never take the files that the probes and the bus need.
"""

import resource
from dataclasses import dataclass
from typing import Final

import structlog

log = structlog.get_logger(__name__)

# Kept back for the bus, the key set, telemetry, the Kubernetes API and the process itself: a base, and a part of the
# limit up to a most. A small limit is kept back by half.
_BASE: Final = 64
_PART: Final = 32
_MOST: Final = 256

# The part of the public files that only strangers take, so that a full pod can still answer 503.
_STRANGERS_PART: Final = 8
_LEAST_STRANGERS: Final = 8
_MOST_STRANGERS: Final = 512


@dataclass(frozen=True, slots=True)
class Files:
    """The most connections of each kind that may be open."""

    limit: int
    """Files that the process may open."""
    public: int
    """Connections on the public port, of strangers and clients together."""
    clients: int
    """Admitted connections of clients."""
    internal: int
    """Connections on the internal port."""


def divide(limit: int) -> Files:
    """Divide `limit` files."""
    kept = min(limit // 2, _BASE + min(limit // _PART, _MOST))
    public = max(2, limit - kept)
    strangers = max(1, min(public // 2, max(_LEAST_STRANGERS, public // _STRANGERS_PART), _MOST_STRANGERS))
    return Files(limit, public, public - strangers, max(2, kept // 2))


def raise_limit() -> int:
    """Raise the limit of open files as far as the process may, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            return soft  # Some systems have a lower limit of their own.
    return hard


def places(files: Files, wanted: int) -> int:
    """The most connections of this pod: `wanted`, or fewer if the files do not suffice. Logs a warning then."""
    if wanted <= files.clients:
        return wanted
    log.warning(
        "FORESTAY_MAX_CONNECTIONS does not fit the limit of open files: this pod takes fewer connections; raise the "
        "limit (ulimit -n, LimitNOFILE), or lower the setting",
        takes=files.clients,
        max_connections=wanted,
        open_files=files.limit,
    )
    return files.clients
