"""Encodes replies and room messages as finished WebSocket frames."""

from collections.abc import Callable
from typing import Final

from forestay.protocol.codes import Ending
from forestay.protocol.v1.texts import LARGEST, Texts
from forestay.protocol.websocket.writing import BINARY, PING_FRAME, close_frame, frame, pong_frame, text_frame
from forestay.protocol.wire import Liveness


class Encoder(Texts):
    """Protocol version 1 over WebSocket: JSON in text frames, binary messages as they came."""

    name: Final = "v1"
    liveness: Final = Liveness.ANSWERED
    relocates: Final = True
    tailed: Final = False

    def __init__(self, clock: Callable[[], float], largest: int = LARGEST) -> None:
        """`clock`: Unix seconds, for the `timestamp` of replies. `largest`: bytes of a message; pages are cut to it."""
        super().__init__(clock, largest)

    def wrap(self, text: bytes) -> bytes:
        """A text frame."""
        return text_frame(text)

    def binary(self, payload: bytes) -> bytes:
        """A binary frame."""
        return frame(BINARY, payload)

    def ping(self) -> bytes:
        """A ping frame without data."""
        return PING_FRAME

    def pong(self, data: bytes) -> bytes:
        """A pong frame with the data of the client's ping."""
        return pong_frame(data)

    def close(self, ending: Ending) -> bytes:
        """A close frame; a longer reason is cut to what a control frame can hold."""
        return close_frame(ending)
