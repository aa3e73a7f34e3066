"""What a backend may do: speak to a room or a user, see a user's connections, and end them.

A backend is trusted with every room; whether a caller is one was decided before it got here.
"""

from app.core.connection import Connection
from app.core.policies import Policies
from app.core.ports import Page, Query
from app.core.publishing import Publisher
from app.core.reception import Reception
from app.protocol.codes import ENDINGS, CloseCode, ErrorCode, Refusal
from app.protocol.message import Message, Position
from app.protocol.names import RoomName, parse_room, personal_room
from app.protocol.trace import TraceContext


class Backend:
    def __init__(self, publisher: Publisher, reception: Reception, policies: Policies) -> None:
        self._policies = policies
        self._publisher = publisher
        self._reception = reception

    def room(self, text: str) -> RoomName:
        """The room called `text`. Raises Refusal with INVALID_ROOM."""
        name = parse_room(text)
        if name is None:
            raise Refusal(ErrorCode.INVALID_ROOM, "a room is 1 to 128 of A-Z a-z 0-9 _ . : -, a letter or digit first")
        return name

    def personal(self, user: str) -> RoomName:
        """The personal room of `user`, whose name need not fit the grammar of rooms."""
        return personal_room(user)

    async def publish(
        self,
        room: RoomName,
        payload: bytes,
        *,
        key: str | None = None,
        binary: bool = False,
        trace: TraceContext | None = None,
    ) -> Position | None:
        """Send JSON, or a whole binary frame, to everybody in `room`; where it stands once the bus has it.

        Raises Refusal.
        """
        message = Message(room, payload, self._publisher.stamp(), binary=binary, trace=trace)
        return await self._publisher.accepted(message, key)

    async def history(self, room: RoomName, query: Query) -> Page:
        """The past of `room`. Raises Refusal."""
        kept = self._policies.of(room).history
        if kept is None:
            raise Refusal(ErrorCode.FORBIDDEN, "this room has no history")
        return await self._publisher.history(room, query, kept)

    def connections(self, user: str) -> list[Connection]:
        """The connections of `user` on this pod, oldest first."""
        return self._reception.roster.of_user(user)

    def disconnect(self, user: str) -> int:
        """End the connections of `user` with 4403; how many there were."""
        connections = self.connections(user)
        for connection in connections:
            self._reception.end(connection, ENDINGS[CloseCode.REVOKED])
        return len(connections)
