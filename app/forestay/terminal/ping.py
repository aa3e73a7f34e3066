"""A client of one breath: connect, join a room, speak, hear oneself, go."""

import asyncio
import secrets
import time
from typing import Any

import aiohttp
import msgspec

from forestay.protocol.depth import MAX_DEPTH, deeper_than
from forestay.protocol.names import PROTOCOL


class Unanswered(Exception):
    """It did not come back; the message says how far it came."""


async def ping(url: str, token: str, room: str, patience: float) -> float:
    """Seconds that a message took through the gateway at `url` and back. Raises Unanswered.

    `room`: has to allow the token to join and to broadcast. `patience`: seconds for all of it.
    """
    stage = "connecting"
    try:
        async with asyncio.timeout(patience), aiohttp.ClientSession() as session:
            headers = {"Authorization": f"Bearer {token}"}
            async with session.ws_connect(url, protocols=(PROTOCOL,), headers=headers) as socket:
                stage = "joining"
                await _say(socket, {"type": "join", "room": room, "id": "join"})
                await _hear(socket, "joined", None)
                stage = "waiting for its own message"
                word = secrets.token_hex(8)
                start = time.perf_counter()
                await _say(socket, {"type": "broadcast", "room": room, "payload": word, "echo": True, "id": "ping"})
                await _hear(socket, "broadcast", word)
                return time.perf_counter() - start
    except TimeoutError:
        raise Unanswered(f"gave up after {patience:g} s while {stage}") from None
    except aiohttp.WSServerHandshakeError as error:
        raise Unanswered(f"the handshake was answered with {error.status}") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unanswered(f"failed while {stage}: {error}") from None


async def _say(socket: aiohttp.ClientWebSocketResponse, sentence: dict[str, object]) -> None:
    await socket.send_str(msgspec.json.encode(sentence).decode())


async def _hear(socket: aiohttp.ClientWebSocketResponse, kind: str, payload: object) -> None:
    """Read until a sentence of this `kind`, with this `payload` if one is given. Raises Unanswered."""
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.TEXT:
            continue
        if deeper_than(message.data, MAX_DEPTH):
            continue  # A message that others sent to the room: what we wait for is flat.
        said: dict[str, Any] = msgspec.json.decode(message.data)
        if said["type"] == "error":
            raise Unanswered(f"refused: {said['payload']['code']}: {said['payload']['message']}")
        if said["type"] == kind and (payload is None or said["payload"] == payload):
            return
    raise Unanswered(f"closed with {socket.close_code}")
