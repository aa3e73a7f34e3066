#!/usr/bin/env bash
# picows sends the close code 0 if `send_close()` is called without a code.
#
# Seen with picows 2.3.1: the frame is `88 82`, the mask, and two bytes that unmask to 00 00. RFC 6455 §7.4.1 has no code
# below 1000, and a frame without a code would have no payload. A strict server answers such a client with 1002 although
# it only wanted to leave: aiohttp 3.14.5 does, and websockets 15.0.1 as well.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check picows==2.3.1 websockets==15.0.1 aiohttp==3.14.5

cat >close.py <<'PY'
import asyncio

from aiohttp import web
from picows import WSListener, ws_connect
from websockets.asyncio.server import serve


class Leaving(WSListener):
    """Leaves at once without a code, and keeps the server's answer."""

    def __init__(self):
        self.answer = asyncio.get_running_loop().create_future()

    def on_ws_connected(self, transport):
        transport.send_close()

    def on_ws_frame(self, transport, frame):
        if not self.answer.done():
            self.answer.set_result(int(frame.get_close_code()))


async def answer(port):
    transport, leaving = await ws_connect(Leaving, f"ws://127.0.0.1:{port}/")
    code = await asyncio.wait_for(leaving.answer, 5)
    transport.disconnect()
    return code


async def raw():
    """The close frame as it is on the wire, without its mask."""
    got = asyncio.get_running_loop().create_future()

    async def accept(reader, writer):
        import base64, hashlib

        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key"))
        proof = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        writer.write(b"Sec-WebSocket-Accept: " + proof + b"\r\n\r\n")
        first, second = await reader.readexactly(2)
        mask = await reader.readexactly(4)
        body = await reader.readexactly(second & 0x7F)
        got.set_result(bytes([first]) + bytes(byte ^ mask[at % 4] for at, byte in enumerate(body)))
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    transport, _ = await ws_connect(Leaving, f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    frame = await asyncio.wait_for(got, 5)
    transport.disconnect()
    return frame


async def main():
    print("frame:", (await raw()).hex(" "))

    async def drain(request):
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        async for _ in ws:
            pass
        return ws

    app = web.Application()
    app.router.add_get("/", drain)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print("aiohttp answers:", await answer(runner.addresses[0][1]))
    await runner.cleanup()

    async def wait(connection):
        await connection.wait_closed()

    async with serve(wait, "127.0.0.1", 0) as server:
        print("websockets answers:", await answer(server.sockets[0].getsockname()[1]))


asyncio.run(main())
PY

seen=$(venv/bin/python close.py 2>/dev/null)
expected="frame: 88 00 00
aiohttp answers: 1002
websockets answers: 1002"
printf 'picows 2.3.1\n%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
