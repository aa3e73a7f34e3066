"""A pod that stands still for a moment, as without CPU, must not end clients for their silence."""

import asyncio
import signal
from collections import Counter
from typing import Final

from websockets.asyncio.client import ClientConnection, connect

from tests.conformance.gateway import PATIENCE, GatewayProcess

SETTINGS: Final = {"PING_INTERVAL": "6", "PONG_TIMEOUT": "5"}
_CLIENTS = 20
# Clients connect one after the other, so that the pause meets each at another point of its ping cycle.
_ROUND = 6.0
# Shorter than the pong timeout, and longer than the lag that the pod tolerates unnoticed.
_PAUSE = 4.0


async def survivors(gateway: GatewayProcess) -> Counter[int | None]:
    """Pauses a pod with `_CLIENTS` clients that answer every ping. Returns the number per close code (None: open)."""
    clients = [await _client(gateway, number) for number in range(_CLIENTS)]
    reading = [asyncio.create_task(client.wait_closed()) for client in clients]
    await asyncio.sleep(_ROUND)
    gateway.send_signal(signal.SIGSTOP)
    await asyncio.sleep(_PAUSE)
    gateway.send_signal(signal.SIGCONT)
    # After this every deadline that the pause could affect has passed.
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
