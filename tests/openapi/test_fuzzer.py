"""The gateway does what its description says, for whatever schemathesis makes of it."""

import asyncio
from pathlib import Path

import pytest

from tests.openapi.install import schemathesis
from tests.support.gateway import API_KEY, gateway

EVERYTHING = """
[[rooms]]
pattern = "@me"
[rooms.history]
size = 10
ttl = 60

[[rooms]]
pattern = "**"
presence = true
[rooms.history]
size = 10
ttl = 60
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("rooms", [EVERYTHING, ""], ids=["with history and presence", "with the defaults"])
async def test_every_request_is_answered_as_described(rooms: str, tmp_path: Path) -> None:
    """All checks of schemathesis hold.

    What the document allows is accepted, and what it forbids is refused. Each answer has a status, headers and a body
    as described, and none is an internal error.
    """
    command = await asyncio.to_thread(schemathesis)
    (tmp_path / "rooms.toml").write_text(rooms)
    async with gateway(rooms_file=str(tmp_path / "rooms.toml")) as running:
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
