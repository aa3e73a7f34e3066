"""Says what became of a publish, from the reply of Redis."""

from typing import Final

from forestay.bus.redis.client.command import ErrorReply, Failure
from forestay.core.ports.bus import Cause, Outcome, Settlement
from forestay.protocol.position import Position

_REFUSED: Final = Settlement(Outcome.REFUSED)
_FULL: Final = Settlement(Outcome.REFUSED, cause=Cause.FULL)
_NEW_ROOM: Final = Settlement(Outcome.REFUSED, cause=Cause.NEW_ROOM)
_KEY_REUSED: Final = Settlement(Outcome.REFUSED, cause=Cause.KEY_REUSED)
_UNKNOWN: Final = Settlement(Outcome.UNKNOWN)
_ACCEPTED: Final = Settlement(Outcome.ACCEPTED)


def settlement(reply: object) -> Settlement:
    """The outcome of a publish. An ErrorReply is a refusal: a script that fails half-way is a Failure."""
    match reply:
        case int():
            return _ACCEPTED
        case [b"", int() as why]:
            return _KEY_REUSED if why else _NEW_ROOM
        case [bytes() as epoch, int() as offset]:
            return Settlement(Outcome.ACCEPTED, Position(epoch.decode(), offset))
        case Failure.UNKNOWN:
            return _UNKNOWN
        case ErrorReply(full=True):
            return _FULL
        case _:
            return _REFUSED
