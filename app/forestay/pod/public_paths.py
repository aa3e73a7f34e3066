"""Builds what serves the paths of the public port: WebSockets, event streams, Socket.IO, and the demo page."""

from forestay.core.ports.observer import Observer
from forestay.core.rules.hooks import Hook
from forestay.edge.client_address import TrustedProxies
from forestay.edge.engineio.client_file import NAME
from forestay.edge.handshake.admission import Admission, AdmissionLimits
from forestay.edge.handshake.connect_hook import ConnectHook
from forestay.edge.handshake.cors import elsewhere
from forestay.edge.handshake.handshake import Handshake, HandshakeLimits
from forestay.edge.handshake.origins import Origins
from forestay.edge.listening.routes import Handler
from forestay.edge.stream.client_requests import ClientRequests, RequestLimits
from forestay.edge.stream.streams import EventStreams, StreamLimits, StreamParts
from forestay.pod.development import Development
from forestay.pod.links import new_id
from forestay.pod.listeners import PublicPaths
from forestay.pod.socket_limits import socket_limits
from forestay.pod.wiring import Pod
from forestay.settings.settings import Settings
from forestay.web.docs import docs_answers
from forestay.web.pages import demo_answers


def make_admission(settings: Settings, pod: Pod, proxies: TrustedProxies, development: Development | None) -> Admission:
    """Return what admits clients, on all paths together."""
    limits = AdmissionLimits(max_connections=settings.max_connections, max_handshakes=settings.handshakes)
    hook = None
    if pod.hooks is not None and pod.hooks.asks(Hook.CONNECT):
        hook = ConnectHook(pod.hooks, pod.placement, new_id)
    origins = Origins(settings.allowed_origins, loopback=development is not None)
    return Admission(limits, origins, proxies, pod.tickets, pod.lifecycle, hook)


def public_paths(
    settings: Settings, pod: Pod, admission: Admission, observer: Observer, development: Development | None
) -> PublicPaths:
    """Return what serves the paths of the public port."""
    prefix = settings.path_prefix
    handshake = _handshake(settings, pod, admission, observer)
    paths: dict[str, Handler] = {f"{prefix}/ws": handshake.serve}
    if settings.stream:
        paths[f"{prefix}/stream"] = _streams(settings, pod, admission, observer).serve
        paths |= _client_requests(settings, pod, admission).paths(prefix)
    if settings.demo:
        docs = {} if development is None else docs_answers(development.tree, prefix)
        paths |= docs | demo_answers(prefix, docs=bool(docs))
        if development is not None and development.guests is not None:
            paths[f"{prefix}/demo/token"] = development.guests.answer
    return PublicPaths(paths, elsewhere(f"{prefix}/ws", _off(settings)), {f"{prefix}/ws": handshake.upgrade})


def _off(settings: Settings) -> dict[str, str]:
    """What is said at paths that a setting would serve."""
    engine = f"{settings.path_prefix}{settings.socketio_path}"
    off = {}
    if not settings.socketio:
        off[engine.rstrip("/")] = "this gateway serves no Socket.IO; its operator can set FORESTAY_SOCKETIO=on"
    elif settings.socketio_client is None:
        off[f"{engine}{NAME}"] = (
            "this gateway has no client file; load that of the package socket.io-client from your own server, or have "
            "the operator name it in FORESTAY_SOCKETIO_CLIENT"
        )
    if not settings.stream:
        off[f"{settings.path_prefix}/stream"] = (
            "this gateway serves no event streams; its operator can set FORESTAY_STREAM=on"
        )
    return off


def _handshake(settings: Settings, pod: Pod, admission: Admission, observer: Observer) -> Handshake:
    limits = HandshakeLimits(settings.query_token, socket_limits(settings))
    return Handshake(admission, limits, pod.dispatcher, pod.sessions, pod.wires, observer)


def _client_requests(settings: Settings, pod: Pod, admission: Admission) -> ClientRequests:
    limits = RequestLimits(
        query_token=settings.query_token,
        message_bytes=settings.max_message_bytes,
        json_depth=settings.json_depth,
        body_seconds=settings.message_timeout,
    )
    return ClientRequests(admission, pod.tickets, limits, pod.single_requests)


def _streams(settings: Settings, pod: Pod, admission: Admission, observer: Observer) -> EventStreams:
    limits = StreamLimits(
        query_token=settings.query_token,
        rooms=settings.rooms_per_connection,
        spread=settings.reconnect_spread,
        silence=settings.ping_interval + settings.pong_timeout,
        close_timeout=settings.close_timeout,
    )
    parts = StreamParts(lambda: pod.bus.up, pod.tickets.new_secret, observer)
    return EventStreams(admission, limits, pod.sessions, pod.first_rooms, pod.sse, parts)
