"""A room as the client wants it: joined on each connection there is, in one stream without repeats.

While the client moves, a room is joined on two connections. In a room with history either of them brings every message
behind the position at which it began, in order; so whatever is behind the last message seen is the next one, whoever
brings it first, and the rest are repeats. This module has no loop, clock or socket.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from forestay_client import sentences
from forestay_client.backoff import Backoff
from forestay_client.codes import PASSING
from forestay_client.errors import RefusedError
from forestay_client.messages import Joined, Message, Position, PresenceChange, Resync, RoomState, RoomStateChange
from forestay_client.repeats import Repeats
from forestay_client.sentences import Sentence

HELD = 1000
"""Messages that may wait for the connection before to catch up."""


class Line(Protocol):
    """A connection, as far as a room has to do with it."""

    def say(self, **sentence: object) -> str:
        """Say something; the id that its answer will have, which is heard like everything else."""

    def ask(self, **sentence: object) -> Awaitable[Sentence]:
        """Say something; the answer, which is not heard."""


class _Entry:
    """The room on one connection."""

    def __init__(self, backoff: Backoff, settled: Callable[[], None]) -> None:
        self.backoff = backoff
        self.settled = settled
        """Called when there is nothing to wait for here: joined and caught up, refused, or lost."""
        self.id = ""
        self.joined = False
        self.answer = Joined("")
        self.until: Position | None = None
        """It has caught up when everything up to here was heard."""
        self.held: list[Message] | None = None
        """Live starts further on than we are, and the connection before has to bring what is in between."""


class Membership:
    """What the room's application hears, from what its connections say. `tell` takes an event and its value."""

    def __init__(
        self,
        room: str,
        tell: Callable[[str, object], None],
        later: Callable[[float, Callable[[], None]], object],
        backoff: Callable[[], Backoff],
    ) -> None:
        self._room = room
        self._tell = tell
        self._later = later
        self._backoff = backoff
        self._entries: dict[Line, _Entry] = {}
        self._repeats: Repeats | None = None
        """While the room moves."""
        self._seen_before = False
        self.state = RoomState.LEFT
        self.position: Position | None = None

    def want(self) -> None:
        """From now on the room is to be joined."""
        if self.state is RoomState.LEFT:
            self._change(RoomState.JOINING)

    def enter(self, line: Line, settled: Callable[[], None] = lambda: None) -> None:
        """Join on a connection, unless the room is not wanted or that is under way already."""
        if self.state is RoomState.LEFT or line in self._entries:
            settled()
            return
        self._entries[line] = _Entry(self._backoff(), settled)
        if self.state is RoomState.JOINED and self._repeats is None:
            self._repeats = Repeats()
        self._join(line)

    def leave(self, code: str | None = None, reason: str = "") -> list[Awaitable[Sentence]]:
        """Be out, and hear no more of the room; the answers of those that had to be told."""
        if self.state is RoomState.LEFT:
            return []
        entries, self._entries = self._entries, {}
        self.position, self._seen_before = None, False
        for entry in entries.values():
            entry.settled()
        self._change(RoomState.LEFT, code, reason)
        return [line.ask(type="leave", room=self._room) for line in entries]

    def lost(self, line: Line, code: int | str | None, reason: str) -> None:
        """A connection is over."""
        entry = self._entries.pop(line, None)
        if entry is None:
            return
        entry.settled()
        for other in list(self._entries.values()):
            if other.held is not None:
                self._give_up(other, other.answer)
        if self.state is RoomState.JOINED and not any(other.joined for other in self._entries.values()):
            self._change(RoomState.JOINING, code, reason)

    def overlaps(self, one: Line, other: Line) -> bool:
        """Whether both connections bring the room's messages and nothing tells repeats."""
        joined = [line for line, entry in self._entries.items() if entry.joined]
        return self.position is None and one in joined and other in joined

    def hear(self, line: Line, sentence: Sentence) -> bool:
        """Take in what a connection said about the room; whether that was anything to it."""
        said = sentence["type"]
        if said == "joined" and "id" not in sentence:
            self._put_in(line, sentences.joined(sentence))
            return True
        entry = self._entries.get(line)
        if entry is None:
            return False
        ours = sentence.get("id") == entry.id
        if said == "joined" and ours:
            self._joined(entry, sentences.joined(sentence))
        elif said == "error" and ours:
            self._refused(line, entry, sentences.refusal(sentence))
        elif not entry.joined:
            return False
        elif said == "broadcast":
            self._take(entry, sentences.message(sentence))
        elif said == "resync":
            self._resync(entry, sentences.resync(sentence))
        elif said == "left" and "reason" in sentences.payload(sentence):
            del self._entries[line]
            self.leave(sentences.payload(sentence)["reason"], "the gateway took us out of this room")
        elif said in ("user-joined", "user-left"):
            self._presence(entry, said, sentences.payload(sentence))
        else:
            return False
        return True

    def _put_in(self, line: Line, answer: Joined) -> None:
        """A backend has put us into the room. From now on it is like one that we have joined."""
        entry = self._entries.setdefault(line, _Entry(self._backoff(), lambda: None))
        if not entry.joined:
            # The answer to a join of our own that is under way is of no interest any more.
            entry.id = ""
            self._joined(entry, answer)

    def _join(self, line: Line) -> None:
        if line in self._entries:
            self._entries[line].id = line.say(type="join", room=self._room, since=sentences.place(self.position))

    def _joined(self, entry: _Entry, answer: Joined) -> None:
        entry.joined = True
        entry.backoff.reset()
        if self.state is RoomState.JOINED:
            self._continue(entry, answer)
        else:
            if self._has(answer.position):
                answer = replace(answer, recovered=True)
            elif not answer.recovered:
                self.position = answer.position
                answer = replace(answer, recovered=False if self._seen_before else None)
            self._seen_before = True
            self._change(RoomState.JOINED)
            self._tell("joined", answer)
        if entry.until is None:
            entry.settled()

    def _continue(self, entry: _Entry, answer: Joined) -> None:
        """A second connection has joined, while the first one is open."""
        here, there = self.position, answer.position
        if here is None or here == there or self._has(there):
            self.position = here or there
        elif answer.recovered:
            entry.until = there
        elif there is not None and there.epoch == here.epoch:
            entry.until, entry.held, entry.answer = there, [], answer
        else:
            self._give_up(entry, answer)

    def _has(self, there: Position | None) -> bool:
        """Whether everything up to `there` was heard."""
        here = self.position
        return here is not None and there is not None and there.epoch == here.epoch and there.offset <= here.offset

    def _refused(self, line: Line, entry: _Entry, error: RefusedError) -> None:
        if error.code in PASSING:
            self._later(error.retry_after or entry.backoff.next(), lambda: self._again(line, entry))
        else:
            del self._entries[line]
            entry.settled()
            self.leave(error.code, error.message)

    def _again(self, line: Line, entry: _Entry) -> None:
        if self._entries.get(line) is entry:
            self._join(line)

    def _take(self, entry: _Entry, message: Message) -> None:
        if entry.held is not None:
            entry.held.append(message)
            if len(entry.held) > HELD:
                self._give_up(entry, entry.answer)
            return
        if self._is_repeat(entry, message):
            return
        if message.position is not None:
            self.position = message.position
        self._tell("message", message)
        for other in list(self._entries.values()):
            if other.until is not None and self._has(other.until):
                self._caught_up(other)

    def _is_repeat(self, entry: _Entry, message: Message) -> bool:
        if message.position is not None:
            return self._has(message.position)
        if self._repeats is None:
            return False
        alone = len(self._entries) == 1
        repeat = self._repeats.took(entry, message, alone=alone)
        if alone and self._repeats.over:
            self._repeats = None
        return repeat

    def _resync(self, entry: _Entry, resync: Resync) -> None:
        if entry.held is not None:
            self._give_up(entry, resync)
        elif len(self._entries) == 1 or not self._has(resync.position):
            self.position = resync.position or self.position
            self._tell("resync", resync)

    def _give_up(self, entry: _Entry, told: Joined | Resync) -> None:
        """What lies between here and there will not come: say so, and go on with this connection alone."""
        self._entries = {line: each for line, each in self._entries.items() if each is entry}
        self.position = told.position
        self._tell("joined" if isinstance(told, Joined) else "resync", told)
        self._caught_up(entry)

    def _caught_up(self, entry: _Entry) -> None:
        held, entry.held, entry.until = entry.held or [], None, None
        entry.settled()
        for message in held:
            if entry in self._entries.values():
                self._take(entry, message)

    def _presence(self, entry: _Entry, said: str, payload: Sentence) -> None:
        # Two connections would tell it twice; the older one is nearer to what the application knows.
        if entry is next(each for each in self._entries.values() if each.joined):
            self._tell(said, PresenceChange(self._room, payload["user"], payload.get("info")))

    def _change(self, state: RoomState, code: str | int | None = None, reason: str = "") -> None:
        if state is not self.state:
            old, self.state = self.state, state
            self._repeats = None
            self._tell("state", RoomStateChange(self._room, old, state, code, reason))
