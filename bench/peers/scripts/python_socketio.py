"""`python-socketio` on aiohttp, as its documentation writes it: a `connect` handler that checks the token; rooms."""

import os
import sys
from typing import Any

import jwt
import socketio
from aiohttp import web

PORT, SECRET = int(sys.argv[1]), sys.argv[2]
address = os.environ.get("BENCH_REDIS")
manager = socketio.AsyncRedisManager(address) if address else None
# The crowd of the benches never answers a ping.
sio = socketio.AsyncServer(async_mode="aiohttp", ping_interval=3600, client_manager=manager)


async def connect(sid: str, _: dict[str, Any], auth: dict[str, str] | None) -> None:
    try:
        jwt.decode((auth or {}).get("token", ""), SECRET, algorithms=["HS256"])
    except jwt.PyJWTError:
        raise ConnectionRefusedError("Authentication failed") from None


async def join(sid: str, room: str) -> dict[str, bool]:
    await sio.enter_room(sid, room)
    return {"ok": True}


async def message(_: str, said: dict[str, Any]) -> None:
    await sio.emit("message", said, room=said["room"])


for name, handler in (("connect", connect), ("join-room", join), ("message", message)):
    sio.on(name, handler)
app = web.Application()
sio.attach(app)
web.run_app(app, host="127.0.0.1", port=PORT, access_log=None, backlog=4096, print=None)
