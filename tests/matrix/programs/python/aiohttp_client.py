"""Talks to Forestay with aiohttp."""

import asyncio
import sys

import aiohttp
from terminal import commands, pause, say


async def main(url: str, token: str, limit: int, *subprotocols: str) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    options = {"max_msg_size": limit} if limit else {}
    async with aiohttp.ClientSession() as session:
        try:
            socket = await session.ws_connect(url, headers=headers, protocols=subprotocols, **options)
        except aiohttp.WSServerHandshakeError as refusal:
            retry_after = (refusal.headers or {}).get("Retry-After", "-")
            say("refused", refusal.status, retry_after)  # the body is not kept
            return
        except aiohttp.ClientError as error:
            say("failed", error)
            return
        say("open")
        writing = asyncio.create_task(write(socket))
        reason = ""
        while True:
            message = await socket.receive()
            match message.type:
                case aiohttp.WSMsgType.TEXT:
                    say("text", message.data)
                    await asyncio.sleep(pause(message.data))
                case aiohttp.WSMsgType.BINARY:
                    say("binary", message.data.hex())
                case aiohttp.WSMsgType.CLOSE:
                    reason = message.extra or ""
                    break
                case _:
                    break
        await socket.close()  # where the other task has called it, this waits for it
        say("closed", socket.close_code, reason)
        writing.cancel()


async def write(socket: aiohttp.ClientWebSocketResponse) -> None:
    lines = commands()
    while command := await asyncio.to_thread(next, lines, None):
        match command:
            case "text", message:
                await socket.send_str(message)
            case "binary", data:
                await socket.send_bytes(bytes.fromhex(data))
            case "close", _:
                await socket.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3], int(sys.argv[3]), *sys.argv[4:]))
