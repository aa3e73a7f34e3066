"""An Engine.IO session without a transport: it records what is written, and admits callers by a table of tokens."""

import json
from collections.abc import Iterator
from typing import Any

from forestay.core.ports.verifier import Ticket
from forestay.core.rules.access import Identity
from forestay.edge.handshake.refused import Refused
from forestay.protocol.codes import ENDINGS, CloseCode, Ending, ErrorCode, Refusal
from forestay.protocol.websocket.writing import TEXT
from tests.support.core import frames


class RecordedSession:
    """The Session of a client whose transport takes everything."""

    outlet = None

    def __init__(self, tokens: dict[str, Identity | Refused] | None = None) -> None:
        """`tokens`: who each token is, or how it is refused. All others are bad tokens."""
        self._tokens = tokens or {}
        self.data = b""
        self.waiting = 0
        self.ending: Ending | None = None
        self.cut = False
        self.failure: str | None = None
        self.reading_held = False
        self.served_now: bool | None = None
        self.position: str | None = None
        """What the last event said that tells positions."""

    def write(self, data: bytes, /) -> None:
        assert self.ending is None, "written after the end"
        self.data += data

    def buffered(self) -> int:
        return self.waiting

    def closed(self) -> bool:
        return self.ending is not None

    def hold_reading(self) -> None:
        self.reading_held = True

    def end(self, ending: Ending, *, cut: bool = False) -> None:
        if self.ending is None:
            self.ending, self.cut = ending, cut

    def fail(self, reason: str) -> None:
        self.failure = reason
        self.end(ENDINGS[CloseCode.PROTOCOL_ERROR])

    async def admit(self, token: str | Ticket) -> Identity:
        found = self._tokens.get(f"ticket {token.text}" if isinstance(token, Ticket) else token)
        if isinstance(found, Identity):
            return found
        raise found or Refused(401, Refusal(ErrorCode.BAD_TOKEN, "not a good token"))

    def served(self, *, served: bool) -> None:
        self.served_now = served

    def take(self) -> list[str | bytes]:
        """The messages written since the last call: packets without their Engine.IO type, and binary parts."""
        found, self.data = list(messages(self.data)), b""
        return found

    def heard(self) -> list[str | bytes]:
        """The same without the events that tell positions: see `position`."""
        found = []
        for one in self.take():
            if isinstance(one, str) and '["forestay:position"' in one:
                _, self.position = arguments(one)
            else:
                found.append(one)
        return found


def messages(data: bytes) -> Iterator[str | bytes]:
    """What the WebSocket frames in `data` carry."""
    while data:
        [payload] = frames(data[: frame_size(data)])
        yield payload.decode().removeprefix("4") if data[0] == TEXT else payload
        data = data[frame_size(data) :]


def frame_size(data: bytes) -> int:
    """The bytes of the first frame in `data`."""
    if data[1] < 126:
        return 2 + data[1]
    field = 2 if data[1] == 126 else 8
    return 2 + field + int.from_bytes(data[2 : 2 + field], "big")


def arguments(packet: str | bytes) -> list[Any]:
    """The JSON array of an event or an ack."""
    text = packet if isinstance(packet, str) else packet.decode()
    found = json.loads(text[text.index("[") :])
    assert isinstance(found, list)
    return found
