"""Lets connections into rooms and out again: the rooms, the bus's interest and the announcements move together."""

from collections.abc import Callable

from app.core.connection import Connection
from app.core.delivery import Delivery
from app.core.interest import Interest
from app.core.rooms import Room, Rooms
from app.protocol.names import RoomName


class Membership:
    def __init__(self, rooms: Rooms, interest: Interest, delivery: Delivery) -> None:
        self._rooms = rooms
        self._interest = interest
        self.delivery = delivery
        self.policies = rooms.policies

    def join(self, connection: Connection, name: RoomName, joined: Callable[[], None]) -> None:
        """Let `connection` into `name` once the bus is heard; `joined` is called just before its first message."""

        def enter() -> None:
            if connection.ended is not None:
                self._abandon(name)
                return
            joined()
            if name not in connection.rooms:
                self._enter(connection, name)

        self._interest.want(name, enter)

    def leave(self, connection: Connection, name: RoomName) -> None:
        """Take `connection` out of `name`; it gets at once what it is still owed."""
        room = self._rooms.get(name)
        if room is None:
            raise RuntimeError("a connection is in a room that does not exist")
        self.delivery.settle(connection, room)
        connection.rooms.discard(name)
        if connection.missed is not None:
            connection.missed.discard(name)
        self._remove(connection, room)

    def leave_all(self, connection: Connection) -> None:
        """Take a connection that is over out of every room; nothing more is written to it."""
        for name in connection.rooms:
            room = self._rooms.get(name)
            if room is not None:
                self._remove(connection, room)
        connection.rooms.clear()

    def _enter(self, connection: Connection, name: RoomName) -> None:
        room = self._rooms.enter(name)
        user = connection.identity.user
        if room.policy.join_leave and not room.knows(user):
            # Queued before the newcomer is in, so it reaches everybody but the one it is about.
            self.delivery.announce(room, "user-joined", {"user": user})
        room.add(connection)
        connection.rooms.add(name)

    def _remove(self, connection: Connection, room: Room) -> None:
        last_of_user = room.remove(connection)
        if not room.members:
            self._rooms.discard(room)
            self._interest.lose(room.name)
        elif last_of_user:
            self.delivery.announce(room, "user-left", {"user": connection.identity.user})

    def _abandon(self, name: RoomName) -> None:
        """Who wanted to join is gone; so is the pod's interest, unless somebody else is in the room."""
        if self._rooms.get(name) is None:
            self._interest.lose(name)
