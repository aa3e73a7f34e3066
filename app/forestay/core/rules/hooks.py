"""Names the hooks: what the application is asked about before it happens, and what it is told of."""

from enum import StrEnum
from typing import Final


class Hook(StrEnum):
    """What a hook is about."""

    CONNECT = "connect"
    JOIN = "join"
    BROADCAST = "broadcast"
    LEAVE = "leave"
    DISCONNECT = "disconnect"
    CALL = "call"


OF_ROOMS: Final = (Hook.JOIN, Hook.BROADCAST, Hook.LEAVE)
"""Those that the policy of a room asks for."""

OF_CONNECTIONS: Final = (Hook.CONNECT, Hook.CALL, Hook.DISCONNECT)
"""Those that a setting asks for, for all connections."""

TOLD: Final = frozenset({Hook.LEAVE, Hook.DISCONNECT})
"""Those that are told after they have happened. No answer changes them."""
