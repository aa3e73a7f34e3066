"""What is said on the wire, read and written: JSON in, the application's words out, and the other way round."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from forestay_client.errors import RefusedError
from forestay_client.messages import BinaryMessage, HistoryPage, Joined, Member, Message, Position, PresencePage, Resync

type_header = struct.Struct("!I")

Sentence = Mapping[str, Any]

_ids = count(1)


def new_id() -> str:
    """A correlation id; unique in this process, so that no late answer meets another question."""
    return str(next(_ids))


def write(sentence: Mapping[str, object]) -> str:
    """A sentence as JSON, without the fields that are None.

    Raises ValueError or TypeError for what JSON has no word for.
    """
    said = {name: value for name, value in sentence.items() if value is not None or name == "payload"}
    text = json.dumps(said, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    text.encode()  # a lone surrogate is no UTF-8: the caller hears of it, and not the connection
    return text


def write_binary(type: int, data: bytes) -> bytes:
    return type_header.pack(type) + data


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
    return PresencePage(said["count"], said["users"], members, said.get("next"))


def history(room: str, said: Sentence) -> HistoryPage:
    epoch = said["epoch"]
    messages = tuple(message({**each, "room": room, "epoch": epoch}) for each in said["messages"])
    return HistoryPage(epoch, messages, said["more"])


def refusal(sentence: Sentence) -> RefusedError:
    said = payload(sentence)
    after = said.get("retry_after_ms")
    return RefusedError(
        str(said.get("code", "")), str(said.get("message", "")), None if after is None else float(after) / 1000
    )


@dataclass(frozen=True, slots=True)
class Welcome:
    """The first thing that the gateway says on a connection; durations in seconds."""

    connection: str
    user: str
    ping_interval: float
    pong_timeout: float
    reconnect_spread: float


def welcome(sentence: Sentence) -> Welcome:
    said = payload(sentence)
    return Welcome(
        connection=said["connection"],
        user=said["user"],
        ping_interval=said["ping_interval_ms"] / 1000,
        pong_timeout=said["pong_timeout_ms"] / 1000,
        reconnect_spread=said["reconnect_spread_ms"] / 1000,
    )


@dataclass(frozen=True, slots=True)
class Notice:
    """A close is coming: from `after` on the next connection may be opened, `within` is when; seconds."""

    after: float
    within: float


def notice(sentence: Sentence) -> Notice:
    said = payload(sentence)
    return Notice(said["after_ms"] / 1000, said["within_ms"] / 1000)
