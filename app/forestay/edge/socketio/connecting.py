"""Lets clients into the namespaces of the gateway: each namespace of a client is one connection of the core.

CONNECT brings the token. A refusal that waiting cannot change is a CONNECT_ERROR with its code, after which stock
clients stop. Where the gateway cannot decide now, the session ends without an answer after a while, and they come back.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog
from msgspec import Raw

from forestay.core.fanout.connection import Connection
from forestay.core.ports.verifier import Ticket
from forestay.core.rules.access import Identity
from forestay.core.sessions.dispatcher import Dispatcher
from forestay.core.sessions.rejoining import Rejoining
from forestay.core.sessions.sessions import Sessions
from forestay.edge.handshake.connect_hook import UNASKED, ConnectHook, Entry, Origin
from forestay.edge.handshake.refused import Refused
from forestay.edge.log_throttle import LogThrottle
from forestay.edge.socketio.client import SocketioClient
from forestay.edge.socketio.member import ConnectedMember
from forestay.edge.socketio.transport import NamespaceTransport
from forestay.protocol.codes import ABNORMAL_CLOSURE, ENDINGS, CloseCode, Ending, ErrorCode, Refusal
from forestay.protocol.names import PERSONAL, RoomName, parse_room, personal_room, shown
from forestay.protocol.position import Position
from forestay.protocol.socketio import positions
from forestay.protocol.socketio.reader import Reader
from forestay.protocol.socketio.wire import SocketioWire

log = structlog.get_logger(__name__)

# Seconds that a client waits where the gateway cannot decide. A stock client comes back a second after it was closed,
# and has no back-off where its session was opened, so the wait is here.
_SHORTEST_WAIT: Final = 1.0
_LONGEST_WAIT: Final = 5.0

# What each entry but the first costs, in cheap messages: its token has a signature to verify.
_ENTRY: Final = 20.0

_NO_TOKEN: Final = (
    "there is no token, or an empty one; connect with auth: {token}, or send 'Authorization: Bearer <token>' with the "
    "first request"
)
_GONE: Final = Ending(ABNORMAL_CLOSURE, "the client has gone while it was let in", by_client=True)

_decode_text = msgspec.json.Decoder(str).decode


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace, the same for all clients."""

    wire: SocketioWire
    reader: Reader
    rooms: Sequence[str] = ()
    """Room names, and `@me`, of the rooms that each client joins when it enters."""


@dataclass(frozen=True, slots=True)
class CoreParts:
    """The parts of the core that a client in a namespace uses."""

    sessions: Sessions
    rejoining: Rejoining
    dispatcher: Dispatcher
    hook: ConnectHook | None = None
    """Asks the application who may connect; None where it is not asked."""


@dataclass(frozen=True, slots=True)
class Randomness:
    """Random numbers of these parts."""

    secret: Callable[[], str]
    """Makes a text of A-Z a-z 0-9 _ - that cannot be guessed, of 96 bits at least."""
    uniform: Callable[[float, float], float]


class Connecting:
    """The Application that leads into the rooms of the gateway."""

    def __init__(self, namespaces: Mapping[str, Namespace], parts: CoreParts, randomness: Randomness) -> None:
        """`namespaces`: by path."""
        self._namespaces = namespaces
        self._parts = parts
        self._randomness = randomness
        self._refused = LogThrottle("Socket.IO clients refused")

    def has(self, namespace: str) -> bool:
        """See Application.has."""
        return namespace in self._namespaces

    async def enter(self, client: SocketioClient, namespace: str, auth: Mapping[str, Raw]) -> None:
        """See Application.enter."""
        admitted = await self._admit(client, namespace, auth)
        if admitted is None or client.gone():
            return
        identity, entry = admitted
        space = self._namespaces[namespace]
        transport = NamespaceTransport(client, space.wire, self._randomness.secret())
        connection = await self._parts.sessions.start(identity, transport, client.bucket, entry.connection)
        if connection.ended is not None:
            client.session.write(space.wire.refused(connection.ended.reason, connection.ended.code))
            return
        if client.gone():
            self._parts.sessions.lost(connection, _GONE)
            return
        if client.bucket is None:
            client.bucket = connection.bucket
        else:
            client.bucket.charge(_ENTRY)
        transport.connection = connection
        parts = self._parts
        client.add(namespace, ConnectedMember(connection, transport, parts.sessions, parts.dispatcher, space.reader))
        recovered = await self._recover(connection, transport, _texts(auth))
        if not recovered and space.rooms:
            await self._join(connection, space.rooms)
        if not transport.closed():
            self._greet(client, connection, transport, recovered=recovered)
            if parts.hook is not None:
                parts.hook.enter(connection, entry)

    async def _admit(
        self, client: SocketioClient, namespace: str, auth: Mapping[str, Raw]
    ) -> tuple[Identity, Entry] | None:
        """Who the client is, and its entry; None where it is refused, or was told nothing and has to come back."""
        space = self._namespaces[namespace]
        try:
            identity = await client.session.admit(_shown(_texts(auth), client.origin.token))
            hook = self._parts.hook
            if hook is None:
                return identity, UNASKED
            origin = Origin(space.wire.name, client.origin.page, client.origin.address)
            return identity, await hook.ask(identity, origin)
        except Refused as refused:
            self._refused.count(str(refused.refusal.code), f"{refused} (client {client.origin.address})")
            log.debug(
                "Socket.IO client refused",
                client=client.origin.address,
                namespace=namespace,
                code=refused.refusal.code,
                reason=str(refused),
            )
            if refused.refusal.code is ErrorCode.UNAVAILABLE:
                await asyncio.sleep(self._randomness.uniform(_SHORTEST_WAIT, _LONGEST_WAIT))
                client.close(ENDINGS[CloseCode.TRY_AGAIN_LATER])
            else:
                client.session.write(space.wire.refused_because(refused.refusal))
            return None

    async def _recover(self, connection: Connection, transport: NamespaceTransport, auth: Mapping[str, str]) -> bool:
        """Bring the client back into the rooms that it was in, where it names them. Whether it missed nothing."""
        pid = auth.get("pid", "")
        since = _rooms(positions.read(pid, auth.get("offset", "")), connection.identity.user)
        if since is None:
            return False
        given, transport.pid = transport.pid, pid
        if await self._parts.rejoining.rejoin(connection, since):
            return True
        # Nothing of it reaches the client, which learns from another secret that it has to start again.
        transport.drop_held()
        transport.pid = given
        return False

    async def _join(self, connection: Connection, names: Sequence[str]) -> None:
        user = connection.identity.user
        rooms = [personal_room(user) if name == PERSONAL else RoomName(name) for name in names]
        for room, refusal in (await self._parts.rejoining.enter(connection, rooms)).items():
            log.debug("not joined", connection=connection.id, room=shown(room), reason=refusal.message)

    def _greet(
        self, client: SocketioClient, connection: Connection, transport: NamespaceTransport, *, recovered: bool
    ) -> None:
        """Let the client in: missed messages come before CONNECT, and messages of other rooms after it."""
        self._parts.sessions.greet(connection)
        words = self._parts.sessions.first_words(connection)
        entered = transport.wire.entered(connection.id, transport.pid)
        if recovered:
            transport.release(b"", words + entered)
        else:
            transport.release(entered, words)
        client.session.served(served=True)


def _shown(texts: Mapping[str, str], token: str | None) -> str | Ticket:
    """What the client shows. `token`: that of its first request. Raises Refused."""
    if "ticket" in texts and "token" not in texts:
        return Ticket(texts["ticket"])
    shown = texts.get("token") or token
    if not shown:
        raise Refused(401, Refusal(ErrorCode.BAD_TOKEN, _NO_TOKEN))
    return shown


def _texts(auth: Mapping[str, Raw]) -> dict[str, str]:
    """The token, the ticket, the secret and the positions in `auth`, those that are there."""
    found: dict[str, str] = {}
    for name in ("token", "ticket", "pid", "offset"):
        if name in auth:
            try:
                found[name] = _decode_text(auth[name])
            except msgspec.DecodeError:
                pass
    return found


def _rooms(named: Mapping[str, Position] | None, user: str) -> dict[RoomName, Position] | None:
    """The positions by room; None where a name is none."""
    if named is None:
        return None
    found: dict[RoomName, Position] = {}
    for name, position in named.items():
        room = personal_room(user) if name == PERSONAL else parse_room(name)
        if room is None:
            return None
        found[room] = position
    return found
