"""The examples of the JavaScript client's page work."""

import asyncio
import re
from pathlib import Path

import pytest

from tests.support import call_hooks
from tests.support.gateway import PATIENCE, gateway, token
from tests.support.node import environment, node
from tests.support.repository import blocks

PAGE = "docs/sdk-javascript.md"
ROOMS = """
[[rooms]]
pattern = "log.*"
[rooms.history]
size = 10
ttl = 60
"""
RIGHTS = {"log.*": "rwh", "chat.*": "rw"}


@pytest.mark.timeout(120)
async def test_the_examples_are_a_program_that_prints_what_the_page_says(project: Path, tmp_path: Path) -> None:
    """All code blocks in order, with the test gateway's address, print what the page shows."""
    rooms = tmp_path / "rooms.toml"
    rooms.write_text(ROOMS, encoding="utf-8")
    async with gateway(rooms_file=rooms, hooks_module=call_hooks.MODULE) as running:
        bearer = token("alice", rooms=RIGHTS)
        program = f'globalThis.fetch = async () => new Response("{bearer}");\n' + "".join(blocks(PAGE, "js"))
        program = re.sub(r"wss://(?:gateway|other)\.example\.com(?:/ws)?", running.url, program)
        (project / "page.mjs").write_text(program, encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            *(node(), project / "page.mjs"),
            env=environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        stdout, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    [printed] = blocks(PAGE, "text")
    assert [line.rstrip() for line in stdout.decode().splitlines()] == printed.splitlines()
