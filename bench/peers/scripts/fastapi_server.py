"""FastAPI on uvicorn with uvloop, as its tutorial writes it: a connection manager that sends to each member."""

import sys
from typing import Any

import jwt
import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

PORT, SECRET = int(sys.argv[1]), sys.argv[2]
app = FastAPI()


class ConnectionManager:
    """Who is in which room."""

    def __init__(self) -> None:
        self.rooms: dict[str, set[WebSocket]] = {}

    def disconnect(self, websocket: WebSocket) -> None:
        for members in self.rooms.values():
            members.discard(websocket)

    async def answer(self, websocket: WebSocket, said: dict[str, Any]) -> None:
        """One message."""
        room = said.get("room", "")
        if said["type"] == "join":
            self.rooms.setdefault(room, set()).add(websocket)
            await websocket.send_json({"type": "joined", "room": room}, mode="text")
        elif said["type"] == "broadcast":
            data = {"type": "broadcast", "room": room, "payload": said["payload"]}
            echo = said.get("echo", True)
            for member in list(self.rooms.get(room, ())):
                if member is websocket and not echo:
                    continue
                try:
                    await member.send_json(data)
                except (RuntimeError, WebSocketDisconnect):
                    pass
        elif said["type"] == "ping":
            await websocket.send_json({"type": "pong", "id": said.get("id")})


manager = ConnectionManager()


@app.websocket("/ws")
async def serve(websocket: WebSocket) -> None:
    """One connection."""
    try:
        token = websocket.headers["Authorization"].removeprefix("Bearer ")
        jwt.decode(token, SECRET, algorithms=["HS256"])
    except (KeyError, jwt.PyJWTError):
        await websocket.close(1008)
        return
    await websocket.accept()
    try:
        while True:
            await manager.answer(websocket, await websocket.receive_json())
    except WebSocketDisconnect:
        pass
    finally:
        manager.disconnect(websocket)


# The crowd of the benches never answers a ping, and offers no compression.
uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning", ws_ping_interval=None, backlog=4096)
