"""The Transport of one namespace of a client: all of them share the session of the client."""

from collections.abc import Callable, Mapping

from forestay.core.fanout.connection import Connection
from forestay.edge.socketio.client import SocketioClient
from forestay.edge.websocket.outlet import Outlet
from forestay.protocol.codes import Ending
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from forestay.protocol.socketio.wire import STOPS, SocketioWire


class NamespaceTransport:
    """Writes for one namespace. Until the client is let in, what is written waits."""

    __slots__ = ("_client", "_closing", "_held", "buffered", "connection", "pid", "wire", "write")

    def __init__(self, client: SocketioClient, wire: SocketioWire, pid: str) -> None:
        """`pid`: the secret by which the client can recover."""
        self._client = client
        self._closing = False
        self._held: list[bytes] | None = []
        self.wire = wire
        self.pid = pid
        self.connection: Connection | None = None
        """Whose transport this is. Written by Connecting, as soon as it is there."""
        self.write: Callable[[bytes], None] = self._held.append
        self.buffered: Callable[[], int] = self._waiting

    @property
    def outlet(self) -> Outlet | None:
        """What `write` writes to as it is, so that GroupWrites can do it; None while there is none."""
        return self._client.session.outlet if self._held is None else None

    def tail(self, positions: Mapping[RoomName, Position], /) -> bytes:
        """The event that tells the client its positions, where a recovery by them would lead into all of its rooms."""
        rooms = 0 if self.connection is None else len(self.connection.rooms)
        return self.wire.position(self.pid, positions if len(positions) == rooms else {})

    def closed(self) -> bool:
        return self._closing or self._client.session.closed()

    def hold_reading(self) -> None:
        self._client.session.hold_reading()

    def close(self, ending: Ending) -> None:
        """End the client in this namespace where it must not come back, and otherwise its whole session.

        A stock client that is told to leave a namespace does not come back to it, and after all else it does. Nothing
        is told to a client that has ended it itself.
        """
        if self._closing:
            return
        self._closing = True
        if ending.by_client:
            return
        client, wire = self._client, self.wire
        if ending.code not in STOPS or client.gone():
            client.close(ending)
            return
        client.session.write(wire.left() if self._held is None else wire.refused(ending.reason, ending.code))
        client.expel(wire.namespace, ending)

    def drop_held(self) -> None:
        """Forget what waits."""
        if self._held:
            self._held.clear()

    def release(self, first: bytes, last: bytes) -> None:
        """Write `first`, what waits, and `last`. From now on all is written at once."""
        session, held = self._client.session, self._held or ()
        session.write(b"".join([first, *held, last]))
        self._held = None
        self.write = session.write
        self.buffered = session.buffered

    def _waiting(self) -> int:
        return sum(map(len, self._held or ())) + self._client.session.buffered()
