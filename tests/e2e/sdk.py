"""SDK clients that must not notice a deploy: always connected, no message lost or repeated."""

import asyncio

from forestay_client import Client, ClientState, Joined, Message, RefusedError, Resync, StateChange
from tests.e2e.crowd import MOVED, Crowd, Gate, Listener


class SdkMember(Listener):
    """A client of the Python SDK in one room."""

    def __init__(self, gate: Gate, crowd: Crowd, name: str, room: str) -> None:
        super().__init__(gate, crowd, name, room)
        self._client = Client(gate.url, get_token=lambda: gate.token(name), proxy=None)
        self._client.on("state", self._changed)
        self._client.on("moved", lambda _: self._moved())
        self._client.on("error", self._refused)
        place = self._client.room(room)
        place.on("message", self._hear)
        place.on("joined", self._joined)
        place.on("resync", self._resynced)

    async def live(self) -> None:
        self._client.connect()
        try:
            await self._client.room(self.room).join()
            await asyncio.Event().wait()
        finally:
            await self._client.disconnect()

    def _changed(self, change: StateChange) -> None:
        self.connected = change.state is ClientState.CONNECTED
        if change.old_state is ClientState.CONNECTED:
            account = self._crowd.account
            account.interrupted[self.name] += 1
            account.disconnected[self.name] += 1
            account.closes[change.code if isinstance(change.code, int) else 1006] += 1

    def _moved(self) -> None:
        self._crowd.account.closes[MOVED] += 1

    def _refused(self, error: RefusedError) -> None:
        self._crowd.account.refusals[error.code] += 1

    def _joined(self, joined: Joined) -> None:
        if joined.recovered is False:
            self.resynced = True

    def _resynced(self, resync: Resync) -> None:
        self.resynced = True

    def _hear(self, message: Message) -> None:
        self.count(message.payload)


def sdk_members(crowd: Crowd, gate: Gate, number: int, rooms: int) -> list[Listener]:
    """That many SDK clients, spread over the first `rooms` rooms of the crowd."""
    return [SdkMember(gate, crowd, f"sdk-{one}", f"e2e.{one % rooms}") for one in range(number)]
