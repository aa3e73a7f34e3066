"""The plain aiohttp loop, as its tutorial writes it: parse the JSON, find the room, `send_str` to each member."""

import json
import sys
from typing import Any

import jwt
from aiohttp import WSMsgType, web

PORT, SECRET = int(sys.argv[1]), sys.argv[2]
rooms: dict[str, set[web.WebSocketResponse]] = {}


async def serve(request: web.Request) -> web.StreamResponse:
    """One connection."""
    try:
        jwt.decode(request.headers["Authorization"].removeprefix("Bearer "), SECRET, algorithms=["HS256"])
    except (KeyError, jwt.PyJWTError):
        return web.Response(status=401)
    ws = web.WebSocketResponse(compress=False)
    await ws.prepare(request)
    try:
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                await answer(ws, json.loads(message.data))
    finally:
        for members in rooms.values():
            members.discard(ws)
    return ws


async def answer(ws: web.WebSocketResponse, said: dict[str, Any]) -> None:
    """One message."""
    room = said.get("room", "")
    if said["type"] == "join":
        rooms.setdefault(room, set()).add(ws)
        await ws.send_str(json.dumps({"type": "joined", "room": room}))
    elif said["type"] == "broadcast":
        data = json.dumps({"type": "broadcast", "room": room, "payload": said["payload"]})
        echo = said.get("echo", True)
        for member in list(rooms.get(room, ())):
            if member is ws and not echo:
                continue
            try:
                await member.send_str(data)
            except ConnectionError:
                pass
    elif said["type"] == "ping":
        await ws.send_str(json.dumps({"type": "pong", "id": said.get("id")}))


app = web.Application()
app.router.add_get("/ws", serve)
# Not aiohttp's default of 128, with which a storm of connections waits for the kernel and not for the server.
web.run_app(app, host="127.0.0.1", port=PORT, access_log=None, backlog=4096, print=None)
