"""A WebSocket connection that reads all the time while it sends, and checks everything that it receives."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final, NoReturn

from forestay.protocol.json_in_binary import is_json
from tests.conformance.gateway import PATIENCE
from tests.conformance.wire import BINARY, CLOSE, FIN, PING, PONG, TEXT, Frame, Malformed, Wire, frame

NO_CLOSE_FRAME: Final = 1006
_SAID_BY_GATEWAYS: Final = frozenset(
    {"welcome", "joined", "left", "broadcast", "ack", "pong", "presence", "history", "user-joined", "user-left"}
    | {"error", "resync", "reconnect"}
)
_MASK = b"\x11\x22\x33\x44"

Report = Callable[[str], None]


def _number(digits: str) -> int | str:
    """A number of any size. Python's int() refuses more than some thousands of digits."""
    return int(digits) if len(digits) < 100 else digits


def parse(text: str) -> dict[str, Any]:
    """Parses a message from the gateway as strict JSON. Raises ValueError."""
    heard = json.loads(text, parse_constant=_no_constant, parse_int=_number)
    if not isinstance(heard, dict) or heard.get("type") not in _SAID_BY_GATEWAYS:
        raise ValueError("not a message of the protocol")
    if not isinstance(heard.get("timestamp"), str):
        raise ValueError("no timestamp")
    return heard


class Line:
    """`report` is called for each message that the gateway should not have sent."""

    def __init__(self, wire: Wire, report: Report) -> None:
        self._wire = wire
        self._report = report
        self._pongs: dict[bytes, asyncio.Future[None]] = {}
        self.code: int | None = None
        """The gateway's close; None while the connection is open."""
        self.over = asyncio.Event()
        """Set when no more data can come."""
        self._reading = asyncio.create_task(self._read())

    async def send(self, data: bytes) -> None:
        await self._wire.send(data)

    async def lives(self, sign: bytes) -> bool:
        """Whether a ping with the payload `sign` gets its pong before the connection ends."""
        pong = self._pongs[sign] = asyncio.get_running_loop().create_future()
        await self.send(frame(FIN | PING, sign, _MASK))
        over = asyncio.ensure_future(self.over.wait())
        await asyncio.wait((pong, over), timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        del self._pongs[sign]
        if not pong.done() and self.code is None and not self.over.is_set():
            self._report(f"no pong within {PATIENCE:g} s")
        return pong.done()

    async def ended(self) -> int | None:
        """Waits for the end. Returns the code of the close frame, or None where nothing happens."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self.over.wait()
        except TimeoutError:
            return None
        return NO_CLOSE_FRAME if self.code is None else self.code

    async def hang_up(self, *, reset: bool = False) -> None:
        """Closes the connection from our side, and waits until the reader has stopped."""
        self._wire.hang_up(reset=reset)
        try:
            async with asyncio.timeout(PATIENCE):
                await self._reading
        except TimeoutError:
            self._report("our end of a connection does not close")

    async def _read(self) -> None:
        try:
            while (heard := await self._wire.frame()) is not None:
                if self.code is not None:
                    self._report(f"something behind a close frame: {heard}")
                self._hear(heard)
                if heard.opcode == CLOSE:
                    # Nothing may follow the close frame. The caller that ends the line sees whatever comes.
                    self.over.set()
        except Malformed as malformed:
            self._report(str(malformed))
        finally:
            self.over.set()

    def _hear(self, heard: Frame) -> None:
        if heard.opcode == TEXT:
            try:
                parse(heard.payload.decode())
            except ValueError as error:
                self._report(f"{error}: {heard.payload[:300]!r}")
        elif heard.opcode == PONG:
            pong = self._pongs.get(heard.payload)
            if pong is not None and not pong.done():
                pong.set_result(None)
        elif heard.opcode == CLOSE:
            self.code = heard.close_code
        elif heard.opcode == BINARY:
            if len(heard.payload) < 4:
                self._report("a binary message without its type")
            elif is_json(heard.payload):
                self._report(f"JSON that a client sent in a binary message: {heard.payload[:300]!r}")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
