"""One watch: keeps the frames of one connection, or the messages that are published in one room, up to a number."""

from collections.abc import Callable
from typing import Final, final

from forestay.core.facts.frames import LONGEST, Frame
from forestay.core.facts.subject import Subject
from forestay.protocol import replies, requests
from forestay.protocol.message import Kind, Message
from forestay.protocol.names import RoomName, shown

MOST: Final = 100
"""Frames that are kept until they are taken. More are counted."""


@final
class Watch:
    """The frames of one connection, or of one room."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        payloads: bool,
        subject: Subject | None = None,
        room: RoomName | None = None,
    ) -> None:
        """`clock`: Unix seconds. `payloads`: whether they are shown. One of `subject` and `room` is given."""
        self._clock = clock
        self._payloads = payloads
        self.subject = subject
        self.room = room
        self._frames: list[Frame] = []
        self._dropped = 0

    def take(self) -> tuple[list[Frame], int]:
        """The frames since the last call, and how many more there were."""
        frames, self._frames = self._frames, []
        dropped, self._dropped = self._dropped, 0
        return frames, dropped

    def request(self, subject: Subject, request: requests.Request, size: int) -> None:
        """The client has sent a request in a message of `size` bytes."""
        if self._full():
            return
        room = getattr(request, "room", None)
        payload = request.payload if isinstance(request, requests.Broadcast | requests.Call) else None
        self._came(subject, str(request.__struct_config__.tag), room, size, None if payload is None else bytes(payload))

    def other(self, subject: Subject, kind: str, size: int) -> None:
        """The client has sent something else: `unreadable`, or a `pong` of its wire."""
        if not self._full():
            self._came(subject, kind, None, size, None)

    def _came(self, subject: Subject, kind: str, room: str | None, size: int, payload: bytes | None) -> None:
        text, cut = self._text(payload)
        named = None if room is None else room[:LONGEST]
        self._frames.append(
            Frame(
                at=self._clock(),
                way="in",
                type=kind,
                room=named,
                connection=subject.id,
                user=subject.user,
                bytes=size,
                payload=text,
                cut=cut,
            )
        )

    def published(self, message: Message) -> None:
        """A message is published in the room."""
        if self._full():
            return
        text, cut = self._text(None if message.binary else message.payload)
        self._frames.append(
            Frame(
                at=self._clock(),
                way="in",
                type="binary" if message.binary else "broadcast",
                room=shown(message.room),
                user=message.sender,
                event=message.event,
                bytes=len(message.payload),
                payload=text,
                cut=cut,
            )
        )

    def message(self, subject: Subject, message: Message, *, lost: bool) -> None:
        """A message of one of its rooms is written to the client, or is not, because it is `lost`."""
        if self._full():
            return
        text, cut = self._text(None if message.binary else message.payload)
        broadcast = message.kind is Kind.BROADCAST
        self._frames.append(
            Frame(
                at=self._clock(),
                way="out",
                type="message" if broadcast else message.kind.value,
                room=shown(message.room),
                connection=subject.id,
                sender=message.sender,
                event=message.event,
                bytes=len(message.payload),
                offset=None if message.position is None else message.position.offset,
                lost=lost,
                payload=text,
                cut=cut,
            )
        )

    def reply(self, subject: Subject, reply: replies.Reply) -> None:
        """A reply is written to the client."""
        if self._full():
            return
        room, code, reason = getattr(reply, "room", None), None, getattr(reply, "reason", None)
        if isinstance(reply, replies.Error):
            code, reason = reply.refusal.code.value, reply.refusal.message[:LONGEST]
        position = getattr(reply, "position", None)
        self._frames.append(
            Frame(
                at=self._clock(),
                way="out",
                type=_NAMES.get(type(reply).__name__, type(reply).__name__.lower()),
                room=None if room is None else shown(RoomName(room[:LONGEST] or "?")),
                connection=subject.id,
                offset=None if position is None else position.offset,
                code=code,
                reason=reason,
            )
        )

    def _full(self) -> bool:
        if len(self._frames) < MOST:
            return False
        self._dropped += 1
        return True

    def _text(self, payload: bytes | None) -> tuple[str | None, bool]:
        if payload is None or not self._payloads:
            return None, False
        # A character has at most four bytes.
        text = payload[: 4 * LONGEST].decode(errors="replace")
        return text[:LONGEST], len(text) > LONGEST or len(payload) > 4 * LONGEST


# The names of replies that are not their classes' names in lower case, as the protocol has them.
_NAMES: Final[dict[str, str]] = {"PresenceReply": "presence", "HistoryReply": "history"}
