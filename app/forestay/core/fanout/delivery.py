"""Queues messages from the bus for the members of their room, encoded once for each wire."""

from collections.abc import Sequence
from typing import Final

from forestay.core.fanout.connection import Connection
from forestay.core.fanout.hub import Hub
from forestay.core.fanout.passes import Passes
from forestay.core.fanout.rooms import Room, Rooms
from forestay.core.ports.runtime import Runtime
from forestay.protocol.message import Kind, Message
from forestay.protocol.names import RoomName
from forestay.protocol.position import Position
from forestay.protocol.replies import Resync
from forestay.protocol.wire import Wire

# A constant is quicker than a name of an Enum.
_BROADCAST: Final = Kind.BROADCAST


class Delivery:
    """Where a message from the bus meets the members of its room on this pod."""

    def __init__(self, runtime: Runtime, hub: Hub, rooms: Rooms, passes: Passes) -> None:
        self._perf = runtime.perf
        self._observer = runtime.observer
        self._traffic = runtime.traffic
        self._watching = runtime.watching
        self._hub = hub
        self._rooms = rooms
        self._passes = passes

    def deliver(self, message: Message) -> None:
        """Queue `message` for the members of its room."""
        room = self._rooms.get(message.room)
        if room is None:
            return
        plain = message.exclude is None and message.kind is _BROADCAST
        left_out = () if plain else self._left_out(room, message)
        recipients = 0
        encoder: Wire | None = None
        frame = b""
        for audience in room.audiences:
            if audience.encoder is not encoder:
                encoder = audience.encoder
                frame = encoder.message(message, traced=room.policy.trace)
            if not frame:
                continue
            recipients += len(audience.members)
            excluded = [one for one in left_out if one in audience.members] if left_out else ()
            if excluded:
                recipients -= len(excluded)
                audience.queue_except(frame, excluded)
            else:
                audience.queue(frame)
        position = message.position
        if position is not None:
            room.position = position
        if room.resuming is not None:
            room.resuming.delivered(message, left_out)
        self._passes.schedule(room)
        if recipients:
            self._traffic.deliveries += recipients
            room.arrivals.append((message, recipients, self._perf()))

    def resync(self, name: RoomName, reason: str, position: Position | None) -> None:
        """Tell the members of a room that messages are lost, why, and where live messages go on."""
        room = self._rooms.get(name)
        if room is None:
            return
        reply = Resync(name, reason, position)
        if self._watching.active:
            self._watching.resynced(reply)
        wire: Wire | None = None
        frame = b""
        for audience in room.audiences:
            if audience.wire is not wire:
                wire = audience.wire
                frame = wire.reply(reply)
            if frame:
                audience.queue(frame)
        if position is not None:
            room.position = position
        self._passes.schedule(room)
        if self._observer is not None:
            self._observer.resynced(name, reason, room.size, None)

    def _left_out(self, room: Room, message: Message) -> Sequence[Connection]:
        """The members that must not get `message`: its sender where it asked for that, or the user that it is about."""
        if message.kind is not Kind.BROADCAST and message.sender is not None:
            return [one for one in self._hub.of_user(message.sender) if room.name in one.rooms]
        if message.exclude is None:
            return ()
        one = self._hub.by_id(message.exclude)
        return () if one is None or room.name not in one.rooms or not one.is_left_out(message) else (one,)
