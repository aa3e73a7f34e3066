"""Talks to Forestay with curl_cffi, which is libcurl."""

import asyncio
import sys

from curl_cffi import AsyncSession, AsyncWebSocket, CurlError, CurlWsFlag
from terminal import commands, pause, say


async def main(url: str, token: str, limit: int, *subprotocols: str) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if subprotocols:
        headers["Sec-WebSocket-Protocol"] = ", ".join(subprotocols)
    async with AsyncSession() as session:
        try:
            socket = await session.ws_connect(url, headers=headers)
        except CurlError as error:
            say("failed", error)  # the status is in its text
            return
        say("open")
        writing = asyncio.create_task(write(socket))
        try:
            while True:
                data, flags = await socket.recv()
                if flags & CurlWsFlag.TEXT:
                    message = data.decode()
                    say("text", message)
                    await asyncio.sleep(pause(message))
                elif flags & CurlWsFlag.BINARY:
                    say("binary", data.hex())
        except CurlError:
            say("closed", socket.close_code or 1006, socket.close_reason or "")
        writing.cancel()


async def write(socket: AsyncWebSocket) -> None:
    lines = commands()
    while command := await asyncio.to_thread(next, lines, None):
        match command:
            case "text", message:
                await socket.send_str(message)
            case "binary", data:
                await socket.send_binary(bytes.fromhex(data))
            case "close", _:
                await socket.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3], int(sys.argv[3]), *sys.argv[4:]))
