"""What is said on the wire, read and written: JSON in, the application's words out, and the other way round."""

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from forestay_client.errors import RefusedError, UnsendableError
from forestay_client.messages import BinaryMessage, HistoryPage, Joined, Member, Message, Position, PresencePage, Resync
from forestay_client.pace import Limits

if TYPE_CHECKING:
    from typing_extensions import Buffer  # the one of `collections.abc` is new in Python 3.12

type_header = struct.Struct("!I")

Sentence = Mapping[str, Any]

_ADDRESS: Final = re.compile("[OPX&]")
"""In the format of a buffer: an object or a pointer."""
_FIELD_NAME: Final = re.compile(":[^:]*:")

_LONGEST_KEY: Final = 128

_COST_OF_A_TOKEN: Final = 20
_PAGE: Final = 100
"""Entries of a page, where nobody says how many."""
_ENTRIES_FOR_ONE: Final = 50
"""So many entries of a page count as a message more."""

_ids = count(1)


def new_id() -> str:
    """A correlation id; unique in this process, so that no late answer meets another question."""
    return str(next(_ids))


def write(sentence: Mapping[str, object]) -> str:
    """A sentence as JSON, without the fields that are None.

    Raises UnsendableError for what JSON has no word for.
    """
    said = {name: value for name, value in sentence.items() if value is not None or name == "payload"}
    try:
        text = json.dumps(said, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except RecursionError:
        raise UnsendableError("too_deep", "too many nested lists and dicts") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise UnsendableError("bad_message", f"this is no JSON: {error}") from None
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UnsendableError("bad_message", "a text has an unpaired surrogate, which UTF-8 has no bytes for") from None
    return text


def cost_of(sentence: Mapping[str, object]) -> int:
    """How many cheap messages the gateway counts it as, as far as that can be known here."""
    match sentence["type"]:
        case "auth":
            return _COST_OF_A_TOKEN
        case "history" | "presence":
            limit = sentence.get("limit")
            return 1 + (limit if isinstance(limit, int) and limit > 0 else _PAGE) // _ENTRIES_FOR_ONE
        case _:
            return 1


def check_room(room: object) -> None:
    """Raises UnsendableError for a name that no gateway could be asked for."""
    if not isinstance(room, str):
        raise UnsendableError("invalid_room", f"the name of a room is a str, not {room.__class__.__name__}")
    write({"room": room})


def check_key(key: object) -> None:
    """Raises UnsendableError for what is no key."""
    if key is not None and not (isinstance(key, str) and 1 <= len(key) <= _LONGEST_KEY):
        raise UnsendableError("bad_message", f"a key is a str of 1 to {_LONGEST_KEY} characters")


def check_type(type: object) -> None:
    """Raises UnsendableError for what is no type of binary messages."""
    if not isinstance(type, int) or isinstance(type, bool) or not 0 <= type < 1 << 32:
        raise UnsendableError("bad_binary", "a type is a whole number from 0 to 4294967295")


def size_of(said: str | bytes) -> int:
    """The bytes of a message on the wire."""
    return len(said) if isinstance(said, bytes) or said.isascii() else len(said.encode())


def write_binary(type: int, data: "Buffer") -> bytes:
    """A binary message. Raises UnsendableError for what is no type, and TypeError for what is no buffer of bytes."""
    check_type(type)
    return type_header.pack(type) + _bytes_of(data)


def _bytes_of(data: "Buffer") -> bytes:
    """The bytes of any buffer, whatever the type and the order of its items."""
    try:
        view = memoryview(data)
    except (TypeError, ValueError, BufferError):
        raise TypeError(f"bytes or another buffer of bytes, not {data.__class__.__name__}") from None
    if _ADDRESS.search(_FIELD_NAME.sub("", view.format)):
        raise TypeError(f"bytes or another buffer of bytes, not {data.__class__.__name__} of objects or pointers")
    return view.tobytes()


def read(text: str) -> Sentence:
    """A sentence of the gateway's; an empty one where it is none, which nobody listens for."""
    try:
        sentence = json.loads(text)
    except ValueError:
        return {}
    return sentence if isinstance(sentence, dict) else {}


def read_binary(frame: bytes, rooms: Mapping[int, str]) -> BinaryMessage | None:
    if len(frame) < type_header.size:
        return None
    (type,) = type_header.unpack_from(frame)
    return BinaryMessage(type, frame[type_header.size :], rooms.get(type))


def position(fields: Sentence) -> Position | None:
    epoch, offset = fields.get("epoch"), fields.get("offset")
    return None if epoch is None or offset is None else Position(epoch, offset)


def place(where: Position | None) -> dict[str, object] | None:
    """A position as `since` and `before` take it."""
    return None if where is None else {"epoch": where.epoch, "offset": where.offset}


def payload(sentence: Sentence) -> Sentence:
    found = sentence.get("payload")
    return found if isinstance(found, dict) else {}


def message(sentence: Sentence) -> Message:
    return Message(
        room=sentence["room"],
        payload=sentence.get("payload"),
        sender=sentence.get("from"),
        timestamp=sentence.get("timestamp", ""),
        position=position(sentence),
        traceparent=sentence.get("traceparent"),
        event=sentence.get("event"),
    )


def joined(sentence: Sentence) -> Joined:
    said = payload(sentence)
    members = said.get("members")
    return Joined(
        room=sentence["room"],
        position=position(said),
        recovered=said.get("recovered"),
        members=None if members is None else presence(members),
    )


def resync(sentence: Sentence) -> Resync:
    said = payload(sentence)
    return Resync(sentence["room"], said.get("reason", ""), position(said))


def presence(said: Sentence) -> PresencePage:
    members = tuple(Member(each["user"], each["connections"], each.get("info")) for each in said["members"])
    return PresencePage(said["count"], said["users"], members, said.get("next"), said.get("degraded", False))


def history(room: str, said: Sentence) -> HistoryPage:
    epoch = said["epoch"]
    messages = tuple(message({**each, "room": room, "epoch": epoch}) for each in said["messages"])
    return HistoryPage(epoch, messages, said["more"])


def refusal(sentence: Sentence) -> RefusedError:
    said = payload(sentence)
    after = said.get("retry_after_ms")
    return RefusedError(
        str(said.get("code", "")),
        str(said.get("message", "")),
        after / 1000 if isinstance(after, int | float) else None,
        said.get("reason"),
    )


@dataclass(frozen=True, slots=True)
class Welcome:
    """The first thing that the gateway says on a connection; durations in seconds."""

    connection: str
    user: str
    ping_interval: float
    pong_timeout: float
    reconnect_spread: float
    limits: Limits


def welcome(sentence: Sentence) -> Welcome:
    said = payload(sentence)
    return Welcome(
        connection=said["connection"],
        user=said["user"],
        ping_interval=said["ping_interval_ms"] / 1000,
        pong_timeout=said["pong_timeout_ms"] / 1000,
        reconnect_spread=said["reconnect_spread_ms"] / 1000,
        limits=_limits(said.get("limits")),
    )


def _limits(said: object) -> Limits:
    """What is not said is no limit; an older gateway says no `burst`, and takes as much as its rate at once."""
    named = said if isinstance(said, dict) else {}
    given = {name: value for name, value in named.items() if isinstance(value, int | float) and value > 0}
    rate = given.get("rate", 0)
    return Limits(
        int(given.get("message_bytes", 0)),
        rate,
        given.get("burst", rate),
        given.get("bytes_rate", 0),
        int(given.get("rooms_per_join", 0)),
    )


@dataclass(frozen=True, slots=True)
class Notice:
    """A close is coming: from `after` on the next connection may be opened, `within` is when; seconds."""

    after: float
    within: float


def notice(sentence: Sentence) -> Notice:
    said = payload(sentence)
    return Notice(said["after_ms"] / 1000, said["within_ms"] / 1000)
