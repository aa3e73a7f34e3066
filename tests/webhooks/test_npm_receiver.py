"""A receiver in JavaScript verifies what comes with the public library of npm."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.openapi.install import packages
from tests.support.gateway import PATIENCE, call, gateway
from tests.support.node import environment, node
from tests.support.webhook_receiver import SECRET, Receiver, settings_for

OTHER = "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="


@asynccontextmanager
async def receiving(secret: str, other: str) -> AsyncIterator[tuple[int, asyncio.StreamReader]]:
    """The port of a receiver in a process of its own, and the lines that it prints."""
    folder = await asyncio.to_thread(packages, Path(__file__).with_name("npm"))
    command = (node(), folder / "receiver.mjs", secret, other)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=environment(), stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    try:
        yield int(await asyncio.wait_for(process.stdout.readline(), PATIENCE)), process.stdout
    finally:
        # It ends with its standard input: a Node that a wrapper starts would outlive a signal to the wrapper.
        await process.communicate(b"")


async def test_the_library_of_npm_verifies_the_requests(tmp_path: Path) -> None:
    """With the secret, and not with another one or another body; text beyond ASCII comes as it was sent."""
    said = [{"text": "é ☃ 🚀"}, [1.50, None], "end"]
    came: list[Any] = []
    async with (
        receiving(SECRET, OTHER) as (port, lines),
        gateway(**settings_for(Receiver(port=port), tmp_path)) as pod,
    ):
        for payload in said:
            body = json.dumps({"payload": payload}, ensure_ascii=False).encode()
            assert (await call(pod, "POST", "/v1/rooms/told.a/messages", body))[0] == 200
        while len(came) < len(said):
            one = json.loads(await asyncio.wait_for(lines.readline(), PATIENCE))
            assert one["forged"] is None
            what = one["event"]
            came += what["data"]["events"] if what["type"] == "batch" else [what]
    assert [event["data"]["payload"] for event in came if event["type"] == "message"] == said


async def test_what_another_secret_signed_is_refused(tmp_path: Path) -> None:
    """The receiver says 401, and takes nothing of it."""
    async with (
        receiving(OTHER, OTHER) as (port, lines),
        gateway(**settings_for(Receiver(port=port), tmp_path, webhooks_attempts=1)) as pod,
    ):
        assert (await call(pod, "POST", "/v1/rooms/told.a/messages", b'{"payload": 1}'))[0] == 200
        assert json.loads(await asyncio.wait_for(lines.readline(), PATIENCE))["event"] is None
        async with asyncio.timeout(PATIENCE):
            while (await call(pod, "GET", "/v1/webhooks"))[1]["dead"] != 1:
                await asyncio.sleep(0.05)
