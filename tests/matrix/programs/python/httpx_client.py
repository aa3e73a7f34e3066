"""Talks to Forestay with httpx-ws, which stands on httpx and wsproto."""

import asyncio
import sys

import httpx
from httpx_ws import (
    AsyncWebSocketSession,
    HTTPXWSException,
    WebSocketDisconnect,
    WebSocketUpgradeError,
    aconnect_ws,
)
from terminal import commands, pause, say
from wsproto.events import BytesMessage, TextMessage


async def main(url: str, token: str, limit: int, *subprotocols: str) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    options = {"max_message_size_bytes": limit} if limit else {}
    try:
        async with (
            httpx.AsyncClient(headers=headers) as client,
            aconnect_ws(url, client, subprotocols=list(subprotocols), **options) as socket,
        ):
            say("open")
            writing = asyncio.create_task(write(socket))
            await read(socket)
            writing.cancel()
    except WebSocketUpgradeError as refusal:
        answer = refusal.response
        say("refused", answer.status_code, answer.headers.get("Retry-After", "-"))  # the body is closed
    except (HTTPXWSException, httpx.HTTPError) as error:
        say("failed", repr(error))


async def read(socket: AsyncWebSocketSession) -> None:
    try:
        while True:
            match await socket.receive():
                case TextMessage(data=message):
                    say("text", message)
                    await asyncio.sleep(pause(message))
                case BytesMessage(data=data):
                    say("binary", bytes(data).hex())
    except WebSocketDisconnect as closed:
        say("closed", closed.code, closed.reason or "")
    except HTTPXWSException as error:
        say("closed", 1006, repr(error))


async def write(socket: AsyncWebSocketSession) -> None:
    lines = commands()
    while command := await asyncio.to_thread(next, lines, None):
        match command:
            case "text", message:
                await socket.send_text(message)
            case "binary", data:
                await socket.send_bytes(bytes.fromhex(data))
            case "close", _:
                await socket.close(1000)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3], int(sys.argv[3]), *sys.argv[4:]))
