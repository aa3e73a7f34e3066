"""Builds what Socket.IO clients meet: the namespaces, who may enter them, and the engine below."""

import random
import secrets
from collections.abc import Mapping
from typing import Final

from forestay.core.ports.observer import Observer
from forestay.core.rules.events import Namespaces
from forestay.core.rules.hooks import Hook
from forestay.edge.engineio.requests import EngineRequests
from forestay.edge.handshake.admission import Admission
from forestay.edge.socketio.connecting import Connecting, CoreParts, Namespace, Randomness
from forestay.edge.socketio.opening import Clients, PacketLimits
from forestay.pod.engine import make_engine
from forestay.pod.wiring import Pod
from forestay.protocol.socketio.reader import Reader
from forestay.protocol.socketio.wire import SocketioWire
from forestay.settings.settings import Settings

# Random bytes of the secret by which a client recovers: 96 bits, which nobody can guess.
_SECRET_BYTES: Final = 12


def make_socketio(
    settings: Settings, namespaces: Namespaces, pod: Pod, admission: Admission, observer: Observer
) -> EngineRequests:
    """Return what serves the paths of Socket.IO. Its `sessions.close` belongs to the closings of the pod."""
    parts = CoreParts(pod.sessions, pod.rejoining, pod.dispatcher, admission.hook)
    calls = pod.hooks is not None and pod.hooks.asks(Hook.CALL)
    application = Connecting(
        _namespaces(settings, namespaces, calls=calls), parts, Randomness(_new_secret, random.uniform)
    )
    packets = PacketLimits(settings.max_message_bytes, settings.json_depth)
    clients = Clients(application, packets, query_token=settings.query_token)
    return make_engine(settings, clients, admission, observer)


def _namespaces(settings: Settings, namespaces: Namespaces, *, calls: bool) -> Mapping[str, Namespace]:
    """All namespaces, by path. `calls`: whether the application takes calls."""
    largest = settings.max_message_bytes
    found = {}
    for path in namespaces.paths:
        rules = namespaces.of(path)
        if rules is not None:
            found[path] = Namespace(SocketioWire(path, largest), Reader(path, rules, largest, calls=calls), rules.join)
    return found


def _new_secret() -> str:
    return secrets.token_urlsafe(_SECRET_BYTES)
