"""A common client library against a real gateway: two ways to send a token, messages in a room, and three endings.

The library is `websockets`. It shares no code with the gateway and checks strictly what it receives.
"""

import asyncio
import json
from base64 import urlsafe_b64encode
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.conformance.gateway import PATIENCE, GatewayProcess
from tests.conformance.line import parse

say = partial(print, flush=True)

ROOM: Final = "interop.room"
_PROTOCOL = Subprotocol("forestay.v1")
_TOKEN_PROTOCOL = "base64url.bearer.forestay."
_TOO_BIG = 65537
_USER = "zoë/ü"


class Wrong(Exception):
    """The gateway did something that a user of the library does not expect."""


def _expect(what: str, got: object, wanted: object) -> None:
    if got != wanted:
        raise Wrong(f"{what}: {got!r} instead of {wanted!r}")
    say(f"  ok  {what}: {wanted!r}")


async def interop() -> bool:
    """Runs all scenarios. Returns whether everything was as expected."""
    async with GatewayProcess() as gateway:
        try:
            await _scenario(gateway)
        except Wrong as wrong:
            say(f"FAILED {wrong}")
            return False
        for origin, (count, first) in gateway.trouble.items():
            say(f"FAILED logged {count} times at error level: {origin}: {first}")
        return not gateway.trouble


async def _scenario(gateway: GatewayProcess) -> None:
    url, token = f"ws://127.0.0.1:{gateway.port}/ws", gateway.token(_USER)
    encoded = urlsafe_b64encode(token.encode()).rstrip(b"=").decode()
    offered = [_PROTOCOL, Subprotocol(_TOKEN_PROTOCOL + encoded)]
    one = await connect(url, subprotocols=offered)
    _expect("subprotocol chosen", one.subprotocol, _PROTOCOL)
    other = await connect(url, additional_headers={"Authorization": f"Bearer {token}"})
    _expect("subprotocol where none was offered", other.subprotocol, None)
    for name, client in (("token as a subprotocol", one), ("token in a header", other)):
        _expect(f"{name}: extensions", client.protocol.extensions, [])
        welcome = await _next(client)
        _expect(f"{name}: greeted with", (welcome["type"], welcome["payload"]["user"]), ("welcome", _USER))
        await client.send(json.dumps({"type": "join", "room": ROOM, "id": "j"}))
        joined = await _next(client)
        _expect(f"{name}: joining", (joined["type"], joined["room"], joined["id"]), ("joined", ROOM, "j"))
    await _talk(one, other)
    await asyncio.wait_for(await one.ping(b"sign"), PATIENCE)
    say("  ok  a ping is answered")

    big = await connect(url, additional_headers={"Authorization": f"Bearer {token}"})
    await _next(big)
    await big.send("x" * _TOO_BIG)
    _expect("after a message of 65,537 bytes", await _close_of(big), (1009, "message too big"))

    status, _ = await gateway.ask("DELETE", f"/v1/users/{quote(_USER, safe='')}/connections")
    _expect("ending a user's connections answers", status, 200)
    for client in (one, other):
        _expect("after that", await _close_of(client), (4403, "access revoked"))

    last = await connect(url, subprotocols=offered)
    await _next(last)
    stopping = asyncio.create_task(gateway.stop())
    _expect("after SIGTERM", await _close_of(last), (1001, "draining: connect again"))
    _expect("exit code", await stopping, 0)


async def _talk(one: ClientConnection, other: ClientConnection) -> None:
    payload = {"text": "Grüße 😀", "numbers": [1, 2.5, 1e21, None]}
    await one.send(json.dumps({"type": "broadcast", "room": ROOM, "payload": payload, "id": "b"}))
    for name, client, ack in (("sender", one, True), ("other", other, False)):
        heard = [await _next(client) for _ in range(2 if ack else 1)]
        _expect(f"{name} hears", sorted(each["type"] for each in heard), ["ack", "broadcast"][not ack :])
        [message] = [each for each in heard if each["type"] == "broadcast"]
        _expect(f"{name} hears from", (message["from"], message["payload"]), (_USER, payload))
    await other.send(b"\x00\x00\x00\x07raw\xff")
    _expect("binary message", await asyncio.wait_for(one.recv(), PATIENCE), b"\x00\x00\x00\x07raw\xff")
    _expect("its echo", await asyncio.wait_for(other.recv(), PATIENCE), b"\x00\x00\x00\x07raw\xff")
    largest = json.dumps({"type": "ping", "pad": ""})
    await one.send(largest.replace('""', '"' + "x" * (_TOO_BIG - 1 - len(largest)) + '"'))
    _expect("the answer to a message of 65,536 bytes", (await _next(one))["type"], "pong")


async def _next(client: ClientConnection) -> dict[str, Any]:
    try:
        return parse(str(await asyncio.wait_for(client.recv(), PATIENCE)))
    except ConnectionClosed as closed:
        raise Wrong(f"closed: {closed}") from None


async def _close_of(client: ClientConnection) -> tuple[int, str]:
    """The code and the reason of the gateway's close."""
    try:
        while True:
            await asyncio.wait_for(client.recv(), PATIENCE)
    except ConnectionClosed as closed:
        if closed.rcvd is None:
            raise Wrong("no close frame came") from None
        return closed.rcvd.code, closed.rcvd.reason
