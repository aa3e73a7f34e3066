"""A pod that stands still for a moment, as one without CPU does, must not take its clients' silence for theirs."""

import asyncio
import signal
from collections import Counter
from typing import Final

from websockets.asyncio.client import ClientConnection, connect

from tests.conformance.gateway import PATIENCE, GatewayProcess

SETTINGS: Final = {"PING_INTERVAL": "6", "PONG_TIMEOUT": "5"}
_CLIENTS = 20
# Clients come one after the other, so that the pause meets each of them at another point of its round of pings.
_ROUND = 6.0
# Less than a client has to answer, and more than the pod may be late without noticing.
_PAUSE = 4.0


async def survivors(gateway: GatewayProcess) -> Counter[int | None]:
    """How many of `_CLIENTS` that answer every ping are closed with which code (None: not at all) after a pause."""
    clients = [await _client(gateway, number) for number in range(_CLIENTS)]
    reading = [asyncio.create_task(client.wait_closed()) for client in clients]
    await asyncio.sleep(_ROUND)
    gateway.send_signal(signal.SIGSTOP)
    await asyncio.sleep(_PAUSE)
    gateway.send_signal(signal.SIGCONT)
    # Every deadline that the pause has touched is over after this.
    await asyncio.sleep(_ROUND)
    codes = Counter(client.close_code for client in clients)
    for client in clients:
        await client.close()
    await asyncio.wait(reading, timeout=PATIENCE)
    return codes


async def _client(gateway: GatewayProcess, number: int) -> ClientConnection:
    await asyncio.sleep(_ROUND / _CLIENTS)
    headers = {"Authorization": f"Bearer {gateway.token(f'pause-{number}')}"}
    return await connect(f"ws://127.0.0.1:{gateway.port}/ws", additional_headers=headers, ping_interval=None)
