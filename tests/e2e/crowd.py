"""Clients as a user of the gateway would write them, on an independent library, which count what they receive.

Each is in one room with history and rejoins with its position. Half of them follow `reconnect`: they open the next
connection in their slot, and close the old one when the new one has caught up. The other half waits for the close.
"""

import asyncio
import itertools
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import jwt
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

MOVED = 1000
BACK_OFF = (0.1, 2.0)


@dataclass(slots=True)
class Account:
    """What happened to all clients since the last step."""

    closes: Counter[int] = field(default_factory=Counter)
    """Close codes from the gateway or the network. Clients that moved count under 1000."""
    refusals: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    repeated: int = 0
    recovered: int = 0
    """Missed messages that the history delivered."""
    declared: int = 0
    """Missed messages that a `resync` announced."""
    reconnects: list[float] = field(default_factory=list)
    """The times in monotonic seconds."""
    disconnected: Counter[str] = field(default_factory=Counter)
    """The number of lost connections of each client."""
    interrupted: Counter[str] = field(default_factory=Counter)
    """How often each SDK client had no open connection."""


class Ended(Exception):
    """The other side closed the connection."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Gate:
    """The address for clients, and the keys."""

    def __init__(self, url: str, secret: str) -> None:
        self.url = url
        self._secret = secret

    def token(self, user: str, **claims: object) -> str:
        return jwt.encode({"sub": user, "exp": time.time() + 7200, **claims}, self._secret, algorithm="HS256")

    def open(self, user: str, **claims: object) -> connect:
        return connect(
            self.url,
            additional_headers={"Authorization": f"Bearer {self.token(user, **claims)}"},
            compression=None,
            open_timeout=20,
            close_timeout=5,
            ping_interval=None,
            max_queue=None,
            proxy=None,
        )


class Listener:
    """A client of one room that checks the messages there."""

    def __init__(self, gate: Gate, crowd: "Crowd", name: str, room: str) -> None:
        self.name = name
        self.room = room
        self.last = 0
        """The last received number."""
        self.connected = False
        self.resynced = False
        """Whether a `resync` announced that messages before the next one are missing."""
        self._declared = 0
        """The last number that is counted as declared lost."""
        self._gate = gate
        self._crowd = crowd

    async def live(self) -> None:
        """Stays connected until it is cancelled."""
        raise NotImplementedError

    def count(self, number: int) -> None:
        """Records that `number` arrived."""
        account = self._crowd.account
        if number <= self.last:
            account.repeated += 1
            return
        missing = number - self.last - 1
        if missing and self.last:
            if self.resynced:
                account.declared += self.declare(number - 1)
            else:
                account.lost += missing
        self.resynced = False
        self.last = number
        self._crowd.heard += 1

    def declare(self, until: int) -> int:
        """Returns how many missing numbers up to `until` were declared lost. Each counts once, also over two steps."""
        missing = max(0, until - max(self.last, self._declared))
        self._declared = max(until, self._declared)
        return missing


class Member(Listener):
    """A client that speaks the protocol itself. `moves`: it follows `reconnect`."""

    def __init__(self, gate: Gate, crowd: "Crowd", name: str, room: str, *, moves: bool) -> None:
        super().__init__(gate, crowd, name, room)
        self._moves = moves
        self._place: dict[str, Any] | None = None

    async def live(self) -> None:
        attempts = 0
        socket: ClientConnection | None = None
        while True:
            try:
                if socket is None:
                    socket = await self._enter()
                self.connected, attempts = True, 0
                socket = await self._stay(socket)
            except InvalidStatus as refused:
                self._crowd.account.refusals[_named(refused)] += 1
                await asyncio.sleep(float(refused.response.headers.get("Retry-After") or 1))
                continue
            except Ended as ended:
                self._note_close(ended.code)
            except ConnectionClosed as closed:
                self._note_close(closed.rcvd.code if closed.rcvd else 1006)
            except (OSError, TimeoutError, WebSocketException, EOFError) as error:
                if self.connected:
                    self._note_close(1006)
                else:
                    self._crowd.account.refusals[type(error).__name__] += 1
            else:
                continue
            self.connected, socket = False, None
            await asyncio.sleep(random.uniform(0, BACK_OFF[0] * 2 ** min(attempts, 5)))
            attempts += 1

    def _note_close(self, code: int) -> None:
        if self.connected:
            self._crowd.account.closes[code] += 1
            self._crowd.account.disconnected[self.name] += 1

    async def _enter(self) -> ClientConnection:
        """Connects and joins with our position."""
        again = self._place is not None
        socket = await self._gate.open(self.name)
        if again:
            self._crowd.account.reconnects.append(time.monotonic())
        since = {} if self._place is None else {"since": self._place}
        while True:
            await socket.send(json.dumps({"type": "join", "room": self.room, "id": "join", **since}))
            while True:
                message = json.loads(await socket.recv())
                if message.get("id") == "join":
                    break
            if message["type"] == "joined":
                break
            # The bus is down: try again.
            self._crowd.account.refusals[message["payload"]["code"]] += 1
            await asyncio.sleep(0.3)
        place = message["payload"]
        if not place.get("recovered", False):
            if again:
                self.resynced = True
            self._place = {"epoch": place["epoch"], "offset": place["offset"]}
        return socket

    async def _stay(self, socket: ClientConnection) -> ClientConnection:
        """Reads until the gateway asks to move. Returns the next connection."""
        async for text in socket:
            message = json.loads(text)
            self._hear(message)
            if message["type"] == "reconnect" and self._moves and message["payload"]["within_ms"]:
                return await self._move(socket, message["payload"])
        raise Ended(socket.close_code or 1006)

    async def _move(self, old: ClientConnection, slots: dict[str, int]) -> ClientConnection:
        slot = asyncio.get_running_loop().time() + slots["after_ms"] / 1000
        while (rest := slot - asyncio.get_running_loop().time()) > 0:
            try:
                async with asyncio.timeout(rest):
                    self._hear(json.loads(await old.recv()))
            except TimeoutError:
                break
        try:
            new = await self._enter()
        except InvalidStatus as refused:
            self._crowd.account.refusals[_named(refused)] += 1
            return old
        except (OSError, TimeoutError, WebSocketException, EOFError) as error:
            self._crowd.account.refusals[type(error).__name__] += 1
            return old
        # The new connection delivers what the old one has not delivered yet.
        await old.close()
        self._crowd.account.closes[MOVED] += 1
        return new

    def _hear(self, message: dict[str, Any]) -> None:
        if message["type"] == "resync":
            self.resynced = True
            if "epoch" in message["payload"]:
                self._place = {"epoch": message["payload"]["epoch"], "offset": message["payload"]["offset"]}
        if message["type"] != "broadcast":
            return
        self._place = {"epoch": message["epoch"], "offset": message["offset"]}
        self.count(message["payload"])


def _named(refused: InvalidStatus) -> str:
    after = refused.response.headers.get("Retry-After")
    return f"{refused.response.status_code}{'' if after else ' without Retry-After'}"


class Speaker:
    """Publishes numbers in its rooms. It repeats a number until it was accepted."""

    def __init__(self, gate: Gate, crowd: "Crowd", name: str, rooms: list[str]) -> None:
        self.accepted = dict.fromkeys(rooms, 0)
        self.publishing = asyncio.Event()
        self._gate = gate
        self._crowd = crowd
        self._name = name
        self._waiting: dict[str, int] = {}
        """Rooms whose last number has no reply yet."""
        self._run = f"{random.getrandbits(48):x}"

    async def live(self, rate: float) -> None:
        """Publishes that many messages per second until it is cancelled."""
        while True:
            try:
                async with self._gate.open(self._name) as socket:
                    for room in list(self._waiting):
                        await self._say(socket, room)
                    reader = asyncio.create_task(self._hear(socket))
                    try:
                        await self._speak(socket, rate, reader)
                    finally:
                        reader.cancel()
                        await asyncio.gather(reader, return_exceptions=True)
            except InvalidStatus as refused:
                self._crowd.account.refusals[_named(refused)] += 1
            except (OSError, TimeoutError, WebSocketException, EOFError):
                pass
            await asyncio.sleep(random.uniform(0.05, 0.5))

    async def _speak(self, socket: ClientConnection, rate: float, reader: asyncio.Task[None]) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        for room in itertools.cycle(self.accepted):
            if reader.done():
                return
            due = max(due + 1 / rate, loop.time() - 0.1)
            await asyncio.sleep(max(0.0, due - loop.time()))
            if self.publishing.is_set() and room not in self._waiting:
                self._waiting[room] = self.accepted[room] + 1
                await self._say(socket, room)

    async def _say(self, socket: ClientConnection, room: str) -> None:
        number = self._waiting[room]
        # With the same key a retry is no second message.
        sentence = {"type": "broadcast", "room": room, "payload": number, "id": room, "key": f"{self._run}-{number}"}
        await socket.send(json.dumps(sentence))

    async def _hear(self, socket: ClientConnection) -> None:
        async for text in socket:
            message = json.loads(text)
            room = message.get("id", "")
            if room not in self._waiting:
                continue
            if message["type"] == "ack":
                self.accepted[room] = self._waiting.pop(room)
            elif message["type"] == "error":
                self._crowd.account.refusals[message["payload"]["code"]] += 1
                await asyncio.sleep(message["payload"].get("retry_after_ms", 300) / 1000)
                await self._say(socket, room)

    @property
    def settled(self) -> bool:
        return not self._waiting


class Crowd:
    """All clients, and their account."""

    def __init__(self, gate: Gate, clients: int, rooms: int, rate: float) -> None:
        names = [f"e2e.{number}" for number in range(rooms)]
        self.account = Account()
        self.heard = 0
        self.members: list[Listener] = [
            Member(gate, self, f"user-{number}", names[number % rooms], moves=number % 2 == 0)
            for number in range(clients)
        ]
        speakers = 4
        self.speakers = [Speaker(gate, self, f"speaker-{n}", names[n::speakers]) for n in range(speakers)]
        self._rate = rate / speakers
        self._tasks: list[asyncio.Task[None]] = []

    async def come(self) -> None:
        """Connects all clients, and starts the speakers."""
        for first in range(0, len(self.members), 50):
            self._tasks += [asyncio.create_task(one.live()) for one in self.members[first : first + 50]]
            await asyncio.sleep(0.1)
        async with asyncio.timeout(120):
            while not all(one.connected for one in self.members):
                await asyncio.sleep(0.1)
        self._tasks += [asyncio.create_task(one.live(self._rate)) for one in self.speakers]
        self.speak()
        async with asyncio.timeout(60):
            while not all(one.last for one in self.members):
                await asyncio.sleep(0.1)

    def speak(self) -> None:
        for speaker in self.speakers:
            speaker.publishing.set()

    async def settle(self, limit: float = 90) -> None:
        """Stops the speakers, and waits until each client has the last message of its room. Raises TimeoutError."""
        for speaker in self.speakers:
            speaker.publishing.clear()
        async with asyncio.timeout(limit):
            while not all(speaker.settled for speaker in self.speakers):
                await asyncio.sleep(0.1)
            last = {room: number for speaker in self.speakers for room, number in speaker.accepted.items()}
            while not all(one.connected and (one.resynced or one.last >= last[one.room]) for one in self.members):
                await asyncio.sleep(0.1)

    def behind(self) -> int:
        """The members without the last message of their room, which got no `resync` either."""
        last = {room: number for speaker in self.speakers for room, number in speaker.accepted.items()}
        self.account.declared += sum(one.declare(last[one.room]) for one in self.members if one.resynced)
        return sum(one.last < last[one.room] and not one.resynced for one in self.members)

    def take_account(self) -> Account:
        account, self.account = self.account, Account()
        return account

    async def go(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
