"""An adapter of a simple client: it joins, publishes and listens, and never reconnects."""

import asyncio
import json
import sys
from typing import Any

from websockets.asyncio.client import ClientConnection, connect


def emit(**event: object) -> None:
    print(json.dumps(event), flush=True)


class Naive:
    """The client."""

    def __init__(self) -> None:
        self.url = self.token = ""
        self.socket: ClientConnection | None = None
        self.names: dict[str, str] = {}
        self.reading: asyncio.Task[None] | None = None

    async def do(self, command: dict[str, Any]) -> None:
        match command["do"]:
            case "client":
                self.url = command["url"]
            case "token":
                self.token = command["value"]
            case "connect":
                self.reading = asyncio.create_task(self.connect())
            case "join" | "leave" | "publish" as what if self.socket:
                sentence = {"type": {"publish": "broadcast"}.get(what, what), "id": command["as"]} | command
                if what == "join":
                    emit(on="room", room=command["room"], state="joining")
                await self.socket.send(json.dumps({key: sentence[key] for key in sentence if key not in ("do", "as")}))
            case unknown:
                emit(on="unsupported", do=unknown)

    async def connect(self) -> None:
        emit(on="state", state="connecting")
        emit(on="token")
        headers = {"Authorization": f"Bearer {self.token}"}
        async with connect(self.url, additional_headers=headers, proxy=None) as self.socket:
            async for text in self.socket:
                self.hear(json.loads(text))
        emit(on="state", state="disconnected", code=self.socket.close_code)

    def hear(self, message: dict[str, Any]) -> None:
        payload = message.get("payload") or {}
        match message["type"]:
            case "welcome":
                emit(on="state", state="connected")
            case "joined":
                emit(on="joined", room=message["room"], **payload)
                emit(on="room", room=message["room"], state="joined")
                emit(on="result", **{"as": message["id"]}, value=None)
            case "ack":
                emit(on="result", **{"as": message["id"]}, value=payload)
            case "error":
                emit(on="failure", **{"as": message["id"]}, error="refused", code=payload["code"])
            case "resync":
                emit(on="resync", room=message["room"], reason=payload["reason"])
            case "broadcast":
                emit(on="message", **{key: message[key] for key in message if key not in ("type", "timestamp")})
            case "user-joined" | "user-left" as type:
                emit(on="presence-change", room=message["room"], type=type, user=payload["user"])
            case _:
                pass


async def main() -> None:
    """Runs commands until the input ends."""
    client = Naive()
    emit(on="hello", sdk="naive", status=True)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    async for line in commands:
        await client.do(json.loads(line))
    if client.reading:
        client.reading.cancel()


if __name__ == "__main__":
    asyncio.run(main())
