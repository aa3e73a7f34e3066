"""Ordinary clients beside the storm: a room whose messages must arrive in order, and a listener in the storm's room.

They use the `websockets` library, which shares no code with the gateway or with the frames of the storm.
"""

import asyncio
import json
import time
from typing import Any, Final, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.conformance.gateway import PATIENCE, GatewayProcess
from tests.conformance.line import Report, parse
from tests.conformance.messages import SHARED_ROOM

ROOM: Final = "witness.order"
"""The room of the witnesses alone; no token of the storm names it."""

_SPEAKER = "witness-speaker"
_EVERY = 0.05
_SLOWEST = 5.0
"""CPU seconds of the gateway until a pong comes: less than a backtracking search would take. They do not count what a
busy machine gives to others."""


class Witnesses:
    """Publish, listen and ping until they are stopped. Faults go to `report`."""

    def __init__(self, gateway: GatewayProcess, report: Report) -> None:
        self._gateway = gateway
        self._report = report
        self._stopping = False
        self.sent = self.heard = self.overheard = 0
        self.pings = 0
        self.slowest_pong = 0.0
        self.close_codes: list[int] = []

    async def __aenter__(self) -> Self:
        self._listener = await self._connect("witness-listener", ROOM)
        self._speaker = await self._connect(_SPEAKER, None)
        self._ear = await self._connect("witness-ear", SHARED_ROOM)
        self._readers = [
            asyncio.create_task(self._read(connection, hear))
            for connection, hear in (
                (self._listener, self._in_order),
                (self._speaker, self._answer),
                (self._ear, self._anything),
            )
        ]
        self._speaking = asyncio.create_task(self._speak())
        self._pinging = asyncio.create_task(self._ping())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (*self._readers, self._speaking, self._pinging):
            task.cancel()
        for connection in (self._listener, self._speaker, self._ear):
            await connection.close()

    async def finish(self) -> None:
        """Stops publishing, and waits until every message has arrived."""
        self._stopping = True
        await asyncio.wait((self._speaking, self._pinging), timeout=PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while self.heard < self.sent and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        if self.heard != self.sent:
            self._report(f"{self.sent} messages were sent in the room of the witnesses, {self.heard} arrived")

    async def over(self) -> None:
        """Waits until the gateway has closed all connections."""
        await asyncio.wait(self._readers, timeout=PATIENCE)

    async def _connect(self, user: str, room: str | None) -> ClientConnection:
        token = self._gateway.token(user, {f"{(room or ROOM).partition('.')[0]}.**": "rw"})
        connection = await connect(
            f"ws://127.0.0.1:{self._gateway.port}/ws",
            additional_headers={"Authorization": f"Bearer {token}"},
            ping_interval=None,
            open_timeout=PATIENCE,
            compression=None,
        )
        await self._expect(connection, "welcome")
        if room is not None:
            await connection.send(json.dumps({"type": "join", "room": room}))
            await self._expect(connection, "joined")
        return connection

    async def _expect(self, connection: ClientConnection, kind: str) -> None:
        heard = parse(str(await asyncio.wait_for(connection.recv(), PATIENCE)))
        if heard["type"] != kind:
            raise RuntimeError(f"{heard} instead of {kind}")

    async def _speak(self) -> None:
        while not self._stopping:
            self.sent += 1
            try:
                await self._speaker.send(json.dumps({"type": "broadcast", "room": ROOM, "payload": self.sent}))
            except ConnectionClosed:
                self.sent -= 1
                return
            await asyncio.sleep(_EVERY)

    async def _ping(self) -> None:
        while not self._stopping:
            started, used = time.monotonic(), self._gateway.cpu
            try:
                await asyncio.wait_for(await self._listener.ping(), PATIENCE)
            except TimeoutError:
                self._report(f"the ping of a witness went unanswered for {PATIENCE:g} s")
            except ConnectionClosed:
                return
            self.pings += 1
            took = time.monotonic() - started
            self.slowest_pong = max(self.slowest_pong, took)
            busy = self._gateway.cpu - used
            if min(took, busy) > _SLOWEST:
                self._report(f"the ping of a witness cost {busy:.1f} CPU seconds: something keeps the loop busy")
            await asyncio.sleep(_EVERY)

    async def _read(self, connection: ClientConnection, hear: Any) -> None:
        try:
            async for message in connection:
                if isinstance(message, str):
                    try:
                        received = parse(message)
                        # The gateway drains at the end, and then asks its clients to move.
                        if received["type"] != "reconnect":
                            hear(received)
                    except ValueError as error:
                        self._report(f"a witness cannot read this ({error}): {message[:300]!r}")
                elif hear != self._anything:
                    self._report(f"a witness hears what is not for it: {message[:100]!r}")
        except ConnectionClosed:
            pass
        self.close_codes.append(connection.close_code or 0)

    def _in_order(self, heard: dict[str, Any]) -> None:
        self.heard += 1
        if (heard["type"], heard.get("room"), heard.get("from")) != ("broadcast", ROOM, _SPEAKER):
            self._report(f"the room of the witnesses is polluted: {str(heard)[:300]}")
        elif heard.get("payload") != self.heard:
            self._report(f"message {self.heard} of the witnesses came as {str(heard.get('payload'))[:100]}")

    def _answer(self, heard: dict[str, Any]) -> None:
        self._report(f"the witness that only speaks hears {str(heard)[:300]}")

    def _anything(self, heard: dict[str, Any]) -> None:
        self.overheard += 1
        if (heard["type"], heard.get("room")) != ("broadcast", SHARED_ROOM) or "payload" not in heard:
            self._report(f"the listener received a message of another room: {str(heard)[:300]}")
