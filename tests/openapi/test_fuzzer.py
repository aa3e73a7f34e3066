"""The gateway does what its description says, for whatever schemathesis makes of it."""

import asyncio
import json
import os
from asyncio.subprocess import PIPE, STDOUT
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from tests.openapi.clients import clients
from tests.openapi.install import schemathesis
from tests.support import call_hooks
from tests.support.gateway import API_KEY, Client, Closed, Gateway, gateway, token
from tests.support.webhook_receiver import receiver, settings_for, status

HOOKS: Final = Path(__file__).with_name("fuzzer_hooks.py")

# Seconds. The fuzzer ends by itself within a third of it.
LIMIT: Final = 900

EVERYTHING = """
[[rooms]]
pattern = "@me"
webhooks = ["online", "offline", "message"]
[rooms.history]
size = 10
ttl = 60

[[rooms]]
pattern = "**"
presence = true
webhooks = ["occupied", "vacated", "message"]
[rooms.history]
size = 10
ttl = 60
"""

READ = """
[[rooms]]
pattern = "**"
presence = true
[rooms.history]
size = 10
ttl = 60
"""


async def fuzz(folder: Path, address: str, *arguments: str) -> tuple[int | None, str]:
    """The status and the output of a run of schemathesis in `folder`, on the description at `address`."""
    command = await asyncio.to_thread(schemathesis)
    fuzzer = await asyncio.create_subprocess_exec(
        command,
        "run",
        address,
        *arguments,
        "--max-examples=30",
        "--generation-deterministic",
        "--request-timeout=30",
        "--no-color",
        cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(HOOKS)},
        stdout=PIPE,
        stderr=STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(fuzzer.communicate(), LIMIT)
    finally:
        if fuzzer.returncode is None:
            fuzzer.kill()
    return fuzzer.returncode, output.decode()


async def stay(running: Gateway) -> None:
    """Keep a client of the user in the examples connected, for the paths that are about a connection."""
    while True:
        client = await Client.open_or_refused(running.port, token("alice"))
        with suppress(Closed):
            while client.status == 101:
                await client.raw()
        await client.close()
        await asyncio.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(LIMIT + 60)
@pytest.mark.parametrize("rooms", [EVERYTHING, ""], ids=["with all that rooms can have", "with the defaults"])
async def test_every_request_is_answered_as_described(rooms: str, tmp_path: Path) -> None:
    """All checks of schemathesis hold.

    What the document allows is accepted, and what it forbids is refused. Each answer has a status, headers and a body
    as described, and none is an internal error. The receiver of webhooks takes nothing, so there are dead letters.
    """
    async with receiver() as told, gateway(**settings_for(told, tmp_path, rooms, webhooks_attempts=1)) as running:
        told.answer = status(500)
        staying = asyncio.create_task(stay(running))
        description = f"{running.internal}/v1/openapi.json"
        code, output = await fuzz(tmp_path, description, f"--header=Authorization: Bearer {API_KEY}")
        staying.cancel()
    assert code == 0, output


@pytest.mark.slow
@pytest.mark.timeout(LIMIT + 60)
async def test_the_requests_of_clients_are_answered_as_described(tmp_path: Path) -> None:
    """The same, of calls, tickets, and what clients publish and read with their own token."""
    rooms, description = tmp_path / "rooms.toml", tmp_path / "clients.json"
    rooms.write_text(READ)
    description.write_text(json.dumps(clients()))
    given = {"rooms_file": str(rooms), "hooks_module": call_hooks.MODULE, "message_rate": 0, "message_bytes_rate": 0}
    async with gateway(**given) as running:
        address = f"--url=http://127.0.0.1:{running.port}"
        bearer = f"--header=Authorization: Bearer {token('alice')}"
        code, output = await fuzz(tmp_path, str(description), address, bearer)
    assert code == 0, output
