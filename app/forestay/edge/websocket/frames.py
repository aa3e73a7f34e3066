"""Follows the frames of each client, and ends those that break the rules aiohttp's reader does not know.

aiohttp bounds a message in bytes. But it takes frames without a mask (RFC 6455 §5.1), takes any number of fragments,
and waits for the rest of a message for ever. All of these are cheap to send, and would cost a pod time or memory.
"""

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol, cast

from aiohttp import web
from aiohttp.http_websocket import WebSocketReader

from forestay.protocol.codes import ENDINGS, CloseCode, Ending

FRAGMENTS: Final = 1024
"""Fragments that one message may have, and one more for each `BYTES_PER_FRAGMENT` of the largest message."""
BYTES_PER_FRAGMENT: Final = 64

# The first byte of a frame: it ends its message, and it is no part of a message at all.
_FIN: Final = 0x80
_CONTROL: Final = 0x08
# The second byte: there is a mask, and from here on the length has a field of its own.
_MASKED: Final = 0x80
_LONG: Final = 0xFE
# The length of a short frame with its head and its mask is its second byte less this.
_SHORT: Final = _MASKED - 6

_UNMASKED: Final = ENDINGS[CloseCode.PROTOCOL_ERROR]
_TOO_MANY: Final = Ending(CloseCode.POLICY_VIOLATION, "too many fragments in one message")
_TOO_LONG: Final = Ending(CloseCode.NO_PONG, "a message was not complete in time")


@dataclass(frozen=True, slots=True)
class MessageLimits:
    """What one message of a client may take, beside its size."""

    seconds: float
    """From its first byte to its last one."""
    fragments: int


class Assemblies:
    """The messages of which a part has come and the rest has not, of all clients."""

    def __init__(self, limits: MessageLimits) -> None:
        self.limits = limits
        self._begun: dict[Frames, float] = {}
        """By loop time, the oldest first."""
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._begun)

    def begin(self, frames: "Frames") -> None:
        """A message of this client has begun just now."""
        loop = asyncio.get_running_loop()
        self._begun.pop(frames, None)
        self._begun[frames] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self.limits.seconds, self._look)

    def end(self, frames: "Frames") -> None:
        """No message of this client is incomplete."""
        self._begun.pop(frames, None)

    def _look(self) -> None:
        """End the clients that took too long, and look again when the next one may."""
        loop = asyncio.get_running_loop()
        while self._begun:
            frames, begun = next(iter(self._begun.items()))
            rest = begun + self.limits.seconds - loop.time()
            if rest > 0:
                self._timer = loop.call_later(rest, self._look)
                return
            if frames.reading():
                frames.fail(_TOO_LONG)
            else:
                # We read nothing from it: it has not taken its answers, or has sent more than we could carry out.
                self.begin(frames)
        self._timer = None


class Frames:
    """The frames of one client, on their way to aiohttp's reader."""

    __slots__ = ("_assemblies", "_feed", "_fragments", "_head", "_left", "_protocol", "_reader", "_whole", "violation")

    def __init__(self, reader: WebSocketReader, protocol: web.RequestHandler, assemblies: Assemblies) -> None:
        self._reader = reader
        self._feed = reader.feed_data
        self._protocol = protocol
        self._assemblies = assemblies
        self._whole = True
        """Whether nothing of a frame or of a message is missing."""
        self._left = 0
        """Bytes of the frame under way that are still to come."""
        self._head = b""
        """The head of a frame, as far as it has come."""
        self._fragments = 0
        """Of the message under way; 0 where there is none."""
        self.violation: Ending | None = None
        """Why nothing more is read from this client."""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take what the client has sent."""
        size = len(data)
        # Nearly always: one message of less than 64 KiB, all of it and nothing else.
        if self._whole and size > 5 and data[0] & _FIN:
            second = data[1]
            if second - size == _SHORT:
                if second < _LONG:
                    return self._feed(data)
            elif second == _LONG and size > 7 and data[2] << 8 | data[3] == size - 8:
                return self._feed(data)
        if self.violation is not None:
            return False, b""
        good = self._follow(data)
        if good is None:
            return self._feed(data)
        if good:
            self._feed(data[:good])
        return False, b""

    def feed_eof(self) -> None:
        """Take the end of the connection."""
        self._assemblies.end(self)
        self._reader.feed_eof()

    def reading(self) -> bool:
        """Whether we take what the client sends."""
        transport = self._protocol.transport
        return transport is None or transport.is_reading()

    def fail(self, violation: Ending) -> None:
        """Read nothing more from this client. The session finds the reason behind the last message."""
        self.violation = violation
        self._head = b""
        self.feed_eof()

    def _follow(self, data: bytes) -> int | None:
        """Follow the frames in `data`. Returns how many bytes are good where a frame breaks a rule, None otherwise."""
        before = len(self._head)
        if before:
            data = self._head + data
        at, end, begun = self._left, len(data), False
        while end - at > 1:
            first, second = data[at], data[at + 1]
            if second < _LONG:
                size = second - _SHORT
            else:
                field = 2 if second == _LONG else 8
                if end - at < 2 + field:
                    break
                size = 6 + field + int.from_bytes(data[at + 2 : at + 2 + field], "big")
            if second < _MASKED:
                self.fail(_UNMASKED)
            elif not first & _CONTROL:
                begun = begun or not self._fragments
                self._fragments = 0 if first & _FIN else self._fragments + 1
                if self._fragments > self._assemblies.limits.fragments:
                    self.fail(_TOO_MANY)
            if self.violation is not None:
                return max(0, at - before)
            at += size
        self._left = max(0, at - end)
        self._head = data[at:]
        self._note(begun=begun)
        return None

    def _note(self, *, begun: bool) -> None:
        """Tell how far the messages of this client have come. `begun`: whether one has begun just now."""
        was_whole, self._whole = self._whole, not (self._left or self._head or self._fragments)
        if self._whole:
            if not was_whole:
                self._assemblies.end(self)
        elif begun or was_whole:
            self._assemblies.begin(self)


class _Framed(Protocol):
    frames: Frames | None


def frames_of(request: web.BaseRequest) -> Frames:
    """The frames of the client that sent `request`, which was upgraded and is still connected."""
    frames = cast(_Framed, request.protocol).frames
    if frames is None:
        raise RuntimeError("the connection is lost, or is no WebSocket")
    return frames
