"""docs/sdk-python.md is correct: its examples run, and its tables are complete."""

import ast
import inspect
from dataclasses import fields
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from forestay_client import Client, Options, Room
from tests.support import call_hooks
from tests.support.gateway import gateway, token
from tests.support.repository import blocks, codes, rows

PAGE = "docs/sdk-python.md"


async def test_the_examples_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The examples run in order in one interpreter."""
    rooms = tmp_path / "rooms.toml"
    rooms.write_text('[[rooms]]\npattern = "**"\npresence = true\n')
    async with gateway(rooms_file=str(rooms), hooks_module=call_hooks.MODULE) as pod:
        names: dict[str, Any] = {}
        for example in blocks(PAGE, "python"):
            exec_ = compile(example, PAGE, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            await run(exec_, names)
            names |= {"url": pod.url, "token": token("alice")}
    output = capsys.readouterr().out
    assert "alice hello" in output
    assert "1 ['alice'] None" in output
    assert "7 b'\\x00\\x01'" in output
    assert "ordered: 17" in output
    assert "please log in" in output


async def run(code: CodeType, names: dict[str, Any]) -> None:
    done = eval(code, names)
    if inspect.iscoroutine(done):
        await done


def test_every_option_has_a_row() -> None:
    """Every option has a row with its default."""
    shown = {
        name: default
        for row in rows(PAGE, "Option")
        if codes(row[0])
        for name, default in zip(codes(row[0]), codes(row[1]), strict=True)
    }
    assert shown == {field.name: repr(field.default) for field in fields(Options)}


def test_every_event_has_a_row() -> None:
    """Every event of the client and of a room has a row."""
    client = Client("ws://127.0.0.1/ws", get_token=str)
    room: Room = client.room("r")
    for table, there in (("`client.on`", client._handlers), ("`room.on`", room._handlers)):
        shown = {name for row in rows(PAGE, table) for name in codes(row[0])} - set(codes(table))
        assert shown == set(there._handlers)
