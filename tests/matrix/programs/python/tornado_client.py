"""Talks to Forestay with Tornado."""

import asyncio
import sys

from terminal import commands, pause, say
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect


async def main(url: str, token: str, limit: int, *subprotocols: str) -> None:
    request = HTTPRequest(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    options = {"max_message_size": limit} if limit else {}
    try:
        socket = await websocket_connect(request, subprotocols=list(subprotocols), **options)
    except HTTPClientError as refusal:
        retry_after = refusal.response.headers.get("Retry-After", "-") if refusal.response else "-"
        say("refused", refusal.code, retry_after)  # the body is not kept
        return
    except OSError as error:
        say("failed", error)
        return
    say("open")
    writing = asyncio.create_task(write(socket))
    while (message := await socket.read_message()) is not None:
        if isinstance(message, bytes):
            say("binary", message.hex())
        else:
            say("text", message)
            await asyncio.sleep(pause(message))
    say("closed", socket.close_code or 1006, socket.close_reason or "")
    writing.cancel()


async def write(socket: WebSocketClientConnection) -> None:
    lines = commands()
    while command := await asyncio.to_thread(next, lines, None):
        match command:
            case "text", message:
                await socket.write_message(message)
            case "binary", data:
                await socket.write_message(bytes.fromhex(data), binary=True)
            case "close", _:
                socket.close(1000)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3], int(sys.argv[3]), *sys.argv[4:]))
