"""The transcript in docs/protocol.md happens word for word, between a gateway process and a raw client."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import pytest

from forestay.protocol.requests import Unreadable
from forestay.protocol.v1.reader import Reader
from tests.support.described import faults
from tests.support.repository import ROOT
from tests.support.transcript import PATIENCE, Differs, Player, alterations, lines, matches, shown

SECRET = "transcript-secret-of-more-than-32-bytes"
API_KEY = "transcript-api-key-of-more-than-32-bytes"
# The settings that the page states for its gateway.
ROOMS = """
[[rooms]]
pattern = "chat.*"
join_leave = true

[[rooms]]
pattern = "log.*"
[rooms.history]
size = 3
ttl = 60
"""
PONG = lines().index('alice < {"type": "pong", "id": "ping"}')


def mint(user: str, rooms: dict[str, str] | None) -> str:
    claims: dict[str, object] = {"sub": user, "exp": time.time() + 600}
    return jwt.encode(claims if rooms is None else claims | {"rooms": rooms}, SECRET)


@pytest.fixture
async def player(tmp_path: Path) -> AsyncIterator[Player]:
    """Plays a transcript to a process of its own."""
    rooms = tmp_path / "rooms.toml"
    rooms.write_text(ROOMS)
    ours = {name: value for name, value in os.environ.items() if not name.startswith("FORESTAY_")}
    keys = {
        "FORESTAY_JWT_SECRET": SECRET,
        "FORESTAY_API_KEY": API_KEY,
        "FORESTAY_ROOMS_FILE": str(rooms),
        "FORESTAY_HOOKS_MODULE": str(ROOT / "tests" / "support" / "call_hooks.py"),
    }
    command = ["-m", "forestay", "serve", "--host", "127.0.0.1", "--port", "0", "--internal-port", "0"]
    gateway = await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=ROOT, env=ours | keys, stderr=asyncio.subprocess.PIPE
    )
    assert gateway.stderr is not None
    try:
        ready = json.loads(await asyncio.wait_for(gateway.stderr.readline(), 3 * PATIENCE))
        yield Player(ready["port"], ready["internal_port"], API_KEY, mint)
    finally:
        gateway.terminate()
        await asyncio.wait_for(gateway.communicate(), PATIENCE)


async def test_the_transcript_is_true(player: Player) -> None:
    """Each line happens in order and no client receives more; a changed line would fail."""
    await player.play(lines())
    for line, came in player.came.items():
        altered = list(alterations(line))
        assert altered
        assert [text for text in altered if matches(text, came)] == []


async def test_each_message_is_as_the_description_says(player: Player) -> None:
    """What comes has the fields of docs/asyncapi.yaml and no other. What is sent has them where it can be read."""
    await player.play(lines())
    heard = [json.loads(came) for came in player.came.values() if isinstance(came, str)]
    assert len(heard) > 50
    assert [(message, found) for message in heard if (found := faults(message["type"], message))] == []
    reader, read = Reader(512, 100), 0
    for text in {shown(line) for line in lines() if " > {" in line and not line.startswith("http")}:
        message = json.loads(text)
        try:
            reader.read(text.encode())
        except Unreadable:
            continue
        assert faults(f"client-{message['type']}", message, closed=False) == []
        read += 1
    assert read > 20


async def test_a_false_line_is_reported(player: Player) -> None:
    """A false line is reported by its number."""
    script = lines()
    script[PONG] = script[PONG].replace("ping", "pong")
    with pytest.raises(Differs) as differs:
        await player.play(script)
    assert differs.value.number == PONG


async def test_a_missing_line_is_reported(player: Player) -> None:
    """A missing line is reported where the same client receives its next message."""
    script = lines()
    del script[PONG]
    with pytest.raises(Differs) as differs:
        await player.play(script)
    assert differs.value.number == next(
        at for at, line in enumerate(script) if at >= PONG and line.startswith("alice <")
    )
