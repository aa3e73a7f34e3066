"""Writes a question as JSON: what the application is asked about, or told."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Final, assert_never

import msgspec
from msgspec import Raw

from forestay.core.ports.hook_events import (
    BroadcastEvent,
    CallEvent,
    ConnectEvent,
    DisconnectEvent,
    HookEvent,
    JoinEvent,
    LeaveEvent,
)

_encode: Final = msgspec.json.Encoder().encode


def encode_question(id: str, timestamp: str, event: HookEvent) -> bytes:
    """The body of a request. `timestamp`: RFC 3339, when it is asked."""
    caller = event.caller
    data: dict[str, object] = {"user": caller.user, "claims": Raw(caller.claims_json), "connection": caller.connection}
    data |= {"wire": caller.wire, **_about(event)}
    return _encode({"id": id, "type": event.hook, "timestamp": timestamp, "data": data})


def _about(event: HookEvent) -> Mapping[str, object]:
    """What events of one kind have."""
    about: dict[str, object]
    match event:
        case ConnectEvent():
            about = {"origin": event.origin, "address": event.address}
        case JoinEvent():
            about = {"room": event.room}
        case BroadcastEvent():
            about = {"room": event.room}
            if event.event is not None:
                about["event"] = event.event
            if event.binary:
                about["binary"] = b64encode(event.payload_json).decode()
            else:
                about["payload"] = Raw(event.payload_json)
        case LeaveEvent():
            about = {"room": event.room, "disconnected": event.disconnected}
        case DisconnectEvent():
            about = {"code": event.code, "reason": event.reason, "by_client": event.by_client}
            about["seconds"] = round(event.seconds, 3)
        case CallEvent():
            about = {"method": event.method, "payload": Raw(event.payload_json)}
        case _:
            assert_never(event)
    return about
