"""The v1 wire with compression: one more wire for each window, which deflates each message once for all its members."""

from collections.abc import Callable, Mapping
from typing import Final

from forestay.protocol.deflate.agreement import WINDOWS, Agreement
from forestay.protocol.deflate.deflating import Deflater, Traffic
from forestay.protocol.deflate.inflating import Inflater
from forestay.protocol.message import Message
from forestay.protocol.requests import TextReader
from forestay.protocol.v1.texts import LARGEST
from forestay.protocol.v1.wire import V1Wire
from forestay.protocol.websocket.writing import frame

# The bit of the first byte that says that the message is deflated (RFC 7692 §6).
_DEFLATED: Final = 0x40
# Bytes in front of the payload of a frame without a mask, by the second byte where the length has a field of its own.
_HEAD: Final = 2
_LONG_HEADS: Final = {126: 4, 127: 10}


class RememberingWire(V1Wire):
    """The wire without compression, where others have it: they deflate the frame that this one has just made."""

    def __init__(self, clock: Callable[[], float], reader: TextReader, largest: int = LARGEST) -> None:
        """See V1Wire."""
        super().__init__(clock, reader, largest)
        self._message: Message | None = None
        self._traced = False
        self._frame = b""

    def message(self, message: Message, *, traced: bool) -> bytes:
        """See Wire.message."""
        if message is not self._message or traced is not self._traced:
            self._frame = super().message(message, traced=traced)
            self._message, self._traced = message, traced
        return self._frame


class CompressedWire(V1Wire):
    """Deflates the messages of rooms. What is for one client alone is as in the wire without compression."""

    def __init__(self, clock: Callable[[], float], plain: V1Wire, deflater: Deflater, largest: int = LARGEST) -> None:
        """`plain`: the wire without compression. See V1Wire."""
        super().__init__(clock, plain.reader, largest)
        self._plain = plain
        self._deflater = deflater

    @property
    def plain(self) -> V1Wire:
        """See Wire.plain."""
        return self._plain

    def message(self, message: Message, *, traced: bool) -> bytes:
        """See Wire.message."""
        whole = self._plain.message(message, traced=traced)
        return self.compressed(whole) if whole else whole

    def compressed(self, whole: bytes) -> bytes:
        """The frame `whole` of a message, deflated where that makes it smaller."""
        deflated = self._deflater.deflate(memoryview(whole)[_LONG_HEADS.get(whole[1], _HEAD) :])
        return whole if deflated is None else frame(whole[0] | _DEFLATED, deflated)


class Compression:
    """What a pod needs to compress: its counts, what inflates, and how it is set."""

    def __init__(self, least: int, largest: int) -> None:
        """`least`: bytes of the smallest message that is deflated. `largest`: of the largest one of a client."""
        self.least = least
        self.sent = Traffic()
        self.received = Traffic()
        self.inflater = Inflater(largest, self.received)


class V1Wires:
    """All v1 wires of a pod: the plain one, and where there is compression one for each window."""

    def __init__(
        self,
        clock: Callable[[], float],
        reader: TextReader,
        largest: int = LARGEST,
        compression: Compression | None = None,
    ) -> None:
        """`compression`: None where it is off. See V1Wire."""
        self.compression = compression
        self._by_window: Mapping[int, V1Wire] = {}
        if compression is None:
            self.plain = V1Wire(clock, reader, largest)
            return
        self.plain = RememberingWire(clock, reader, largest)
        least, sent = compression.least, compression.sent
        self._by_window = {
            window: CompressedWire(clock, self.plain, Deflater(window, least, sent), largest) for window in WINDOWS
        }

    def agreed(self, agreement: Agreement | None) -> V1Wire:
        """The wire of a client with which this was agreed on. None: nothing was."""
        return self.plain if agreement is None else self._by_window[agreement.window]
