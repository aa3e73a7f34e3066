#!/usr/bin/env bash
# niquests leaves a WebSocket with the close code 0, and tells nobody the code with which a server closes one.
#
# Seen with niquests 3.21.2 and urllib3-future 2.25.904, of PyPI. The frame of `extension.close()` has two bytes that
# unmask to 00 00. RFC 6455 §7.4.1 has no code below 1000, and a frame without a code would have no payload. A strict
# server answers such a client with 1002 although it only wanted to leave: websockets 15.0.1 does. And after a close of
# the server with 4401 and a reason, `next_payload()` gives None, as after any other end: the program cannot tell an end
# after which it should come back from one after which it should not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check niquests==3.21.2 urllib3-future==2.25.904 wsproto==1.3.2 \
    websockets==15.0.1

cat >close.py <<'PY'
import asyncio
import base64
import hashlib

import niquests
from websockets.asyncio.server import serve

codes = asyncio.Queue()
frames = asyncio.Queue()


async def accept(reader, writer):
    """Open a WebSocket by hand, and keep the first frame without its mask."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    key = next(line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key"))
    proof = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
    writer.write(b"Sec-WebSocket-Accept: " + proof + b"\r\n\r\n")
    first, second = await reader.readexactly(2)
    mask = await reader.readexactly(4)
    body = await reader.readexactly(second & 0x7F)
    frames.put_nowait(bytes([first]) + bytes(byte ^ mask[at % 4] for at, byte in enumerate(body)))
    writer.close()


def leave(port):
    niquests.get(f"ws://127.0.0.1:{port}/").extension.close()


def listen(port):
    return niquests.get(f"ws://127.0.0.1:{port}/").extension.next_payload()


async def hear(connection):
    await connection.wait_closed()
    codes.put_nowait(connection.protocol.close_sent.code)


async def end(connection):
    await connection.close(4401, "the token has expired")


async def main():
    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    await asyncio.to_thread(leave, server.sockets[0].getsockname()[1])
    print("frame:", (await frames.get()).hex(" "))
    async with serve(hear, "127.0.0.1", 0) as server:
        await asyncio.to_thread(leave, server.sockets[0].getsockname()[1])
        print("websockets answers:", await codes.get())
    async with serve(end, "127.0.0.1", 0) as server:
        print("after a close with 4401:", await asyncio.to_thread(listen, server.sockets[0].getsockname()[1]))


asyncio.run(main())
PY

seen=$(timeout 120 venv/bin/python close.py 2>/dev/null || true)
expected="frame: 88 00 00
websockets answers: 1002
after a close with 4401: None"
printf 'niquests 3.21.2\n%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
