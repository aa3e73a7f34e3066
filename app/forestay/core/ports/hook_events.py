"""The events that an application is asked about, or told of. `forestay.hooks` offers them to applications."""

from collections.abc import Mapping
from typing import ClassVar, Final, TypeAlias

import msgspec

from forestay.core.rules.hooks import Hook
from forestay.protocol.trace import TraceContext

_EMPTY: Final = b"{}"


class Caller:
    """The client that an event is about."""

    __slots__ = ("_claims", "claims_json", "connection", "user", "wire")

    def __init__(self, user: str, claims: bytes = _EMPTY, connection: str | None = None, wire: str = "v1") -> None:
        self.user = user
        """The user of the token."""
        self.claims_json = claims
        """All claims of the token, as JSON."""
        self.connection = connection
        """The id of the connection, unique among all pods; None for a single HTTP request, also for one that only asks
        whether its client may connect."""
        self.wire = wire
        """How it is connected: `v1` (WebSocket), `socketio`, `sse` (an event stream), or `http` (a single request)."""
        self._claims: Mapping[str, object] | None = None

    def _decoded(self) -> Mapping[str, object]:
        if self._claims is None:
            self._claims = msgspec.json.decode(self.claims_json, type=dict[str, object])
        return self._claims

    # Written so, a type checker lets an application look into what JSON says as it is.
    claims = property(_decoded, doc="All claims of the token.")


class _Event:
    """What every event has."""

    __slots__ = ("caller", "trace")

    hook: ClassVar[Hook]

    def __init__(self, caller: Caller, trace: TraceContext | None = None) -> None:
        self.caller = caller
        self.trace = trace
        """The trace context that the client sent with its request, if it sent one."""

    @property
    def user(self) -> str:
        """The user of the token."""
        return self.caller.user

    @property
    def connection(self) -> str | None:
        """The id of the connection, unique among all pods; None for a single HTTP request."""
        return self.caller.connection

    def _of_token(self) -> object:
        return self.caller.claims

    claims = property(_of_token, doc="All claims of the token.")


class ConnectEvent(_Event):
    """A client with a good token asks to connect. It has no answer yet."""

    __slots__ = ("address", "origin")
    hook: ClassVar[Hook] = Hook.CONNECT

    def __init__(
        self,
        caller: Caller,
        trace: TraceContext | None = None,
        *,
        origin: str | None = None,
        address: str | None = None,
    ) -> None:
        super().__init__(caller, trace)
        self.origin = origin
        """The origin of the page, as the browser names it; None where the client is no page."""
        self.address = address
        """The IP address of the client, as far as proxies are trusted; None where it is not known."""


class JoinEvent(_Event):
    """A client asks to join a room, and its token allows it."""

    __slots__ = ("room",)
    hook: ClassVar[Hook] = Hook.JOIN

    def __init__(self, caller: Caller, room: str, trace: TraceContext | None = None) -> None:
        super().__init__(caller, trace)
        self.room = room
        """The name of the room; `@me` for the user's own."""


class _Payload(_Event):
    """What every event with a JSON payload has."""

    __slots__ = ("_payload", "payload_json")

    def __init__(self, caller: Caller, payload: bytes, trace: TraceContext | None) -> None:
        super().__init__(caller, trace)
        self.payload_json = payload
        """The payload as the client wrote it."""
        self._payload: object = msgspec.UNSET

    def _decoded(self) -> object:
        if self._payload is msgspec.UNSET:
            self._payload = msgspec.json.decode(self.payload_json)
        return self._payload

    payload = property(_decoded, doc="The payload: what its JSON says.")


class BroadcastEvent(_Payload):
    """A client asks to publish a message to a room, and its token allows it."""

    __slots__ = ("binary", "event", "room")
    hook: ClassVar[Hook] = Hook.BROADCAST

    def __init__(
        self,
        caller: Caller,
        room: str,
        payload: bytes,
        trace: TraceContext | None = None,
        *,
        event: str | None = None,
        binary: bool = False,
    ) -> None:
        """`payload`: JSON; for a binary message all of it."""
        # Not by the classes above: this happens for each message, and two more calls cost more than all of it.
        self.caller = caller
        self.trace = trace
        self.payload_json = payload
        self._payload = msgspec.UNSET
        self.room = room
        """The name of the room; `@me` for the user's own."""
        self.event = event
        """The name of the event, whose arguments are the payload, a list; None for a message without one."""
        self.binary = binary
        """Whether the message is binary: its type, four bytes big-endian, and any bytes."""

    def _decoded_unless_binary(self) -> object:
        return self.payload_json if self.binary else self._decoded()

    payload = property(_decoded_unless_binary, doc="What its JSON says; of a binary message all its bytes.")


class LeaveEvent(_Event):
    """A client has left a room."""

    __slots__ = ("disconnected", "room")
    hook: ClassVar[Hook] = Hook.LEAVE

    def __init__(self, caller: Caller, room: str, *, disconnected: bool = False) -> None:
        super().__init__(caller)
        self.room = room
        """The name of the room; `@me` for the user's own."""
        self.disconnected = disconnected
        """Whether it left because its connection ended."""


class DisconnectEvent(_Event):
    """A connection has ended."""

    __slots__ = ("by_client", "code", "reason", "seconds")
    hook: ClassVar[Hook] = Hook.DISCONNECT

    def __init__(self, caller: Caller, code: int, reason: str, *, by_client: bool, seconds: float) -> None:
        super().__init__(caller)
        self.code = code
        """The close code; 1006: the connection was lost."""
        self.reason = reason
        self.by_client = by_client
        """Whether the client closed it, or it was lost; else the gateway ended it."""
        self.seconds = seconds
        """How long it was open."""


class CallEvent(_Payload):
    """A client calls a method of the application."""

    __slots__ = ("method",)
    hook: ClassVar[Hook] = Hook.CALL

    def __init__(self, caller: Caller, method: str, payload: bytes, trace: TraceContext | None = None) -> None:
        """`payload`: JSON."""
        super().__init__(caller, payload, trace)
        self.method = method
        """What is called. The application decides which methods there are."""


HookEvent: TypeAlias = ConnectEvent | JoinEvent | BroadcastEvent | LeaveEvent | DisconnectEvent | CallEvent
