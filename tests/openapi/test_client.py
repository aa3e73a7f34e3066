"""A client in TypeScript that a generator makes of docs/openapi.yaml compiles, and publishes."""

import asyncio
from pathlib import Path

import pytest

from tests.openapi.install import generator
from tests.support.gateway import API_KEY, gateway
from tests.support.node import environment, node, run
from tests.support.repository import ROOT, blocks

LOG = '[[rooms]]\npattern = "log.*"\n[rooms.history]\nsize = 10\nttl = 60\n'

# The first test installs the generator and the compiler.
pytestmark = pytest.mark.timeout(240)


def _built() -> Path:
    """The client on the page about the HTTP API, compiled with the types that are generated of the document."""
    folder = generator()
    tools = folder / "node_modules" / ".bin"
    run(tools / "openapi-typescript", ROOT / "docs" / "openapi.yaml", "--output", "forestay.ts", cwd=folder)
    [source] = blocks("docs/http-api.md", "ts")
    (folder / "publish.ts").write_text(source, encoding="utf-8")
    run(tools / "tsc", "--project", folder, cwd=folder)
    # What the document does not allow is an error of the compiler.
    (folder / "publish.ts").write_text(source.replace("body: { payload:", "body: { load:"), encoding="utf-8")
    try:
        run(tools / "tsc", "--project", folder, "--noEmit", cwd=folder)
    except AssertionError as refused:
        assert "load" in str(refused)
    else:
        raise AssertionError("the compiler took a body without a payload")
    return folder / "built" / "publish.js"


async def test_a_generated_client_publishes(tmp_path: Path) -> None:
    """It compiles without an error, and the room gets its message, once for each key."""
    script = await asyncio.to_thread(_built)
    (tmp_path / "rooms.toml").write_text(LOG)
    async with gateway(rooms_file=str(tmp_path / "rooms.toml")) as running:
        alice = await running.join("alice", "log.orders")
        for _ in "12":
            client = await asyncio.create_subprocess_exec(
                node(),
                script,
                env={**environment(), "FORESTAY_API": f"{running.internal}/v1", "FORESTAY_API_KEY": API_KEY},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            output, _ = await client.communicate()
            assert (client.returncode, output) == (0, b"published at 1\n")
        assert (await alice.hear("broadcast"))["payload"] == {"order": 18, "state": "shipped"}
        assert await alice.silent()
