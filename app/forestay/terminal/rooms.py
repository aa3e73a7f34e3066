"""`forestay join`, `send` and `tail`: use rooms from a terminal, with the Python client."""

import argparse
import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager

from forestay.terminal.failed import Failed
from forestay.terminal.words import printable, shown
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
    """Prints the messages of a room, and publishes each typed line until the input ends."""
    async with _connected(options, get_token) as client:
        room = client.room(options.room)
        room.on("user-joined", lambda change: _print(f"* {printable(change.user)} joined"))
        room.on("user-left", lambda change: _print(f"* {printable(change.user)} left"))
        await room.join()
        _note(f"in {room.name} as {client.user}; type a line to publish it, Ctrl-D to leave")
        printing, publishing = (
            asyncio.ensure_future(work) for work in (_print_messages(room, _line), _publish_lines(room))
        )
        await asyncio.wait({printing, publishing}, return_when=asyncio.FIRST_COMPLETED)
        publishing.cancel()
        await room.leave()
        await printing


async def send(options: argparse.Namespace, get_token: GetToken) -> None:
    """Publishes one message and waits until it is accepted."""
    text = sys.stdin.read() if options.text == "-" else options.text
    try:
        payload = json.loads(text) if options.json else [text] if options.event else {"text": text}
    except ValueError as error:
        raise Failed(f"the text is not JSON: {error}", 2) from None
    async with _connected(options, get_token) as client:
        try:
            await client.room(options.room).publish(payload, key=options.key, event=options.event)
        except ValueError as error:
            raise Failed(f"the message cannot be sent: {error}", 2) from None


async def tail(options: argparse.Namespace, get_token: GetToken) -> None:
    """Prints the messages of some rooms until it is interrupted."""
    show = _as_json if options.json else _line
    async with _connected(options, get_token) as client:
        followers = [_follow(client.room(name), options.last, show) for name in options.room]
        await asyncio.gather(*followers)


VERBS: Mapping[str, Callable[[argparse.Namespace, GetToken], Coroutine[None, None, None]]] = {
    "join": join,
    "send": send,
    "tail": tail,
}


@asynccontextmanager
async def _connected(options: argparse.Namespace, get_token: GetToken) -> AsyncIterator[Client]:
    """Yields a connected client. Errors of the client become Failed."""
    try:
        client = Client(options.url, get_token=get_token, timeout=options.timeout)
    except ValueError as error:
        raise Failed(str(error), 2) from None
    client.on("state", _note_state)
    client.on("error", lambda error: _note(str(error)))
    client.connect()
    try:
        async with asyncio.timeout(options.timeout):
            await client.ready()
        yield client
    except TimeoutError:
        why = "" if client.error is None else f": {client.error}"
        raise Failed(f"no connection to {shown(options.url)} within {options.timeout:g} s{why}") from None
    except ForestayError as error:
        raise Failed(f"{shown(options.url)}: {printable(str(error))}") from None
    finally:
        await client.disconnect()


async def _follow(room: Room, last: int, show: Callable[[Message], str]) -> None:
    positions = list[Position | None]()
    room.on("joined", lambda joined: positions.append(joined.position))
    await room.join()
    if last:
        await _print_history(room, positions[0], last, show)
    await _print_messages(room, show)


async def _print_messages(room: Room, show: Callable[[Message], str]) -> None:
    async for message in room:
        if message.gap:
            _note(f"{room.name}: messages are missing here ({message.gap})")
        _print(show(message))


async def _print_history(room: Room, start: Position | None, last: int, show: Callable[[Message], str]) -> None:
    """Prints the last messages before the join."""
    if start is None:
        _note(f"{room.name} keeps no messages")
        return
    page = await room.history(before=Position(start.epoch, start.offset + 1), limit=last)
    for message in page.messages:
        _print(show(message))


async def _publish_lines(room: Room) -> None:
    async for line in _typed_lines():
        if not line:
            continue
        try:
            await room.publish({"text": line})
        except (RefusedError, UnknownOutcomeError) as error:
            _note(str(error))


async def _typed_lines() -> AsyncIterator[str]:
    """The lines of standard input.

    A thread reads them and is left behind at the end, because a blocking read cannot be cancelled. It reads from the
    descriptor itself: the interpreter does not exit while a thread waits in a buffered reader.
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
    said = shown if message.event is None else f"{message.event} {shown}"
    return f"{message.timestamp[11:19]} {message.room} {printable(message.sender or '-')}: {printable(said)}"


def _as_json(message: Message) -> str:
    position = message.position
    fields = {"room": message.room, "from": message.sender, "payload": message.payload, "timestamp": message.timestamp}
    coordinates = {} if position is None else {"epoch": position.epoch, "offset": position.offset}
    event = {} if message.event is None else {"event": message.event}
    return json.dumps(fields | event | coordinates)


def _note_state(change: StateChange) -> None:
    if change.state is ClientState.CONNECTING and change.code is not None:
        _note(printable(f"the connection was lost ({change.code} {change.reason})"))
    elif change.state is ClientState.CONNECTED:
        _note("connected")


def _print(line: str) -> None:
    print(line, flush=True)


def _note(line: str) -> None:
    print(f"forestay: {line}", file=sys.stderr, flush=True)
