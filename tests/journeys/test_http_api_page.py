"""The page about the HTTP API tells what the gateway does, and its examples work as printed."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from forestay.edge.problems import STATUS
from forestay.protocol.codes import ErrorCode
from tests.rules.test_openapi import NOT_FOR_BACKENDS
from tests.support.gateway import API_KEY, Gateway, call, gateway
from tests.support.repository import blocks, codes, rows

PAGE = "docs/http-api.md"
ROOMS = '[[rooms]]\npattern = "log.*"\npresence = true\n[rooms.history]\nsize = 10\nttl = 60\n'


async def run(pod: Gateway, script: str, folder: Path) -> str:
    """What a shell writes that runs `script` in `folder`. It stops at the first request that is refused."""
    script = script.replace("127.0.0.1:9090", f"127.0.0.1:{pod.internal_port}")
    quiet = 'set -eu\ncurl() { command curl --silent --show-error --fail-with-body --max-time 20 "$@"; echo; }\n'
    shell = await asyncio.create_subprocess_exec(
        "sh",
        "-c",
        quiet + script,
        cwd=folder,
        env={"FORESTAY_API_KEY": API_KEY, "PATH": "/usr/local/bin:/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await shell.communicate()
    assert shell.returncode == 0, output.decode()
    return output.decode()


async def test_the_examples_work_as_printed(tmp_path: Path) -> None:
    """Every request of the page is accepted, in the order of the page, and answered with JSON."""
    (tmp_path / "picture").write_bytes(b"\xff\0")
    (tmp_path / "rooms.toml").write_text(ROOMS)
    async with gateway(rooms_file=str(tmp_path / "rooms.toml")) as running:
        alice, lobby = await running.join("alice", "@me"), await running.join("bob", "chat.lobby")
        output = await run(running, "".join(blocks(PAGE, "sh")), tmp_path)
        answers = [json.loads(line) for line in output.splitlines() if line]
        assert len(answers) == sum(block.count("curl ") for block in blocks(PAGE, "sh"))
        assert [one["failed"] for one in answers if "failed" in one] == [0, 0]
        assert [one["joined"] for one in answers if "joined" in one] == [1]
        assert [one["ended"] for one in answers if "ended" in one] == [1, 0]
        assert [(await alice.hear())["type"] for _ in range(4)] == ["broadcast", "broadcast", "broadcast", "joined"]
        assert (await lobby.hear("broadcast"))["payload"] == {"text": "hello"}


async def test_the_answers_are_as_printed() -> None:
    """A refusal and the answer about the pods have the fields of the page, of the same types."""

    def shape(value: object) -> object:
        if isinstance(value, dict):
            return {name: shape(each) for name, each in value.items()}
        return [shape(each) for each in value] if isinstance(value, list) else type(value)

    refusal, info = map(json.loads, blocks(PAGE, "json"))
    async with gateway() as running:
        assert (await call(running, "POST", "/v1/rooms/a/messages", b"{}"))[1] == refusal
        answer: Any = {"pods": [{}]}
        # A pod has its first rates after half a second.
        while "rates" not in answer["pods"][0]:
            answer = (await call(running, "GET", "/v1/info"))[1]
            await asyncio.sleep(0.05)
        assert shape(answer) == shape(info)


async def test_the_page_lists_every_path_and_method() -> None:
    """And no other."""
    listed = {(path, method) for row in rows(PAGE, "Path") for path in codes(row[0]) for method in row[1].split(", ")}
    async with gateway() as running:
        served = {(path, method) for path, methods in running.running.api.paths.items() for method in methods}
    assert listed == served


@pytest.mark.parametrize("code", STATUS)
def test_the_page_lists_every_status_with_its_codes(code: ErrorCode) -> None:
    """Each refusal is in the row of its status. What only clients get is not there."""
    listed = {(row[0], each) for row in rows(PAGE, "Status") for each in codes(row[1])}
    assert ((str(STATUS[code]), code) in listed) == (code not in NOT_FOR_BACKENDS)
