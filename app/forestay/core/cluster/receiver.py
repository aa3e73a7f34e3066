"""Receives what the bus delivers: control messages for the control channel, all others for the rooms."""

from collections.abc import Collection

from forestay.core.cluster.control import ControlChannel
from forestay.core.rooms.recovery import Recovery
from forestay.protocol.message import Kind, Message
from forestay.protocol.names import RoomName


class Receiver:
    """The Receiver that the bus is started with."""

    def __init__(self, recovery: Recovery, control: ControlChannel) -> None:
        self._recovery = recovery
        self._control = control

    def receive(self, message: Message) -> None:
        """A message has come."""
        if message.kind is Kind.PODS:
            self._control.receive(message)
        else:
            self._recovery.receive(message)

    def doubt(self, rooms: Collection[RoomName]) -> None:
        """Messages of `rooms` may be lost."""
        self._recovery.doubt(rooms)
