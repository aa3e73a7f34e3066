"""The gateway does what its description says, for whatever schemathesis makes of it."""

import asyncio
from pathlib import Path

import pytest

from tests.openapi.install import schemathesis
from tests.support.gateway import API_KEY, gateway
from tests.support.webhook_receiver import receiver, settings_for, status

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


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("rooms", [EVERYTHING, ""], ids=["with all that rooms can have", "with the defaults"])
async def test_every_request_is_answered_as_described(rooms: str, tmp_path: Path) -> None:
    """All checks of schemathesis hold.

    What the document allows is accepted, and what it forbids is refused. Each answer has a status, headers and a body
    as described, and none is an internal error. The receiver of webhooks takes nothing, so there are dead letters.
    """
    command = await asyncio.to_thread(schemathesis)
    async with receiver() as told, gateway(**settings_for(told, tmp_path, rooms, webhooks_attempts=1)) as running:
        told.answer = status(500)
        fuzzer = await asyncio.create_subprocess_exec(
            command,
            "run",
            f"{running.internal}/v1/openapi.json",
            f"--header=Authorization: Bearer {API_KEY}",
            "--max-examples=30",
            "--generation-deterministic",
            "--no-color",
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await fuzzer.communicate()
    assert fuzzer.returncode == 0, output.decode()
