"""Builds the engine below Socket.IO from the settings, and says at which paths it is."""

import secrets

from forestay.core.ports.observer import Observer
from forestay.edge.engineio.application import Application
from forestay.edge.engineio.client_file import NAME, ClientFile
from forestay.edge.engineio.requests import EngineLimits, EngineRequests
from forestay.edge.handshake.admission import Admission
from forestay.edge.listening.routes import Handler
from forestay.pod.socket_limits import socket_limits
from forestay.protocol.engineio.packets import Times
from forestay.settings.settings import Settings

# Sessions without a namespace at the same time: at least so many, else as many as can hold so many bytes of unfinished
# messages. They are strangers, but the lobby does not count what they send.
_LEAST_UNUSED = 16
_UNUSED_BYTES = 64 * 2**20

# Random bytes in the id of a session: 128 bits, which nobody can guess.
_SID_BYTES = 16


def make_engine(
    settings: Settings, application: Application, admission: Admission, observer: Observer
) -> EngineRequests:
    """Return the engine. Its `sessions.close` belongs to the closings of the pod."""
    limits = EngineLimits(
        transports=settings.socketio_transports,
        times=Times(settings.ping_interval, settings.socketio_ping_timeout),
        socket=socket_limits(settings),
        message_timeout=settings.message_timeout,
        most_unused=_most_unused(settings),
    )
    return EngineRequests(application, admission, limits, _new_sid, observer)


def engine_paths(settings: Settings, engine: EngineRequests, client_file: ClientFile | None) -> dict[str, Handler]:
    """Return the handlers of the engine, by path. Some clients leave out the last slash."""
    path = f"{settings.path_prefix}{settings.socketio_path}"
    paths: dict[str, Handler] = {path: engine.serve, path.rstrip("/"): engine.serve}
    return paths if client_file is None else paths | {f"{path}{NAME}": client_file.serve}


def _most_unused(settings: Settings) -> int:
    """Half of the handshakes at most: the other half is for clients that connect by other ways, also in a flood."""
    return max(_LEAST_UNUSED, min(settings.handshakes // 2, _UNUSED_BYTES // settings.max_message_bytes))


def _new_sid() -> str:
    return secrets.token_urlsafe(_SID_BYTES)
