"""The Python client of Forestay: rooms over a WebSocket that survives deploys."""

from forestay_client.client import Client
from forestay_client.errors import (
    AddressError,
    DisconnectedError,
    ForestayError,
    RefusedError,
    TooLargeError,
    UnauthorizedError,
    UnknownOutcomeError,
    UnsendableError,
)
from forestay_client.messages import (
    BinaryMessage,
    ClientState,
    HistoryPage,
    Joined,
    Member,
    Message,
    Moved,
    Position,
    PresenceChange,
    PresencePage,
    Resync,
    RoomState,
    RoomStateChange,
    StateChange,
    Waiting,
)
from forestay_client.options import ClientOptions, Options
from forestay_client.room import Room

__version__ = "0.1.0"

__all__ = [
    "AddressError",
    "BinaryMessage",
    "Client",
    "ClientOptions",
    "ClientState",
    "DisconnectedError",
    "ForestayError",
    "HistoryPage",
    "Joined",
    "Member",
    "Message",
    "Moved",
    "Options",
    "Position",
    "PresenceChange",
    "PresencePage",
    "RefusedError",
    "Resync",
    "Room",
    "RoomState",
    "RoomStateChange",
    "StateChange",
    "TooLargeError",
    "UnauthorizedError",
    "UnknownOutcomeError",
    "UnsendableError",
    "Waiting",
]
