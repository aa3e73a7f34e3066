"""Talks to Forestay with trio-websocket."""

import sys

import trio
from terminal import commands, pause, say
from trio_websocket import ConnectionClosed, ConnectionRejected, HandshakeError, WebSocketConnection, open_websocket_url


async def main(url: str, token: str, limit: int, *subprotocols: str) -> None:
    headers = [(b"Authorization", f"Bearer {token}".encode())] if token else []
    options = {"max_message_size": limit} if limit else {}
    try:
        async with open_websocket_url(url, subprotocols=subprotocols, extra_headers=headers, **options) as socket:
            say("open")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write, socket)
                await read(socket)
                nursery.cancel_scope.cancel()
    except ConnectionRejected as refusal:
        retry_after = dict(refusal.headers).get(b"retry-after", b"-").decode()
        say("refused", refusal.status_code, retry_after, (refusal.body or b"").decode())
    except (HandshakeError, OSError) as error:
        say("failed", error)


async def read(socket: WebSocketConnection) -> None:
    while True:
        try:
            message = await socket.get_message()
        except ConnectionClosed as closed:
            say("closed", closed.reason.code, closed.reason.reason or "")
            return
        if isinstance(message, bytes):
            say("binary", message.hex())
        else:
            say("text", message)
            await trio.sleep(pause(message))


async def write(socket: WebSocketConnection) -> None:
    lines = commands()
    while command := await trio.to_thread.run_sync(next, lines, None, abandon_on_cancel=True):
        match command:
            case "text", message:
                await socket.send_message(message)
            case "binary", data:
                await socket.send_message(bytes.fromhex(data))
            case "close", _:
                await socket.aclose(1000)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:3], int(sys.argv[3]), *sys.argv[4:])
