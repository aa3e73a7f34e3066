"""The rooms of one client on its streams: asked for, joined, and each message of two streams once.

This module has no loop, clock or socket.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from forestay_client import paths, sentences
from forestay_client.line import Line
from forestay_client.messages import Position
from forestay_client.repeats import Repeats
from forestay_client.sentences import Sentence

_MOST: Final = 100
_LONGEST: Final = 7000
"""Rooms that a stream may have, and characters that servers and proxies take as its address."""

NEEDS_WEBSOCKET: Final = {"code": "needs_websocket", "message": "binary messages need a WebSocket"}
_TOO_MANY: Final = {"code": "too_many_rooms", "message": "a stream can name no more rooms"}


@dataclass(slots=True)
class _Room:
    """A room that is wanted."""

    position: Position | None
    asked: str | None
    """The id of the `join` that is not answered yet."""


class StreamRooms:
    def __init__(self, url: str, tell: Callable[[Sentence], None]) -> None:
        """`tell`: called with what the connection is to hear."""
        self._url = url
        self._tell = tell
        self._rooms: dict[str, _Room] = {}
        self._repeats = Repeats()

    @property
    def positions(self) -> Mapping[str, Position | None]:
        """Those of the rooms that a stream should have."""
        return {name: room.position for name, room in self._rooms.items()}

    @property
    def asked(self) -> bool:
        """Whether a `join` is not answered yet."""
        return any(room.asked is not None for room in self._rooms.values())

    def dense(self, line: Line) -> bool:
        """Whether each room that a stream has is one with positions."""
        return all(room.position is not None for name, room in self._rooms.items() if name in line.rooms)

    def join(self, id: str, asked: Mapping[str, Any]) -> bool:
        """Want a room; whether there is place for it."""
        room, since = asked["room"], sentences.position(asked.get("since") or {})
        if not self._fits(room):
            self.refuse(id, room, _TOO_MANY)
            return False
        self._rooms[room] = _Room(since, id)
        return True

    def _fits(self, room: str) -> bool:
        """Whether the next stream can have this room too."""
        names = [*self._rooms, room]
        return len(names) <= _MOST and len(paths.stream(self._url, names)) <= _LONGEST

    def put_in(self, line: Line, said: Sentence, *, newest: bool) -> bool:
        """A backend has put us into a room that the stream's address does not have.

        `newest`: whether there is no stream after this one. Returns whether one has to be opened, to keep the room.
        """
        name = said["room"]
        if line.anchored and name == paths.ANCHOR:
            return False
        room, position = self._rooms.get(name), sentences.position(sentences.payload(said))
        if room is None:
            if not self._fits(name):
                self._tell({"type": "error", "room": name, "payload": _TOO_MANY})
                return False
            self._rooms[name] = _Room(position, None)
            line.rooms.add(name)
            self._tell(said)
            return not newest
        if room.position is None:
            line.rooms.add(name)
        # Behind its own position the next stream has it without a gap.
        return newest and name not in line.rooms

    def leave(self, room: str) -> None:
        self._rooms.pop(room, None)

    def refuse(self, id: str, room: str, payload: Mapping[str, object]) -> None:
        """Answer something that was asked about a room."""
        self._tell({"type": "error", "room": room, "id": id, "payload": payload})

    def refuse_asked(self, payload: Mapping[str, object]) -> None:
        """No room is joined that is asked for."""
        for name, room in list(self._rooms.items()):
            if room.asked is not None:
                del self._rooms[name]
                self.refuse(room.asked, name, payload)

    def changing(self) -> None:
        """A second stream is opened. What one before has told may have been on its way here up to now."""
        self._repeats = Repeats()

    def answer(self, line: Line, said: Sentence, *, gap: bool) -> float | None:
        """Take in what a stream answers for a room of its address; seconds to wait where it cannot have the room now.

        `gap`: whether the stream before has ended already.
        """
        name = said["room"]
        room = self._rooms.get(name)
        if room is None or name not in line.rooms:
            return None  # It was left meanwhile.
        if said["type"] == "error":
            return self._refused(line, name, room, sentences.payload(said))
        self._joined(name, room, dict(sentences.payload(said)), gap=gap)
        return None

    def hear(self, line: Line, said: Sentence, *, alone: bool) -> None:
        """Take in what a stream said in a room. `alone`: whether there is no other stream."""
        room = self._rooms.get(said["room"])
        if room is not None and said["room"] in line.rooms and room.asked is None:
            self._pass_on(line, room, said, alone=alone)

    def _joined(self, name: str, room: _Room, payload: dict[str, Any], *, gap: bool) -> None:
        if room.position is None:
            # Whether anything is missing is a question only where there was a position.
            payload.pop("recovered", None)
        recovered = payload.get("recovered")
        if not recovered:
            room.position = sentences.position(payload)
        id, room.asked = room.asked, None
        if id is not None:
            self._tell({"type": "joined", "room": name, "id": id, "payload": payload})
        elif not recovered and (gap or room.position is not None):
            where = sentences.place(room.position) or {}
            reason = "missed" if room.position is None else "lost"
            self._tell({"type": "resync", "room": name, "payload": {"reason": reason, **where}})

    def _refused(self, line: Line, name: str, room: _Room, payload: Sentence) -> float | None:
        if room.asked is None and (wait := payload.get("retry_after_ms")):
            return float(wait) / 1000
        del self._rooms[name]
        line.rooms.discard(name)
        if room.asked is not None:
            self.refuse(room.asked, name, payload)
        else:
            self._tell({"type": "left", "room": name, "payload": {"reason": payload.get("code", "")}})
        return None

    def _pass_on(self, line: Line, room: _Room, said: Sentence, *, alone: bool) -> None:
        if said["type"] == "left":
            self.leave(said["room"])
        there = sentences.position(sentences.payload(said) if said["type"] == "resync" else said)
        here = room.position
        if there is None:
            if self._repeats.took(line, sentences.message(said), alone=alone):
                return
        elif here is not None and here.epoch == there.epoch and here.offset >= there.offset:
            return
        else:
            room.position = there
        self._tell(said)
