"""The stock clients, and how each of them runs the script."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final

from tests.socketio_peers.control import Stage
from tests.socketio_peers.install import SCRIPTS, Missing, java, javascript, node_command, program, python
from tests.socketio_peers.nodes import environment
from tests.support.browser import chromium, launched

CLIENTS: Final = ("node", "chromium", "python", "java")
TRANSPORTS: Final = {"default": ["polling", "websocket"], "polling": ["polling"], "websocket": ["websocket"]}
_PATIENCE: Final = 240.0

Found = dict[str, Any]
"""What each step found."""


async def run(client: str, stage: Stage, transports: Sequence[str], steps: Sequence[str] | None) -> Found:
    """Let a client run the script. Raises Missing where the machine cannot run it."""
    settings = {"a": stage.a, "b": stage.b, "control": stage.control, "transports": list(transports)}
    if steps:
        settings["steps"] = list(steps)
    if client == "chromium":
        return await _browse(stage, settings)
    command = _command(client)
    process = await asyncio.create_subprocess_exec(
        *command, json.dumps(settings), stdout=asyncio.subprocess.PIPE, env=environment()
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), _PATIENCE)
    except TimeoutError:
        process.kill()
        await process.wait()
        return {"script": {"failed": f"did not end within {_PATIENCE:g} s"}}
    if process.returncode:
        return {"script": {"failed": f"ended with {process.returncode}"}}
    found: Found = json.loads(output.splitlines()[-1])
    return found


def _command(client: str) -> list[str]:
    if client == "node":
        return [node_command(), str(javascript() / "node.mjs")]
    if client == "python":
        return [str(python()), str(SCRIPTS / "script.py")]
    return [program("java"), "-cp", f"{java()}/*", str(SCRIPTS / "Script.java")]


async def _browse(stage: Stage, settings: Found) -> Found:
    path = chromium()
    if path is None:
        raise Missing("no Chromium on PATH, and CHROMIUM names none")
    async with launched(path) as browser:
        page = await browser.new_page()
        await page.goto(stage.control)
        run = "async (settings) => (await import('/script.mjs')).run(io, settings)"
        found: Found = await asyncio.wait_for(page.evaluate(run, settings), _PATIENCE)
        return found
