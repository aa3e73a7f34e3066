"""picows on uvloop, as its broadcast example writes it: a listener per connection, and a send to each member."""

import json
import sys

import jwt
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

PORT, SECRET = int(sys.argv[1]), sys.argv[2]
rooms: dict[str, set[WSTransport]] = {}


class Listener(WSListener):
    """One connection."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
        elif frame.msg_type == WSMsgType.TEXT:
            answer(transport, json.loads(frame.get_payload_as_bytes()))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        for members in rooms.values():
            members.discard(transport)


def answer(transport: WSTransport, said: dict) -> None:
    """One message."""
    room = said.get("room", "")
    if said["type"] == "join":
        rooms.setdefault(room, set()).add(transport)
        transport.send(WSMsgType.TEXT, json.dumps({"type": "joined", "room": room}).encode())
    elif said["type"] == "broadcast":
        data = json.dumps({"type": "broadcast", "room": room, "payload": said["payload"]}).encode()
        echo = said.get("echo", True)
        for member in list(rooms.get(room, ())):
            if member is not transport or echo:
                member.send(WSMsgType.TEXT, data)
    elif said["type"] == "ping":
        transport.send(WSMsgType.TEXT, json.dumps({"type": "pong", "id": said.get("id")}).encode())


def admit(request: WSUpgradeRequest) -> Listener | None:
    """A listener for a request with a valid token."""
    try:
        jwt.decode(request.headers["Authorization"].removeprefix("Bearer "), SECRET, algorithms=["HS256"])
    except (KeyError, jwt.PyJWTError):
        return None
    return Listener()


async def main() -> None:
    server = await ws_create_server(admit, "127.0.0.1", PORT, backlog=4096)
    await server.serve_forever()


uvloop.run(main())
