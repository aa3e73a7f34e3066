"""Reads what the application answers: a decision that the core carries out, or a failure where it is no such answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Raw

from forestay.core.ports.hook_events import BroadcastEvent, HookEvent
from forestay.core.ports.hooks import ANSWERS, Allow, HookFailed, Refuse, Replace, Result, explained
from forestay.core.rules.hooks import Hook
from forestay.protocol.codes import ErrorCode, Refusal
from forestay.protocol.depth import deeper_than
from forestay.protocol.events import check_event
from forestay.protocol.names import PERSONAL, RoomName, parse_room, personal_room

# Bytes of the type with which a binary message begins.
_TYPE_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class AnswerBounds:
    """What an answer may have."""

    payload: int
    """Bytes of a payload."""
    depth: int
    """Nested arrays and objects in it."""
    rooms: int
    """Rooms that a client is put into when it connects."""


class Decision:
    """What the core does after it has asked."""

    __slots__ = ("payload", "refusal", "rooms")

    def __init__(
        self, refusal: Refusal | None = None, payload: bytes | None = None, rooms: Sequence[RoomName] = ()
    ) -> None:
        self.refusal = refusal
        """Why it does not happen; None where it does."""
        self.payload = payload
        """What a message says in place of its own payload, or what a call is answered, as JSON or binary."""
        self.rooms = rooms
        """Rooms that a client is put into when it connects."""


ALLOWED: Final = Decision()


def decide(event: HookEvent, answer: object, bounds: AnswerBounds) -> Decision:
    """What `answer` to `event` means. Raises HookFailed where it is no answer to this hook."""
    try:
        # By far the most frequent one.
        if type(answer) is Allow and not answer.rooms and event.hook is not Hook.CALL:
            return ALLOWED
        return _decided(event, answer, bounds)
    except HookFailed:
        raise
    except BaseException as error:
        # The answer is an object of the application, so what reads it may run code of the application.
        raise HookFailed("bad_answer", f"the answer cannot be read: {explained(error)}") from error


def _decided(event: HookEvent, answer: object, bounds: AnswerBounds) -> Decision:
    hook = event.hook
    if not isinstance(answer, ANSWERS[hook]):
        expected = " or ".join(kind.__name__ for kind in ANSWERS[hook])
        raise HookFailed("bad_answer", f"the answer is {_said(answer)}; {hook} takes {expected}")
    if isinstance(answer, Refuse):
        # Checked once more: a class that is derived from it, or a later change, may say what it must not.
        said = Refuse(_plain(answer.code), _plain(answer.message))
        return Decision(Refusal(ErrorCode.REFUSED_BY_APPLICATION, said.message, reason=said.code))
    if isinstance(answer, Replace) and isinstance(event, BroadcastEvent):
        return Decision(payload=_replacement(event, answer.payload, bounds))
    if isinstance(answer, Result):
        return Decision(payload=_json(answer.payload, bounds))
    return _allowed(event, answer, bounds)


def _allowed(event: HookEvent, answer: object, bounds: AnswerBounds) -> Decision:
    given = answer.rooms if isinstance(answer, Allow) else ()
    if not given:
        return ALLOWED
    if event.hook is not Hook.CONNECT:
        raise HookFailed("bad_answer", f"Allow has rooms, and {event.hook} takes none")
    if isinstance(given, str | bytes) or not isinstance(given, Sequence):
        raise HookFailed("bad_answer", f"the rooms of Allow are {_said(given)}, and not a list of names")
    if len(given) > bounds.rooms:
        raise HookFailed("bad_answer", f"{len(given)} rooms; a connection may be in {bounds.rooms}")
    return Decision(rooms=list(dict.fromkeys([_room(name, event.user) for name in given])))


def _room(name: object, user: str) -> RoomName:
    room = None
    if isinstance(name, str):
        plain = _plain(name)
        room = personal_room(user) if plain == PERSONAL else parse_room(plain)
    if room is None:
        raise HookFailed("bad_answer", "one of the rooms of Allow has no name of a room")
    return room


def _replacement(event: BroadcastEvent, payload: object, bounds: AnswerBounds) -> bytes:
    if event.binary:
        return _binary(payload, bounds)
    data = _json(payload, bounds)
    if event.event is not None:
        try:
            check_event(event.event, data, by_client=False)
        except Refusal as refusal:
            raise HookFailed("bad_answer", f"the new payload: {refusal.message}") from None
    return data


def _binary(payload: object, bounds: AnswerBounds) -> bytes:
    if not isinstance(payload, bytes) or len(payload) < _TYPE_BYTES:
        raise HookFailed("bad_answer", "a binary message is replaced by bytes: its type in four, and any others")
    return _fitting(payload, bounds)


def _json(payload: object, bounds: AnswerBounds) -> bytes:
    if isinstance(payload, bytes | bytearray | memoryview):
        raise HookFailed("bad_answer", "the payload is bytes; give what its JSON says, or finished JSON as msgspec.Raw")
    try:
        # A Raw goes through as it is, so it is read.
        data = bytes(payload) if isinstance(payload, Raw) else msgspec.json.encode(payload)
        if not deeper_than(data, bounds.depth):
            if isinstance(payload, Raw):
                msgspec.json.decode(data)
            return _fitting(data, bounds)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise HookFailed("bad_answer", f"the payload is no JSON: {explained(error)}") from None
    raise HookFailed("bad_answer", f"the payload nests deeper than {bounds.depth} arrays and objects")


def _fitting(data: bytes, bounds: AnswerBounds) -> bytes:
    if len(data) > bounds.payload:
        raise HookFailed("too_large", f"the payload has {len(data)} bytes, and a message has at most {bounds.payload}")
    return data


def _plain(text: str) -> str:
    """The characters of `text`, which may be an enumeration or another class of the application. Raises TypeError."""
    return str.__str__(text)


def _said(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"
