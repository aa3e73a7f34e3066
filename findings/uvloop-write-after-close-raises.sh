#!/usr/bin/env bash
# The transport of uvloop raises when something is written to a connection that is lost; that of asyncio drops it.
#
# Seen with uvloop 0.23.0: after `connection_lost`, `transport.write` raises RuntimeError ("the handler is closed"), and
# so does a StreamWriter, which goes on to the same transport. The asyncio of the standard library takes the bytes and
# drops them, and after the fifth time it logs "socket.send() raised exception". Code that writes once more behind an
# `await` works on asyncio and meets a bug on uvloop only when a client goes away in that moment.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet uvloop==0.23.0

cat >run.py <<'PY'
import asyncio
import sys

import uvloop


class Server(asyncio.Protocol):
    def __init__(self, lost: asyncio.Future) -> None:
        self.lost = lost

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(self.transport)


async def main() -> None:
    loop = asyncio.get_running_loop()
    lost = loop.create_future()
    server = await loop.create_server(lambda: Server(lost), "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.close()
    await writer.wait_closed()
    transport = await lost
    await asyncio.sleep(0.1)
    try:
        transport.write(b"late")
        print(sys.argv[1], "dropped it")
    except RuntimeError as error:
        print(sys.argv[1], "raised RuntimeError:", str(error).rpartition("; ")[2])
    server.close()


loops = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
with asyncio.Runner(loop_factory=loops[sys.argv[1]]) as runner:
    runner.run(main())
PY

seen=$(for loop in asyncio uvloop; do venv/bin/python run.py "$loop"; done)
expected="asyncio dropped it
uvloop raised RuntimeError: the handler is closed"
printf '%s\n' "$seen"
if [[ $seen != "$expected" ]]; then
    printf 'expected:\n%s\n' "$expected" >&2
    exit 1
fi
