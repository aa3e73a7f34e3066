"""The SDK at the end of a pipe: JSON lines in, JSON lines out, for the suite that all SDKs pass."""

import asyncio
import contextlib
import json
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

from forestay_client import (
    BinaryMessage,
    Client,
    ClientOptions,
    DisconnectedError,
    ForestayError,
    HistoryPage,
    Joined,
    Message,
    Position,
    PresenceChange,
    PresencePage,
    RefusedError,
    Room,
    RoomStateChange,
    StateChange,
    UnauthorizedError,
    UnknownOutcomeError,
)

Command = Mapping[str, Any]


def say(on: str, **fields: object) -> None:
    """Say an event; fields that are None are left out."""
    print(json.dumps({"on": on} | {name: value for name, value in fields.items() if value is not None}), flush=True)


class TokenDesk:
    """Answers the calls of `get_token` in their order, whichever comes first: the call or the answer."""

    def __init__(self) -> None:
        self._asking: deque[asyncio.Future[Any]] = deque()
        self._answers: deque[Command] = deque()

    async def get_token(self) -> str:
        asking = asyncio.get_running_loop().create_future()
        self._asking.append(asking)
        say("token")
        self._match()
        # A call that the client gave up still takes the answer that was meant for it.
        # Whatever it is: a scenario may give something that is no token.
        found: str = await asyncio.shield(asking)
        return found

    def answer(self, command: Command) -> None:
        self._answers.append(command)
        self._match()

    def _match(self) -> None:
        while self._asking and self._answers:
            asking, answer = self._asking.popleft(), self._answers.popleft()
            if "value" in answer:
                asking.set_result(answer["value"])
            elif answer["error"] == "unauthorized":
                asking.set_exception(UnauthorizedError())
            else:
                asking.set_exception(RuntimeError("no token today"))


class Adapter:
    def __init__(self) -> None:
        self._desk = TokenDesk()
        self._heard: set[str] = set()
        self._client: Client | None = None
        self._work: set[asyncio.Future[None]] = set()
        self._calls: dict[str, asyncio.Future[object]] = {}

    def do(self, command: Command) -> None:
        """Start what a command asks for; answers are said when they come."""
        match command["do"]:
            case "client":
                self._client = self._make(command["url"], command.get("options", {}))
            case "token":
                self._desk.answer(command)
            case "connect":
                self.client.connect()
            case "disconnect":
                self._later(self.client.disconnect())
            case "join" | "leave" | "publish" | "presence" | "history" | "bind" | "send" as verb:
                work = VERBS[verb](self._room(command["room"]), command)
                self._later(self._answer(command.get("as"), work))
            case "call":
                work = asyncio.ensure_future(self._call(command))
                self._calls[command["as"]] = work
                self._later(self._answer(command["as"], work))
            case "cancel":
                self._calls[command["as"]].cancel()
            case unknown:
                say("unsupported", do=unknown)

    async def end(self) -> None:
        if self._client is not None:
            await self._client.disconnect()

    @property
    def client(self) -> Client:
        assert self._client is not None, "the first command is `client`"
        return self._client

    def _make(self, url: str, given: Mapping[str, Any]) -> Client:
        options: dict[str, Any] = {
            name.removesuffix("_ms"): value / 1000 if name.endswith("_ms") else value for name, value in given.items()
        }
        known = {name: value for name, value in options.items() if name in ClientOptions.__annotations__}
        client = Client(url, get_token=self._desk.get_token, **known)
        client.on("state", told_state)
        client.on("moved", lambda moved: say("moved", rooms=list(moved.rooms)))
        client.on("binary", told_binary)
        return client

    def _room(self, name: str) -> Room:
        room = self.client.room(name)
        if name not in self._heard:
            self._heard.add(name)
            room.on("state", told_room)
            room.on("joined", told_joined)
            room.on("message", told_message)
            room.on("binary", told_binary)
            room.on("resync", lambda resync: say("resync", room=resync.room, reason=resync.reason))
            room.on("user-joined", lambda change: told_presence("user-joined", change))
            room.on("user-left", lambda change: told_presence("user-left", change))
        return room

    async def _answer(self, name: str | None, work: Awaitable[object]) -> None:
        try:
            value = shown(await work)
        except ForestayError as error:
            say("failure", **{"as": name}, **failure(error))
        except asyncio.CancelledError:
            say("failure", **{"as": name}, error="cancelled")
        else:
            print(json.dumps({"on": "result", "as": name, "value": value}), flush=True)

    async def _call(self, command: Command) -> object:
        patience = command.get("timeout_ms")
        timeout = None if patience is None else patience / 1000
        return await self.client.call(command["method"], command.get("payload"), timeout=timeout)

    def _later(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)


def told_state(change: StateChange) -> None:
    say("state", state=change.state, code=change.code, reason=change.reason or None)


def told_room(change: RoomStateChange) -> None:
    say("room", room=change.room, state=change.state, code=change.code, reason=change.reason or None)


def told_joined(joined: Joined) -> None:
    say("joined", room=joined.room, recovered=joined.recovered, **place(joined.position))


def told_message(message: Message) -> None:
    fields = {"from": message.sender, "event": message.event} | place(message.position)
    told = {"on": "message", "room": message.room, "payload": message.payload}
    print(json.dumps(told | {name: value for name, value in fields.items() if value is not None}), flush=True)


def told_binary(message: BinaryMessage) -> None:
    say("binary", room=message.room, type=message.type, hex=message.data.hex())


def told_presence(type: str, change: PresenceChange) -> None:
    say("presence-change", room=change.room, type=type, user=change.user)


def place(position: Position | None) -> dict[str, object]:
    return {} if position is None else asdict(position)


def bound(command: Command, name: str) -> Position | None:
    given = command.get(name)
    return None if given is None else Position(given["epoch"], given["offset"])


def without_none(fields: Mapping[str, object]) -> dict[str, object]:
    """Fields that are None are left out on this wire."""
    return {name: value for name, value in fields.items() if value is not None}


def shown(value: object) -> object:
    """What a call returned, in the words of the protocol."""
    match value:
        case HistoryPage():
            return {"epoch": value.epoch, "messages": [past(each) for each in value.messages], "more": value.more}
        case PresencePage():
            members = [without_none(asdict(member)) for member in value.members]
            page = {"count": value.count, "users": value.users, "members": members, "next": value.next}
            return without_none(page | {"degraded": value.degraded or None})
        case _:
            return value


def past(message: Message) -> dict[str, object]:
    told = place(message.position) | {"from": message.sender, "event": message.event, "timestamp": message.timestamp}
    del told["epoch"]  # the page has it
    return without_none(told) | {"payload": message.payload}


def failure(error: ForestayError) -> dict[str, object]:
    match error:
        case RefusedError():
            return {"error": "refused", "code": error.code, "reason": error.reason}
        case UnknownOutcomeError():
            return {"error": "unknown_outcome", "key": error.key}
        case UnauthorizedError():
            return {"error": "unauthorized"}
        case DisconnectedError():
            return {"error": "disconnected", "code": error.code}
        case _:
            raise AssertionError(error)


async def join(room: Room, command: Command) -> dict[str, object]:
    return place((await room.join()).position)


async def publish(room: Room, command: Command) -> dict[str, object]:
    position = await room.publish(
        command["payload"], key=command.get("key"), echo=command.get("echo"), event=command.get("event")
    )
    return place(position)


VERBS: Mapping[str, Callable[[Room, Command], Awaitable[object]]] = {
    "join": join,
    "leave": lambda room, _: room.leave(),
    "publish": publish,
    "presence": lambda room, given: room.presence(after=given.get("after"), limit=given.get("limit")),
    "history": lambda room, given: room.history(
        since=bound(given, "since"), before=bound(given, "before"), limit=given.get("limit")
    ),
    "bind": lambda room, given: room.bind(given["type"]),
    "send": lambda room, given: room.send(given["type"], bytes.fromhex(given["hex"])),
}


async def main() -> None:
    adapter = Adapter()
    say("hello", sdk="python", status=True)
    reader = asyncio.StreamReader(limit=1 << 24)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        adapter.do(json.loads(line))
    with contextlib.suppress(asyncio.CancelledError):
        await adapter.end()


if __name__ == "__main__":
    asyncio.run(main())
