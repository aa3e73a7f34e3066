"""Talks to Forestay with `websockets`, on asyncio."""

import asyncio
import sys

from terminal import commands, pause, say
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus


async def main(url: str, token: str, limit: int, *subprotocols: str) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    options = {"max_size": limit} if limit else {}
    try:
        socket = await connect(url, additional_headers=headers, subprotocols=subprotocols, **options)
    except InvalidStatus as refusal:
        answer = refusal.response
        say("refused", answer.status_code, answer.headers.get("Retry-After", "-"), answer.body.decode())
        return
    except (OSError, InvalidHandshake) as error:
        say("failed", error)
        return
    say("open")
    writing = asyncio.create_task(write(socket))
    try:
        while True:
            message = await socket.recv()
            if isinstance(message, bytes):
                say("binary", message.hex())
            else:
                say("text", message)
                await asyncio.sleep(pause(message))
    except ConnectionClosed as closed:
        end = closed.rcvd or closed.sent  # neither: the connection broke
        say("closed", end.code if end else 1006, end.reason if end else "")
    writing.cancel()


async def write(socket: ClientConnection) -> None:
    lines = commands()
    while command := await asyncio.to_thread(next, lines, None):
        match command:
            case "text", message:
                await socket.send(message)
            case "binary", data:
                await socket.send(bytes.fromhex(data))
            case "close", _:
                await socket.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3], int(sys.argv[3]), *sys.argv[4:]))
