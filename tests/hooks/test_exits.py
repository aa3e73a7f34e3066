"""A module of hooks cannot end the pod, whatever it starts."""

import asyncio
import json
import signal
from pathlib import Path

import pytest

from tests.support.gateway import close_clients
from tests.support.process import Process, serving

MODULE = """
import asyncio
import sys
from forestay.hooks import Result

async def ends(how):
    if how == "exit":
        sys.exit(3)
    raise KeyboardInterrupt

async def call(event):
    if event.method == "callback":
        asyncio.get_running_loop().call_soon(sys.exit)
    elif event.method != "hello":
        asyncio.create_task(ends(event.method))
    return Result("hello")
"""


async def until_logged(served: Process, word: str) -> None:
    assert served.process.stderr is not None
    while word not in served.log:
        line = (await asyncio.wait_for(served.process.stderr.readline(), 30)).decode()
        assert line, served.log
        served.log += line


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_what_a_module_starts_does_not_end_the_pod(tmp_path: Path, loop: str) -> None:
    """Where a task or a callback exits, connections and calls go on. The log has a line with the kind and the place."""
    module = tmp_path / "ends.py"
    module.write_text(MODULE)
    async with serving(FORESTAY_HOOKS_MODULE=str(module), FORESTAY_LOOP=loop) as served:
        alice = await served.pod.connect("alice")
        for method in ("exit", "interrupt", "callback", "hello"):
            await alice.say({"type": "call", "id": method, "method": method, "payload": None})
            assert (await alice.hear("result"))["payload"] == "hello"
            await until_logged(served, "tried to end the process")
        # The loop has gone on after the line.
        await served.pod.connect("bob")
        await close_clients()
        assert await served.end(signal.SIGINT) == 0
    events = [json.loads(line) for line in served.log.splitlines()]
    [line, *_] = lines = [event for event in events if event["level"] in ("warning", "error")]
    assert line["SystemExit"] == 1
    assert f"{module}:" in line["last SystemExit"]
    # The others are counted in ten seconds.
    assert {each["event"] for each in lines} == {line["event"]}
