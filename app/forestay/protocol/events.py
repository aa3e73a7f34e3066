"""The grammar of events, which are messages with a name and a JSON array of arguments, and of the methods of calls.

Stock Socket.IO clients close their connection when a server sends them one of their own event names. So no publisher
may use these, whichever wire it comes from.
"""

import re
from typing import Final

import msgspec
from msgspec import Raw, Struct

from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.names import RoomName

LONGEST: Final = 128
"""Characters of an event's name."""

MOST_ARGUMENTS: Final = 10_000
"""Arguments of one event. A call of JavaScript fails with more than about 65,000, and can end a Node process."""

RESERVED: Final = frozenset(
    {
        *("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"),
        # In python-socketio: the handlers for all events, which take the first argument for the name, and for the end.
        *("*", "__disconnect_final"),
    }
)
"""Names that Socket.IO clients use themselves."""

OURS: Final = "forestay:"
"""What the names begin with that only the gateway sends."""

SPOKEN: Final = frozenset({"message", "user-joined", "user-left", "error", "left", "resync"})
"""Names under which the gateway itself tells Socket.IO clients something, such as who sent a message.

Clients may not use these, or one could speak as another. A backend may, and a rule of the operator.
"""


class Emission(Struct, frozen=True):
    """What becomes of an event of a Socket.IO client, as a rule of the operator says."""

    room: RoomName
    event: str
    """The name under which it goes out."""
    echo: bool | None
    """Whether the sender gets it too; None means that the room's policy decides."""


class Asking(Struct, frozen=True):
    """The same where the rule says that the application is asked."""

    method: str


_decode_list = msgspec.json.Decoder(list[Raw]).decode

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]").search


def fault_of_name(event: str) -> str | None:
    """What is wrong with `event` as a name of an event, in words; None where nothing is."""
    if not 1 <= len(event) <= LONGEST:
        return f"an event's name has 1 to {LONGEST} characters, and this one has {len(event)}"
    if _CONTROL(event):
        return "an event's name has no control characters"
    if event in RESERVED or event.startswith(OURS):
        return f"{event!r} is a reserved name of an event; choose another one"
    return None


def fault_of_method(method: str) -> str | None:
    """What is wrong with `method` as the name of what a call asks for, in words; None where nothing is.

    The names of events of Socket.IO clients are right.
    """
    if not 1 <= len(method) <= LONGEST:
        return f"the method of a call has 1 to {LONGEST} characters, and this one has {len(method)}"
    return "the method of a call has no control characters" if _CONTROL(method) else None


def check_method(method: str) -> None:
    """Raises Refusal where `method` is no name of what a call asks for."""
    fault = fault_of_method(method)
    if fault is not None:
        raise Refusal(ErrorCode.BAD_MESSAGE, fault)


def check_event(event: str, payload: bytes, *, by_client: bool) -> None:
    """Raises Refusal unless `payload`, which is JSON, can be sent as the event `event`.

    `by_client`: a client chose the name, and no rule of the operator.
    """
    fault = fault_of_name(event)
    if fault is None and by_client and event in SPOKEN:
        fault = f"only the gateway sends the event {event!r} to Socket.IO clients; choose another name"
    if fault is None and payload[:1] != b"[":
        fault = "the payload of an event is an array, its arguments: send [payload]"
    if fault is None and _has_too_many(payload):
        fault = f"an event has at most {MOST_ARGUMENTS} arguments; send them as one array: [[...]]"
    if fault is not None:
        raise Refusal(ErrorCode.BAD_MESSAGE, fault)


def _has_too_many(payload: bytes) -> bool:
    """Whether `payload` has too many arguments. No, where it is no JSON: that is for others to find."""
    # For nearly every payload, this count is all.
    if payload.count(b",") < MOST_ARGUMENTS:
        return False
    try:
        return len(_decode_list(payload)) > MOST_ARGUMENTS
    except (msgspec.DecodeError, RecursionError):
        return False
