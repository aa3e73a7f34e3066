"""What is tried once after the installation: the doctor of `helm test`, and the hooks that the documentation shows."""

import asyncio
import json
import re
from contextlib import suppress
from typing import Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from tests.e2e import cluster
from tests.e2e.crowd import Gate
from tests.support.repository import blocks

PAGE: Final = "docs/hooks.md"
CHECKED: Final = ("settings", "origins", "files", "public", "internal", "redis", "rights", "clock", "keys", "cluster")


async def make_hooks(name: str) -> None:
    """Makes a ConfigMap with the module of the page."""
    [module] = [text for text in blocks(PAGE, "python") if text.startswith("# hooks.py\n")]
    await cluster.make_config_map(name, {"hooks.py": module})


async def helm_test() -> None:
    """Runs `helm test`. Raises Failed where it fails, or where the doctor has not said something of each check."""
    command = ["helm", "test", cluster.RELEASE, "--namespace", cluster.NAMESPACE, "--logs"]
    said = re.findall(r"^(OK|WARN|FAIL) +(\w+) +(.+)$", await cluster.run(*command), re.MULTILINE)
    for status, check, what in said:
        print(f"    {status:<4}  {check:<9}  {what}")
    missing = set(CHECKED) - {check for _, check, _ in said}
    if missing:
        raise cluster.Failed(f"the doctor of `helm test` says nothing of {', '.join(sorted(missing))}")


async def hear_hooks(gate: Gate) -> None:
    """Raises Failed unless clients hear what the hooks decide: a refusal, rooms, a replaced payload, and an answer."""
    found: dict[str, Any] = {}
    # What is missing after this time is missing in `found`.
    with suppress(TimeoutError):
        async with asyncio.timeout(30):
            await _ask_hooks(gate, found)
    wanted = {
        "connect": "banned",
        "rooms": ["@me", "news"],
        "join": "no_member",
        "broadcast": {"text": "****"},
        "call": {"users": ["alice"]},
    }
    print(f"    hooks: {found}")
    if found != wanted:
        raise cluster.Failed(f"the hooks of {PAGE} should have decided {wanted}")


async def _ask_hooks(gate: Gate, found: dict[str, Any]) -> None:
    """Does what the hooks decide about, and notes in `found` what clients hear."""
    try:
        async with gate.open("mallory"):
            pass
    except InvalidStatus as refused:
        found["connect"] = json.loads(refused.response.body or b"{}").get("reason")
    async with gate.open("alice", teams=["red"]) as client:
        found["rooms"] = sorted([(await _next(client, "joined"))["room"] for _ in range(2)])
        await _say(client, "join", room="team.blue")
        found["join"] = (await _next(client, "error"))["payload"]["reason"]
        await _say(client, "join", room="team.red")
        await _next(client, "joined")
        await _say(client, "broadcast", room="team.red", payload={"text": "damn"})
        found["broadcast"] = (await _next(client, "broadcast"))["payload"]
        await _say(client, "call", id="1", method="online")
        found["call"] = (await _next(client, "result"))["payload"]


async def _say(client: ClientConnection, kind: str, **fields: object) -> None:
    await client.send(json.dumps({"type": kind, **fields}))


async def _next(client: ClientConnection, kind: str) -> dict[str, Any]:
    """The next message of this type."""
    while True:
        message: dict[str, Any] = json.loads(await client.recv())
        if message["type"] == kind:
            return message
