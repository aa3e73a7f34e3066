"""Measures the round trip of one message: connect, join a room, publish, receive, close."""

import asyncio
import re
import secrets
import time
from typing import Any, Final

import aiohttp
import msgspec

from forestay.protocol.depth import MAX_DEPTH, deeper_than
from forestay.protocol.names import PROTOCOL
from forestay.terminal.words import printable, refusal, system_words, usable

_PROBLEM_BYTES: Final = 4096
_PROBLEM_TIME_LIMIT: Final = 5.0


class Unanswered(Exception):
    """The message did not come back. The error message says at which stage it failed."""


async def ping(url: str, token: str, room: str, time_limit: float) -> float:
    """Returns the seconds that a message took through the gateway at `url` and back. Raises Unanswered.

    The token must allow to join `room` and to publish there. `time_limit`: seconds for all of it.
    """
    stage = "connecting"
    try:
        token = usable(token)
    except ValueError as error:
        raise Unanswered(str(error)) from None
    try:
        async with asyncio.timeout(time_limit), aiohttp.ClientSession() as session:
            headers = {"Authorization": f"Bearer {token}"}
            async with session.ws_connect(url, protocols=(PROTOCOL,), headers=headers) as socket:
                stage = "joining"
                await _send(socket, {"type": "join", "room": room, "id": "join"})
                await _wait_for(socket, "joined", None)
                stage = "waiting for its own message"
                payload = secrets.token_hex(8)
                start = time.perf_counter()
                await _send(socket, {"type": "broadcast", "room": room, "payload": payload, "echo": True, "id": "ping"})
                await _wait_for(socket, "broadcast", payload)
                return time.perf_counter() - start
    except TimeoutError:
        raise Unanswered(f"gave up after {time_limit:g} s while {stage}") from None
    except aiohttp.WSServerHandshakeError as error:
        raise Unanswered(refusal(error.status, await _problem(url, token, error.status))) from None
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
        raise Unanswered("the URL cannot be read; it must look like ws://example.com/ws") from None
    except aiohttp.ClientConnectorCertificateError:
        raise Unanswered("the certificate of the server is not valid for this machine") from None
    except aiohttp.ClientConnectorSSLError:
        raise Unanswered("no TLS at this address; is it ws:// in place of wss://?") from None
    except aiohttp.ClientConnectorDNSError:
        raise Unanswered("the name of the host cannot be resolved") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unanswered(f"failed while {stage}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """Why there is no connection. The library's own message is not used, because it may quote the URL or a header."""
    words = system_words(error) if isinstance(error, OSError) else ""
    return words or type(error).__name__


async def _problem(url: str, token: str, status: int) -> bytes:
    """Asks again without an upgrade, because the library drops the body of a refusal. Empty if the answer differs."""
    headers = {"Authorization": f"Bearer {token}"}
    try:
        time_limit = aiohttp.ClientTimeout(total=_PROBLEM_TIME_LIMIT)
        async with (
            aiohttp.ClientSession(timeout=time_limit) as session,
            session.get(re.sub("^ws", "http", url), headers=headers, allow_redirects=False) as answer,
        ):
            return await answer.content.read(_PROBLEM_BYTES) if answer.status == status else b""
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return b""


async def _send(socket: aiohttp.ClientWebSocketResponse, request: dict[str, object]) -> None:
    await socket.send_str(msgspec.json.encode(request).decode())


async def _wait_for(socket: aiohttp.ClientWebSocketResponse, kind: str, payload: object) -> None:
    """Reads until a message of this `kind` comes, with this `payload` if one is given. Raises Unanswered."""
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.TEXT:
            continue
        if deeper_than(message.data, MAX_DEPTH):
            continue  # Another member of the room sent it. What this client waits for is flat.
        reply: dict[str, Any] = msgspec.json.decode(message.data)
        if reply["type"] == "error":
            raise Unanswered(printable(f"refused: {reply['payload']['code']}: {reply['payload']['message']}"))
        if reply["type"] == kind and (payload is None or reply["payload"] == payload):
            return
    raise Unanswered(f"closed with {socket.close_code}")
