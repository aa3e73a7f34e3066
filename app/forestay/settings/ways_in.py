"""Settings of the ways in beside the WebSocket: Socket.IO, event streams, and plain HTTP for clients."""

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field
from pydantic_settings import NoDecode

from forestay.settings.fields import Duration, Unset, lower_words

SocketIOTransport = Literal["websocket", "polling"]

_PATH: Final = re.compile(r"/(?:[\w.~-]+/)+", re.ASCII)

# The first parts of paths that something else serves, on one of the two ports. A proxy that routes by path, and a
# reader of its log, take one for the other.
_TAKEN: Final = frozenset({"ws", "stream", "rooms", "tickets", "healthz", "livez", "readyz", "metrics", "v1"})


def _socketio_path(value: str) -> str:
    if not _PATH.fullmatch(value) or any(part in (".", "..") for part in value.split("/")):
        raise ValueError(
            "not a path that starts and ends with a slash; write it like /socket.io/ or /chat/socket.io/, "
            "with letters, digits and -._~"
        )
    first = value.split("/")[1]
    if first in _TAKEN:
        raise ValueError(f"the gateway serves something else at /{first}; take another path, such as /socket.io/")
    return value


def _some_transports(value: list[SocketIOTransport]) -> list[SocketIOTransport]:
    if not value:
        raise ValueError("no transport; write websocket, polling or both, or switch Socket.IO off")
    return list(dict.fromkeys(value))


def _client_file(value: Path | None) -> Path | None:
    if value is not None and not value.is_file():
        raise ValueError("no such file; check the path and the mount, or leave it unset")
    return value


class WaysIn(BaseModel):
    """The other ways in, and where they are."""

    socketio: bool = Field(False, description="serve Socket.IO clients")
    socketio_path: Annotated[str, AfterValidator(_socketio_path)] = Field(
        "/socket.io/", description="path of Socket.IO, behind the path prefix"
    )
    socketio_transports: Annotated[
        list[SocketIOTransport], NoDecode, BeforeValidator(lower_words), AfterValidator(_some_transports)
    ] = Field(
        ["websocket", "polling"],
        description="transports of Socket.IO: websocket, polling or both; polling needs sticky routing",
    )
    socketio_ping_timeout: Duration = Field(
        20, gt=0, description="seconds that a Socket.IO client has to answer a ping; clients wait as long for a ping"
    )
    socketio_client: Annotated[Path | None, Unset, AfterValidator(_client_file)] = Field(
        None, description="file that is served as socket.io.js below the path of Socket.IO; unset: 404"
    )
    stream: bool = Field(
        True, description="serve event streams, and plain HTTP for clients: /stream, /rooms/…, /calls and /tickets"
    )

    def open_ways_in(self, prefix: str) -> list[str]:
        """One line for each way in that is open: who comes in, and where. `prefix`: the path in front of all others."""
        lines = []
        if self.socketio:
            transports = " and ".join(self.socketio_transports)
            lines.append(f"Socket.IO clients connect to {prefix}{self.socketio_path} by {transports}")
        if self.stream:
            lines.append(f"event streams are at {prefix}/stream")
        return lines
