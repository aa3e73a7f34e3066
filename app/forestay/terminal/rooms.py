"""`forestay join`, `send` and `tail`: rooms on a terminal, over the Python client."""

import argparse
import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager

from forestay.terminal.verbs import Failed
from forestay_client import (
    Client,
    ClientState,
    ForestayError,
    Message,
    Position,
    RefusedError,
    Room,
    StateChange,
    UnknownOutcomeError,
)

GetToken = Callable[[], str]


async def join(options: argparse.Namespace, get_token: GetToken) -> None:
    """Show what is said in a room, and say each line that is typed, until there are no more."""
    async with _connected(options, get_token) as client:
        room = client.room(options.room)
        room.on("user-joined", lambda change: _say(f"* {_plain(change.user)} joined"))
        room.on("user-left", lambda change: _say(f"* {_plain(change.user)} left"))
        await room.join()
        _note(f"in {room.name} as {client.user}; type to speak, Ctrl-D to leave")
        hearing, speaking = (asyncio.ensure_future(work) for work in (_hear(room, _line), _speak(room)))
        await asyncio.wait({hearing, speaking}, return_when=asyncio.FIRST_COMPLETED)
        speaking.cancel()
        await room.leave()
        await hearing


async def send(options: argparse.Namespace, get_token: GetToken) -> None:
    """Say one thing and see that it was accepted."""
    text = sys.stdin.read() if options.text == "-" else options.text
    try:
        payload = json.loads(text) if options.json else {"text": text}
    except ValueError as error:
        raise Failed(f"this is not JSON: {error}", 2) from None
    async with _connected(options, get_token) as client:
        try:
            await client.room(options.room).publish(payload, key=options.key)
        except ValueError as error:
            raise Failed(f"this cannot be sent: {error}", 2) from None


async def tail(options: argparse.Namespace, get_token: GetToken) -> None:
    """Show what is said in some rooms."""
    show = _as_json if options.json else _line
    async with _connected(options, get_token) as client:
        following = [_follow(client.room(name), options.last, show) for name in options.room]
        await asyncio.gather(*following)


VERBS: Mapping[str, Callable[[argparse.Namespace, GetToken], Coroutine[None, None, None]]] = {
    "join": join,
    "send": send,
    "tail": tail,
}


@asynccontextmanager
async def _connected(options: argparse.Namespace, get_token: GetToken) -> AsyncIterator[Client]:
    """A client that is connected; what goes wrong with it is said in words."""
    try:
        client = Client(options.url, get_token=get_token, timeout=options.timeout)
    except ValueError as error:
        raise Failed(str(error), 2) from None
    client.on("state", _tell)
    client.on("error", lambda error: _note(str(error)))
    client.connect()
    try:
        async with asyncio.timeout(options.timeout):
            await client.ready()
        yield client
    except TimeoutError:
        raise Failed(f"no connection to {options.url} within {options.timeout:g} s") from None
    except ForestayError as error:
        raise Failed(f"{options.url}: {error}") from None
    finally:
        await client.disconnect()


async def _follow(room: Room, last: int, show: Callable[[Message], str]) -> None:
    positions = list[Position | None]()
    room.on("joined", lambda joined: positions.append(joined.position))
    await room.join()
    if last:
        await _look_back(room, positions[0], last, show)
    await _hear(room, show)


async def _hear(room: Room, show: Callable[[Message], str]) -> None:
    async for message in room:
        if message.gap:
            _note(f"{room.name}: messages are missing here ({message.gap})")
        _say(show(message))


async def _look_back(room: Room, start: Position | None, last: int, show: Callable[[Message], str]) -> None:
    """Show the last messages before the room was joined."""
    if start is None:
        _note(f"{room.name} keeps no messages")
        return
    page = await room.history(before=Position(start.epoch, start.offset + 1), limit=last)
    for message in page.messages:
        _say(show(message))


async def _speak(room: Room) -> None:
    async for line in _typed():
        if not line:
            continue
        try:
            await room.publish({"text": line})
        except (RefusedError, UnknownOutcomeError) as error:
            _note(str(error))


async def _typed() -> AsyncIterator[str]:
    """The lines of standard input.

    A thread reads them, and is left behind at the end: what blocks there cannot be called off. It reads from the
    descriptor itself, because the interpreter does not exit while somebody waits in a buffered reader.
    """
    chunks = asyncio.Queue[bytes]()
    loop = asyncio.get_running_loop()

    def read() -> None:
        while chunk := os.read(0, 65536):
            loop.call_soon_threadsafe(chunks.put_nowait, chunk)
        loop.call_soon_threadsafe(chunks.put_nowait, b"")

    threading.Thread(target=read, daemon=True).start()
    rest = b""
    while chunk := await chunks.get():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace").rstrip("\r")
    if rest:
        yield rest.decode(errors="replace")


def _line(message: Message) -> str:
    payload = message.payload
    text = payload.get("text") if isinstance(payload, dict) and len(payload) == 1 else payload
    shown = text if isinstance(text, str) else json.dumps(payload, ensure_ascii=False)
    return f"{message.timestamp[11:19]} {message.room} {_plain(message.sender or '-')}: {_plain(shown)}"


def _as_json(message: Message) -> str:
    where = message.position
    fields = {"room": message.room, "from": message.sender, "payload": message.payload, "timestamp": message.timestamp}
    place = {} if where is None else {"epoch": where.epoch, "offset": where.offset}
    return json.dumps(fields | place)


def _plain(text: str) -> str:
    """What a stranger wrote, without what a terminal would obey."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _tell(change: StateChange) -> None:
    if change.state is ClientState.CONNECTING and change.code is not None:
        _note(f"the connection is lost ({change.code} {change.reason})")
    elif change.state is ClientState.CONNECTED:
        _note("connected")


def _say(line: str) -> None:
    print(line, flush=True)


def _note(line: str) -> None:
    print(f"forestay: {line}", file=sys.stderr, flush=True)
