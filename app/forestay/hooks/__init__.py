"""The application's own rules in Python: the events that a module of hooks gets, and the answers that it gives."""

from forestay.core.ports.hook_events import (
    BroadcastEvent,
    Caller,
    CallEvent,
    ConnectEvent,
    DisconnectEvent,
    JoinEvent,
    LeaveEvent,
)
from forestay.core.ports.hooks import Allow, Refuse, Replace, Result

__all__ = (
    "Allow",
    "BroadcastEvent",
    "CallEvent",
    "Caller",
    "ConnectEvent",
    "DisconnectEvent",
    "JoinEvent",
    "LeaveEvent",
    "Refuse",
    "Replace",
    "Result",
)
